// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/gaps/gaps.h"

#include <algorithm>
#include <bit>
#include <cstring>

#define ACCEL_KERNEL_FILE "kernels/gaps/gaps.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY bitmap_expand
const BitmapExpand kBitmapExpand[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

// Zeros are written a few pages ahead of the entries, which find them in cache.
template <std::size_t kWidth>
std::int64_t put_by_gaps(const std::uint8_t* gaps, std::size_t entries, std::uint8_t most, const std::uint8_t* values,
                         std::uint8_t* out, std::size_t size, bool clear) noexcept {
  constexpr std::size_t kAhead = 16384 / kWidth;
  std::size_t cleared = clear ? 0 : size;  // the first place that is not zero
  const auto clear_to = [&](std::size_t to) {
    std::memset(out + kWidth * cleared, 0, kWidth * (to - cleared));
    cleared = to;
  };
  std::size_t place = ~std::size_t{0};
  for (std::size_t k = 0; k < entries; ++k) {
    const std::size_t step = std::size_t{gaps[k]} + 1;
    place += step;
    if (step > std::size_t{most} + 1) return static_cast<std::int64_t>(k);
    if (place >= cleared) {
      if (place >= size) return static_cast<std::int64_t>(k);
      clear_to(std::min(place + kAhead, size));
    }
    std::memcpy(out + kWidth * place, values + kWidth * k, kWidth);
  }
  clear_to(size);
  return -1;
}

}  // namespace

std::int64_t gaps_expand(const std::uint8_t* gaps, std::size_t entries, std::uint8_t most, const std::uint8_t* values,
                         std::size_t width, std::uint8_t* out, std::size_t size, bool clear) noexcept {
  switch (width) {
    case 1:
      return put_by_gaps<1>(gaps, entries, most, values, out, size, clear);
    case 2:
      return put_by_gaps<2>(gaps, entries, most, values, out, size, clear);
    case 4:
      return put_by_gaps<4>(gaps, entries, most, values, out, size, clear);
    default:
      return put_by_gaps<8>(gaps, entries, most, values, out, size, clear);
  }
}

std::size_t bitmap_count(const std::uint8_t* bitmap, std::size_t n) noexcept {
  std::size_t count = 0;
  for (; n >= 8; n -= 8, bitmap += 8) {
    std::uint64_t word;
    std::memcpy(&word, bitmap, sizeof word);
    count += static_cast<std::size_t>(std::popcount(word));
  }
  for (; n; --n) count += static_cast<std::size_t>(std::popcount(*bitmap++));
  return count;
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
