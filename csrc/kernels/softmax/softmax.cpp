// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/softmax/softmax.h"

#include <algorithm>

#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/softmax/softmax.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kKernels
const SoftmaxKernels* const kSoftmax[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kTile = 16;                // columns that are worked on together: the lanes of the widest vector
constexpr double kWorkPerElement = 20.0;  // in floats moved: the exponential and two more passes

// Up to kTile softmaxes of n < kTile numbers each, turned so that they lie side by side.
void short_rows(const SoftmaxKernels& kernels, const float* x, float* y, long n, long rows) noexcept {
  float turned[kTile * kTile];
  for (long r = 0; r < rows; ++r)
    for (long k = 0; k < n; ++k) turned[k * kTile + r] = x[r * n + k];
  kernels.columns(turned, turned, n, kTile, rows);
  for (long r = 0; r < rows; ++r)
    for (long k = 0; k < n; ++k) y[r * n + k] = turned[k * kTile + r];
}

}  // namespace

void softmax(const SoftmaxSpec& s, const SoftmaxKernels& kernels, const float* x, float* y, int threads) noexcept {
  const bool in_rows = s.inner == 1, tiles = in_rows && s.n < kTile;
  const long tiles_of_inner = (s.inner + kTile - 1) / kTile;
  const long units = tiles ? (s.outer + kTile - 1) / kTile : s.outer * tiles_of_inner;
  const double work = kWorkPerElement * static_cast<double>(s.outer * s.n) * static_cast<double>(s.inner);
  parallel(parts_for(work, units, threads), [&](int part, int parts) {
    const Range range = part_of(units, part, parts);
    for (long unit = range.begin; unit < range.end; ++unit) {
      if (tiles) {
        const long first = unit * kTile;
        short_rows(kernels, x + first * s.n, y + first * s.n, s.n, std::min(kTile, s.outer - first));
      } else if (in_rows) {
        kernels.row(x + unit * s.n, y + unit * s.n, s.n);
      } else {
        const long column = unit % tiles_of_inner * kTile, at = unit / tiles_of_inner * s.n * s.inner + column;
        kernels.columns(x + at, y + at, s.n, s.inner, std::min(kTile, s.inner - column));
      }
    }
  });
}

}  // namespace accel
