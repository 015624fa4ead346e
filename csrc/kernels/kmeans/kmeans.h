// SPDX-License-Identifier: BSD-3-Clause
// Exact one-dimensional k-means over sorted weighted points, and nearest-centroid codes.
#pragma once
#include <cstddef>
#include <cstdint>

namespace accel {

// Running sums over the points before index i, for i = 0..m: of the weights, of weight * x, of weight * x^2.
struct KMeansSums {
  const double *weight, *first, *second;
};

// Most workspace kmeans_starts needs, in bytes; 0 when that overflows.
std::size_t kmeans_workspace_bytes(std::size_t m, std::size_t k) noexcept;

// starts[c] = first point of cluster c, c = 0..k-1, for the k clusters of least total squared error, 1 <= k <= m.
// Dynamic programming, divide and conquer over the monotone last split: O(k m log m) (Gronlund et al., "Fast exact
// k-means, k-medians and Bregman divergence clustering in 1D", arXiv 1701.07204). Of equal costs the lowest split wins.
void kmeans_starts(const KMeansSums& sums, std::size_t m, std::size_t k, void* workspace,
                   std::int64_t* starts) noexcept;

constexpr std::size_t kPrefixes = 1 << 16;
constexpr std::size_t kMostDistinct = 1 << 14;

// counts[p] = how many of n < 2^32 values have p as the upper half of their bits.
void prefix_counts(const float* values, std::size_t n, std::uint32_t* counts) noexcept;

// Bits and numbers of distinct values; room for the hash table that finds them.
struct DistinctTable {
  std::uint32_t keys[4 * kMostDistinct], counts[4 * kMostDistinct];
};

// The distinct values of n < 2^32, in no order, at the table's beginning; returns how many, 0 for more than
// kMostDistinct. -0.0 counts as 0.
std::size_t distinct_values(const float* values, std::size_t n, DistinctTable& table) noexcept;

// A histogram whose bins part each prefix p into 2^(16 - places[p] % 32) equal ones, which begin with bin
// places[p] / 32: how many values each bin has, and the sum of the bits of theirs below the bin's own, exactly.
// `words` is scratch. All three have `bins` elements.
void histogram(const float* values, std::size_t n, const std::uint32_t* places, std::size_t bins, std::uint64_t* words,
               std::uint64_t* counts, std::uint64_t* sums) noexcept;

// codes[i] = how many of the `count` <= 255 ascending thresholds are below values[i].
void assign_codes(const float* values, std::size_t n, const float* thresholds, std::size_t count,
                  std::uint8_t* codes) noexcept;

}  // namespace accel
