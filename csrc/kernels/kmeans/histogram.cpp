// SPDX-License-Identifier: BSD-3-Clause
// A histogram of floats by their bits, as fine as it needs to be, in place of sorting them.
#include <algorithm>
#include <bit>
#include <limits>
#include <memory>

#include "kernels/kmeans/kmeans.h"

namespace accel {
namespace {

constexpr std::size_t kAtOnce = std::size_t{1} << 23;  // values whose counts and sums share a word
constexpr int kCountAt = 39;                           // above the sums of 2^23 numbers of 16 bits
constexpr std::size_t kSlots = 4 * kMostDistinct;

std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

}  // namespace

void prefix_counts(const float* values, std::size_t n, std::uint32_t* counts) noexcept {
  std::fill_n(counts, kPrefixes, 0u);
  for (std::size_t i = 0; i < n; ++i) ++counts[bits_of(values[i]) >> 16];
}

std::size_t distinct_values(const float* values, std::size_t n, DistinctTable& table) noexcept {
  std::fill_n(table.counts, kSlots, 0u);
  std::size_t found = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t key = bits_of(values[i] + 0.0f);  // -0.0 is 0
    std::size_t slot = (key * 0x9E3779B1u) >> (32 - std::countr_zero(kSlots));
    while (table.counts[slot] && table.keys[slot] != key) slot = (slot + 1) % kSlots;
    if (!table.counts[slot]++) {
      if (found == kMostDistinct) return 0;
      table.keys[slot] = key;
      ++found;
    }
  }
  std::size_t at = 0;
  for (std::size_t slot = 0; slot < kSlots; ++slot)
    if (table.counts[slot]) table.keys[at] = table.keys[slot], table.counts[at++] = table.counts[slot];
  return found;
}

void histogram(const float* values, std::size_t n, const std::uint32_t* places, std::size_t bins, std::uint64_t* words,
               std::uint64_t* counts, std::uint64_t* sums) noexcept {
  std::fill_n(counts, bins, std::uint64_t{0});
  std::fill_n(sums, bins, std::uint64_t{0});
  for (std::size_t first = 0; first < n; first += kAtOnce) {
    const std::size_t last = std::min(n, first + kAtOnce);
    std::fill_n(words, bins, std::uint64_t{0});
    for (std::size_t i = first; i < last; ++i) {
      const std::uint32_t bits = bits_of(values[i]), place = places[bits >> 16], low = bits & 0xFFFF;
      const std::uint32_t drop = place & 31, part = low >> drop;
      words[(place >> 5) + part] += (std::uint64_t{1} << kCountAt) | (low - (part << drop));
    }
    for (std::size_t b = 0; b < bins; ++b) {
      counts[b] += words[b] >> kCountAt;
      sums[b] += words[b] & ((std::uint64_t{1} << kCountAt) - 1);
    }
  }
}

}  // namespace accel
