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

// codes[i] = how many of the `count` <= 255 ascending thresholds are below values[i].
void assign_codes(const float* values, std::size_t n, const float* thresholds, std::size_t count,
                  std::uint8_t* codes) noexcept;

}  // namespace accel
