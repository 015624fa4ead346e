// SPDX-License-Identifier: BSD-3-Clause
// Whether the arrays of a matrix are what the kernels that trust them want.
#pragma once
#include <cstdint>

namespace accel {

// The columns of every row ascend and lie in 0 .. columns-1; indptr (rows + 1,) ascends (csr_ascends).
bool columns_ascend(const std::int32_t* indptr, long rows, const std::int32_t* indices, long columns) noexcept;

bool codes_below_16(const std::uint8_t* codes, long n) noexcept;

}  // namespace accel
