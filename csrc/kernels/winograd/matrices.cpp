// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/winograd/matrices.h"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "kernels/winograd/points.h"
#include "kernels/winograd/winograd.h"
#include "runtime/pool.h"

namespace accel {
namespace {

constexpr int kMostTaps = kMostWinogradTaps;
constexpr double kRounding = 1.0 / (1 << 20);  // of the largest weight of a filter: what rounding leaves of a zero

// 0, then the pairs: all points but infinity.
template <int N>
std::vector<double> finite_points() {
  std::vector<double> points{0.0};
  for (double p : winograd::Points<N>::p) points.push_back(p), points.push_back(-p);
  return points;
}

std::vector<double> finite_points(int n) {
  return n == 4 ? finite_points<4>() : n == 6 ? finite_points<6>() : finite_points<8>();
}

// Solves a x = b in place for a small symmetric positive definite a; b holds `columns` right sides, and then x.
void solve(double (*a)[kMostTaps], int size, double (*b)[kMostWinogradPoints], int columns) {
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      if (j == i) continue;
      const double factor = a[j][i] / a[i][i];
      for (int k = 0; k < size; ++k) a[j][k] -= factor * a[i][k];
      for (int k = 0; k < columns; ++k) b[j][k] -= factor * b[i][k];
    }
  for (int i = 0; i < size; ++i)
    for (int k = 0; k < columns; ++k) b[i][k] /= a[i][i];
}

}  // namespace

// With a stride the scale of a point belongs to A^T: then its weight of a lone tap is that tap, at every point.
WinogradMatrices::WinogradMatrices(int m, int r, int stride) : n_(m + r - 1), k_(stride * (r - 1) + 1) {
  const std::vector<double> points = finite_points(n_);
  for (int i = 0; i + 1 < n_; ++i) {
    double scale = 1.0;
    for (int j = 0; j + 1 < n_ && stride == 1; ++j)
      if (j != i) scale *= points[static_cast<std::size_t>(i)] - points[static_cast<std::size_t>(j)];
    for (int k = 0; k < r; ++k)
      forward_[i][k * stride] = winograd::power(points[static_cast<std::size_t>(i)], k) / scale;
  }
  forward_[n_ - 1][k_ - 1] = 1.0;
  if (stride == 2) forward_[n_++][1] = 1.0;
  // The least squares inverse: (G^T G)^-1 G^T.
  double normal[kMostTaps][kMostTaps] = {};
  for (int i = 0; i < k_; ++i)
    for (int j = 0; j < k_; ++j)
      for (int k = 0; k < n_; ++k) normal[i][j] += forward_[k][i] * forward_[k][j];
  for (int i = 0; i < k_; ++i)
    for (int k = 0; k < n_; ++k) backward_[i][k] = forward_[k][i];
  solve(normal, k_, backward_, n_);
}

void WinogradMatrices::recover(const float* u, long step, float* g) const noexcept {
  double half[kMostTaps * kMostWinogradPoints * kBlock];
  for (int p = 0; p < k_; ++p)
    for (int j = 0; j < n_; ++j) {
      double* to = half + (p * n_ + j) * kBlock;
      std::fill_n(to, kBlock, 0.0);
      for (int i = 0; i < n_; ++i)
        for (int l = 0; l < kBlock; ++l) to[l] += backward_[p][i] * static_cast<double>(u[(i * n_ + j) * step + l]);
    }
  double largest[kBlock] = {};
  for (int p = 0; p < k_; ++p)
    for (int q = 0; q < k_; ++q)
      for (int l = 0; l < kBlock; ++l) {
        double sum = 0.0;
        for (int j = 0; j < n_; ++j) sum += backward_[q][j] * half[(p * n_ + j) * kBlock + l];
        g[(p * k_ + q) * kBlock + l] = static_cast<float>(sum);
        largest[l] = std::max(largest[l], sum < 0 ? -sum : sum);
      }
  // A weight of zero comes back as the rounding of others, and must be zero again: infinity times it is NaN.
  for (int i = 0; i < k_ * k_ * kBlock; ++i) {
    const double size = g[i] < 0 ? -static_cast<double>(g[i]) : static_cast<double>(g[i]);
    if (size < kRounding * largest[i % kBlock]) g[i] = 0.f;
  }
}

const WinogradKernels& winograd_kernels(std::size_t isa, int m, int kernel, int stride) {
  for (const WinogradKernels& k : kWinograd[isa]->forms)
    if (k.m == m && k.kernel() == kernel && k.stride == stride) return k;
  throw std::invalid_argument("winograd: no such form");
}

WinogradSteps winograd_steps(long out, long depth, const WinogradKernels& kernels) {
  const long panels = (out + kBlock - 1) / kBlock, one = depth * kBlock;
  return depth <= kBlock ? WinogradSteps{kLineWeights, kernels.units() * kLineWeights}
                         : WinogradSteps{panels * one, one};
}

std::size_t winograd_size(long out, long depth, const WinogradKernels& kernels) {
  const WinogradSteps steps = winograd_steps(out, depth, kernels);
  return static_cast<std::size_t>(std::max(kernels.units() * steps.unit, (out + kBlock - 1) / kBlock * steps.panel));
}

void pack_winograd(const float* w, long out, long depth, const WinogradKernels& kernels, float* packed, int threads) {
  const WinogradMatrices matrices(kernels.m, kernels.r, kernels.stride);
  const WinogradSteps steps = winograd_steps(out, depth, kernels);
  const long units = kernels.units(), panels = (out + kBlock - 1) / kBlock, taps = kernels.kernel() * kernels.kernel();
  const auto pack_filters = [&](long p, long d) {  // 16 outputs, one input channel
    double g[kMostTaps * kMostTaps * kBlock] = {};
    for (long l = 0; l < std::min<long>(kBlock, out - p * kBlock); ++l)
      for (long t = 0; t < taps; ++t)
        g[t * kBlock + l] = static_cast<double>(w[((p * kBlock + l) * depth + d) * taps + t]);
    kernels.weights(matrices.forward(), g, packed + p * steps.panel + d * kBlock, steps.unit);
  };
  const double work = static_cast<double>(out) * static_cast<double>(depth * units * kernels.kernel());
  parallel(parts_for(work, panels * depth, threads), [&](int part, int parts) {
    const Range range = part_of(panels * depth, part, parts);
    for (long i = range.begin; i < range.end; ++i) pack_filters(i / depth, i % depth);
  });
}

}  // namespace accel
