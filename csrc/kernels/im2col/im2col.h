// SPDX-License-Identifier: BSD-3-Clause
// Convolution as a matrix product over copied windows (im2col), float32.
//
// The formula is conv.h's. For a block of output pixels that fits the L2 cache the windows are copied from planes into
// a[k / 16][pixel][16], k = (channel, row, column), and multiplied by the register tile. Any channels, strides and
// dilations; the copies cost as much as 16 multiply-adds each, so it wins only where the direct kernel has too few.
// Weights: w[out][k] by pack_weights with inner = 16. Aliasing and threads as conv.h.
#pragma once
#include <vector>

#include "kernels/conv/conv.h"

namespace accel {

class Im2col final : public PreparedConv {
 public:
  // spec: plain input map. `threads`: the most that run() will be asked for.
  Im2col(const ConvSpec& spec, const TileSet& tiles, int threads);
  // weights: packed per group, one after another.
  void run(const ConvArrays& arrays, int threads) const noexcept override;
  std::size_t weight_floats() const noexcept override { return packed_size(spec_.output.channels, depth_, 1); }
  std::size_t bias_floats() const noexcept override { return padded_channels(spec_.output); }
  long scratch_floats() const noexcept override { return threads_ * windows_floats(); }

 private:
  long windows_floats() const noexcept;
  void run_unit(const ConvArrays& arrays, long unit, float* windows) const noexcept;
  void copy_windows(const float* planes, Range pixels, float* windows) const noexcept;
  void multiply(const ConvArrays& arrays, long image, long group, Range pixels, const float* windows) const noexcept;

  ConvSpec spec_;
  const TileSet& tiles_;
  int threads_, depth_, panels_, step_;  // depth: cells of a window
  long blocks_;                          // of pixels in an image
  std::vector<std::int32_t> cells_;      // of a window, from its first pixel
  std::vector<std::int32_t> input_at_, output_at_, residual_at_, row_at_;
};

}  // namespace accel
