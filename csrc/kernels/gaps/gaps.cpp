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
                         std::uint8_t* out, std::size_t size) noexcept {
  constexpr std::size_t kAhead = 16384 / kWidth;
  std::size_t next = 0, cleared = 0;  // the first place that is free, that is not zero
  const auto clear = [&](std::size_t to) {
    to = std::min(to, size);
    if (to > cleared) std::memset(out + kWidth * cleared, 0, kWidth * (to - cleared)), cleared = to;
  };
  for (std::size_t k = 0; k < entries; ++k) {
    const std::size_t place = next + gaps[k];
    if (gaps[k] > most || place >= size) return static_cast<std::int64_t>(k);
    if (place >= cleared) clear(place + kAhead);
    std::memcpy(out + kWidth * place, values + kWidth * k, kWidth);
    next = place + 1;
  }
  clear(size);
  return -1;
}

}  // namespace

std::int64_t gaps_expand(const std::uint8_t* gaps, std::size_t entries, std::uint8_t most, const std::uint8_t* values,
                         std::size_t width, std::uint8_t* out, std::size_t size) noexcept {
  switch (width) {
    case 1: return put_by_gaps<1>(gaps, entries, most, values, out, size);
    case 2: return put_by_gaps<2>(gaps, entries, most, values, out, size);
    case 4: return put_by_gaps<4>(gaps, entries, most, values, out, size);
    default: return put_by_gaps<8>(gaps, entries, most, values, out, size);
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

}  // namespace accel
