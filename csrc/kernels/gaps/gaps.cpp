// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/gaps/gaps.h"

#include <algorithm>
#include <bit>
#include <cstring>

#define ACCEL_KERNEL_FILE "kernels/gaps/gaps.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY gaps_expand
const GapsExpand kGapsExpand[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY
#define ACCEL_TABLE_ENTRY bitmap_expand
const BitmapExpand kBitmapExpand[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY
#define ACCEL_TABLE_ENTRY bitmap_count
const BitmapCount kBitmapCount[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

void gaps_clear_rest(GapsOutput& to) noexcept {
  std::memset(to.out + to.width * to.cleared, 0, to.width * (to.size - to.cleared));
  to.cleared = to.size;
}

void rows_of_codes(const std::uint8_t* codes, std::size_t rows, std::size_t columns, std::uint8_t zero,
                   std::int32_t* indptr, std::int32_t* indices, std::uint8_t* values, std::size_t count) noexcept {
  std::size_t at = 0;
  indptr[0] = 0;
  for (std::size_t row = 0; row < rows; ++row, codes += columns) {
    for (std::size_t first = 0; first < columns; first += 64) {
      const std::size_t places = std::min<std::size_t>(64, columns - first);
      std::uint64_t live = 0;
      for (std::size_t k = 0; k < places; ++k) live |= std::uint64_t{codes[first + k] != zero} << k;
      for (; live && at < count; live &= live - 1, ++at) {
        const std::size_t column = first + static_cast<std::size_t>(std::countr_zero(live));
        indices[at] = static_cast<std::int32_t>(column);
        values[at] = codes[column];
      }
    }
    indptr[row + 1] = static_cast<std::int32_t>(at);
  }
}

}  // namespace accel
