// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/activation/activation.inl.h"

namespace accel::ACCEL_ISA {
namespace {

ACCEL_INLINE float max_lanes(f32 v) {
  float lanes[f32::lanes];
  store(lanes, v);
  float most = lanes[0];
  for (float lane : lanes) most = lane > most || lane != lane ? lane : most;
  return most;
}

ACCEL_INLINE f32 load_most(const float* p, long left) {
  return left >= f32::lanes ? load(p) : load_n(p, static_cast<int>(left));
}

ACCEL_INLINE void store_most(float* p, f32 v, long left) {
  if (left >= f32::lanes)
    store(p, v);
  else
    store_n(p, v, static_cast<int>(left));
}

void softmax_row(const float* x, float* y, long n) noexcept {
  constexpr long lanes = f32::lanes;
  f32 top = load(x + n - lanes);  // what is left at the end, some of it twice
  for (long i = 0; i + lanes <= n; i += lanes) top = max_nan(top, load(x + i));
  const f32 most = set1(max_lanes(top));
  f32 sum = zero();
  for (long i = 0; i < n; i += lanes) {
    store_most(y + i, exp_whole(load_most(x + i, n - i) - most), n - i);
    sum = sum + load_most(y + i, n - i);  // zeros where there is nothing
  }
  const f32 total = set1(sum_lanes(sum));
  for (long i = 0; i < n; i += lanes) store_most(y + i, load_most(y + i, n - i) / total, n - i);
}

// `left` columns, or as many as a vector has lanes.
ACCEL_INLINE void softmax_lanes(const float* x, float* y, long n, long step, long left) {
  f32 most = load_most(x, left);
  for (long k = 1; k < n; ++k) most = max_nan(most, load_most(x + k * step, left));
  f32 sum = zero();
  for (long k = 0; k < n; ++k) {
    const f32 power = exp_whole(load_most(x + k * step, left) - most);
    sum = sum + power;
    store_most(y + k * step, power, left);
  }
  for (long k = 0; k < n; ++k) store_most(y + k * step, load_most(y + k * step, left) / sum, left);
}

void softmax_columns(const float* x, float* y, long n, long step, long columns) noexcept {
  for (long i = 0; i < columns; i += f32::lanes) softmax_lanes(x + i, y + i, n, step, columns - i);
}

constexpr SoftmaxKernels kKernels{&softmax_row, &softmax_columns};

}  // namespace
}  // namespace accel::ACCEL_ISA
