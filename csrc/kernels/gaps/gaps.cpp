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

namespace {

// One bit for each of eight bytes, the lowest first: whether it is another than that all over `zeros`.
std::uint64_t others_of_eight(const std::uint8_t* bytes, std::uint64_t zeros) {
  constexpr std::uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
  std::uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  word ^= zeros;
  const std::uint64_t live = (((word & kLow) + kLow) | word) & ~kLow;  // the highest bit of each byte
  return (live >> 7) * 0x0102040810204080 >> 56;
}

std::uint64_t others(const std::uint8_t* bytes, std::size_t n, std::uint8_t zero) {
  const std::uint64_t zeros = 0x0101010101010101 * zero;
  std::uint64_t bits = 0;
  std::size_t k = 0;
  for (; k + 8 <= n; k += 8) bits |= others_of_eight(bytes + k, zeros) << k;
  for (; k < n; ++k) bits |= std::uint64_t{bytes[k] != zero} << k;
  return bits;
}

}  // namespace

void rows_of_codes(const std::uint8_t* codes, std::size_t rows, std::size_t columns, std::uint8_t zero,
                   std::int32_t* indptr, std::int32_t* indices, std::uint8_t* values, std::size_t count) noexcept {
  std::size_t at = 0;
  indptr[0] = 0;
  for (std::size_t row = 0; row < rows; ++row, codes += columns) {
    for (std::size_t first = 0; first < columns; first += 64) {
      std::uint64_t live = others(codes + first, std::min<std::size_t>(64, columns - first), zero);
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
