// SPDX-License-Identifier: BSD-3-Clause
// CRC-32 as zlib computes it (reflected polynomial 0xEDB88320, all ones before and after).
#pragma once
#include <cstddef>
#include <cstdint>

namespace accel {

// Continues `crc` (0 at the start) with `n` bytes. `folding` allows carry-less multiplication where the processor has
// it.
std::uint32_t crc32(std::uint32_t crc, const std::uint8_t* data, std::size_t n, bool folding) noexcept;

}  // namespace accel
