// SPDX-License-Identifier: BSD-3-Clause
// Direct convolution by the register tile, float32.
//
//   y[n, o, i, j] = f(bias[o] + residual[n, o, i, j]
//                     + sum_{c, p, q} w[o, c, p, q] x[n, c, i*sh + p*dh - top, j*sw + q*dw - left])
//
// Rows of a tile are neighbouring output pixels.
// Weights: [panel][channels / inner][taps][inner][16], packed once by pack_weights.
// Aliasing: residual may be y (same map); nothing else may overlap. Threads split the output, never a sum.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/tile/tile.h"

namespace accel {

struct ConvSpec {
  Map input, output;
  int kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, top = 0, left = 0, dilation_h = 1, dilation_w = 1;
  int groups = 1;
  bool has_residual = false;
  Map residual;
  Activation activation;
};

// Throws std::invalid_argument where the maps, halos, groups and kernel do not fit together.
void check_conv(const ConvSpec& spec);

// Floats that the packed weights of `out` x `depth` x `taps` take.
std::size_t packed_size(long out, long depth, long taps);
// From w[out][depth][taps]; `inner` as the input map has it: 16 blocked, 1 plain, depth for the rows of a matrix.
void pack_weights(const float* w, long out, long depth, long taps, long inner, float* packed, int threads);

// One prepared layer: address tables and the split of the work, made once per shape.
class Conv {
 public:
  Conv(const ConvSpec& spec, const TileSet& tiles);
  // weights: packed per group; bias: one float per panel lane.
  void run(const float* x, const float* weights, const float* bias, const float* residual, float* y,
           int threads) const noexcept;
  double macs() const noexcept { return macs_; }

 private:
  struct Group {
    std::int32_t a, pixel;
    int rows;
  };
  void add_groups();
  void run_units(long begin, long end, const float* x, const float* weights, const float* bias, const float* residual,
                 float* y) const noexcept;

  ConvSpec spec_;
  const TileSet& tiles_;
  bool gather_;
  RowStep row_step_;
  int depth_, panels_, panel_steps_, step_, blocks_, block_groups_;
  double macs_;
  std::vector<std::int32_t> taps_, output_at_, residual_at_;
  std::vector<Group> groups_;
};

}  // namespace accel
