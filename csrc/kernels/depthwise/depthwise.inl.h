// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/activation/activation.inl.h"

namespace accel::ACCEL_ISA {
namespace {

// N neighbouring pixels of one row, one vector of channels.
template <int N>
ACCEL_INLINE void depthwise_pixels(const DepthwiseRow& d, const float* x, const float* residual, float* y, int lane) {
  f32 acc[N];
  const f32 bias = load(d.bias + lane);
  ACCEL_UNROLL(16)
  for (int i = 0; i < N; ++i) acc[i] = bias;
  const long step = d.x_step;
  for (int t = 0; t < d.tap_count; ++t) {
    const f32 w = load(d.weights + t * kBlock + lane);
    const float* in = x + d.taps[t] + lane;
    ACCEL_UNROLL(16)
    for (int i = 0; i < N; ++i) acc[i] = fma(load(in + i * step), w, acc[i]);
  }
  ACCEL_UNROLL(16)
  for (int i = 0; i < N; ++i) {
    if (residual) acc[i] = acc[i] + load(residual + i * kBlock + lane);
    store(y + i * kBlock + lane, activate(d.activation, acc[i]));
  }
}

void depthwise_rows(const DepthwiseRow& d) noexcept {
  constexpr int kMost = kRegisters / 2 - 2;  // enough chains to hide the FMA's latency, and no spills
  for (int r = 0; r < d.rows; ++r) {
    const float* x = d.x + r * d.x_row;
    const float* residual = d.residual ? d.residual + r * d.residual_row : nullptr;
    float* y = d.y + r * d.y_row;
    for (int lane = 0; lane < kBlock; lane += f32::lanes) {
      int i = 0;
      for (; i + kMost <= d.width; i += kMost)
        depthwise_pixels<kMost>(d, x + i * d.x_step, residual ? residual + i * kBlock : nullptr, y + i * kBlock, lane);
      for (; i + 4 <= d.width; i += 4)
        depthwise_pixels<4>(d, x + i * d.x_step, residual ? residual + i * kBlock : nullptr, y + i * kBlock, lane);
      for (; i < d.width; ++i)
        depthwise_pixels<1>(d, x + i * d.x_step, residual ? residual + i * kBlock : nullptr, y + i * kBlock, lane);
    }
  }
}

}  // namespace
}  // namespace accel::ACCEL_ISA
