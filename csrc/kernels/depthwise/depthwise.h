// SPDX-License-Identifier: BSD-3-Clause
// Depthwise convolution of blocked maps: y[n, c, i, j] = f(bias[c] + residual + sum_{p, q} w[c, p, q] x[n, c, ...]).
// Lanes are channels, so a tap is one FMA per pixel. For 3x3 and 5x5 kernels of stride 1 or 2 one load feeds the taps
// of up to four output rows; the others load once a tap. Weights: [block][tap][16]. residual may be y.
#pragma once
#include <cstdint>

#include "kernels/conv/conv.h"

namespace accel {

struct DepthwiseRow {  // some rows of one output plane
  const float* x;      // under output pixel 0; taps count from here
  long x_step, x_row;  // floats from one output pixel, row to the next
  const std::int32_t* taps;
  int tap_count;
  int kernel, stride;  // of a square kernel without dilations, else 0
  long x_line;         // floats from one input row to the next
  const float *weights, *bias, *residual;
  float* y;
  long y_row, residual_row;
  int width, rows;
  Activation activation;
};
using DepthwiseFn = void (*)(const DepthwiseRow&) noexcept;
extern const DepthwiseFn kDepthwise[kIsaCount];

// spec.groups is ignored: one filter a channel. Throws as Conv does.
class Depthwise final : public PreparedConv {
 public:
  Depthwise(const ConvSpec& spec, DepthwiseFn kernel);
  void run(const ConvArrays& arrays, int threads) const noexcept override;
  std::size_t weight_floats() const noexcept override;
  std::size_t bias_floats() const noexcept override { return padded_channels(spec_.output); }

 private:
  ConvSpec spec_;
  DepthwiseFn kernel_;
  std::vector<std::int32_t> taps_;
};

void pack_depthwise(const float* w, long channels, long taps, float* packed) noexcept;

}  // namespace accel
