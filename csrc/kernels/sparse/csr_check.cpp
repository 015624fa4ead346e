// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/csr_check.h"

namespace accel {

bool columns_ascend(const std::int32_t* indptr, long rows, const std::int32_t* indices, long columns) noexcept {
  bool fits = true;
  for (long r = 0; r < rows; ++r) {
    long before = -1;
    for (std::int32_t i = indptr[r]; i < indptr[r + 1]; ++i) fits &= indices[i] > before, before = indices[i];
    fits &= before < columns;
  }
  return fits;
}

bool codes_below_16(const std::uint8_t* codes, long n) noexcept {
  std::uint8_t all = 0;
  for (long i = 0; i < n; ++i) all |= codes[i];
  return all < 16;
}

}  // namespace accel
