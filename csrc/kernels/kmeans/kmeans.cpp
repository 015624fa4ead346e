// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/kmeans/kmeans.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace accel {
namespace {

// One row of the table: the least cost of the first j points in c clusters, from the row of c - 1 clusters.
struct Row {
  const KMeansSums& sums;
  const double* before;  // costs of c - 1 clusters
  double* cost;
  std::uint32_t* split;  // first point of the last cluster

  // Squared error of the points i..j-1 about their mean. A weight of 0 costs nothing.
  double error(std::size_t i, std::size_t j) const {
    const double w = sums.weight[j] - sums.weight[i], s = sums.first[j] - sums.first[i];
    const double e = sums.second[j] - sums.second[i] - (w > 0 ? s * s / w : 0.0);
    return e > 0 ? e : 0.0;
  }

  void best(std::size_t j, std::size_t low, std::size_t high) {
    double least = std::numeric_limits<double>::infinity();
    std::size_t at = low;
    for (std::size_t i = low; i <= std::min(high, j - 1); ++i) {
      const double total = before[i] + error(i, j);
      if (total < least) least = total, at = i;
    }
    cost[j] = least;
    split[j] = static_cast<std::uint32_t>(at);
  }
};

struct Span {
  std::size_t from, to, low, high;  // points from..to-1, whose split lies in low..high
};

// The middle first, then both sides inside the bounds it gives; a stack, as the depth is only log2(m).
void fill_row(Row& row, std::size_t first, std::size_t m) noexcept {
  Span stack[2 * std::numeric_limits<std::size_t>::digits];
  int top = 0;
  stack[top++] = {first, m + 1, first - 1, m};
  while (top) {
    const Span s = stack[--top];
    const std::size_t mid = s.from + (s.to - s.from) / 2;
    row.best(mid, s.low, s.high);
    const std::size_t split = row.split[mid];
    if (s.from < mid) stack[top++] = {s.from, mid, s.low, split};
    if (mid + 1 < s.to) stack[top++] = {mid + 1, s.to, split, s.high};
  }
}

}  // namespace

std::size_t kmeans_workspace_bytes(std::size_t m, std::size_t k) noexcept {
  std::size_t rows, bytes;
  if (m >= std::numeric_limits<std::uint32_t>::max()) return 0;
  if (__builtin_mul_overflow(k, (m + 1) * sizeof(std::uint32_t), &rows)) return 0;
  return __builtin_add_overflow(rows, 2 * (m + 1) * sizeof(double), &bytes) ? 0 : bytes;
}

void kmeans_starts(const KMeansSums& sums, std::size_t m, std::size_t k, void* workspace,
                   std::int64_t* starts) noexcept {
  double* cost = static_cast<double*>(workspace);
  double* before = cost + m + 1;
  auto* splits = reinterpret_cast<std::uint32_t*>(before + m + 1);
  Row one{sums, nullptr, cost, splits};
  for (std::size_t j = 0; j <= m; ++j) cost[j] = one.error(0, j);
  for (std::size_t c = 2; c <= k; ++c) {
    std::swap(cost, before);
    Row row{sums, before, cost, splits + (c - 1) * (m + 1)};
    fill_row(row, c, m);
  }
  std::size_t end = m;
  for (std::size_t c = k; c > 1; --c) {
    end = splits[(c - 1) * (m + 1) + end];
    starts[c - 1] = static_cast<std::int64_t>(end);
  }
  starts[0] = 0;
}

}  // namespace accel
