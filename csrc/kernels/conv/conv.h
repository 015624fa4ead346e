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
  int fold = 1, folded_kernel = 0;  // of an input that fold() made: its stride, and the taps per side before it
  int pool = 1;  // 2: the output map holds the largest of each 2 x 2 results (Winograd with even tiles only)
  bool has_residual = false;
  Map residual;
  Activation activation;
};

inline std::size_t padded_channels(const Map& map) noexcept { return static_cast<std::size_t>(map.planes()) * kBlock; }

// What a later step will read from memory, for one that has load slots to spare to call into the caches.
struct Upcoming {
  const float* from = nullptr;
  long floats = 0;
};

// What one run works on; `scratch` holds PreparedConv::scratch_floats() floats.
struct ConvArrays {
  const float *x, *weights, *bias, *residual;
  float *y, *scratch;
  Upcoming upcoming{};
};

// A convolution prepared for one shape by some algorithm: address tables and the split of the work, made once.
// Immutable: any number of threads may run it, each with arrays of its own.
class PreparedConv {
 public:
  virtual ~PreparedConv() = default;
  virtual void run(const ConvArrays& arrays, int threads) const noexcept = 0;
  virtual std::size_t weight_floats() const noexcept = 0;  // of all groups
  virtual std::size_t bias_floats() const noexcept = 0;    // the output's channels filled up to whole blocks
  virtual long scratch_floats() const noexcept { return 0; }
  virtual long fetched_floats() const noexcept { return 0; }   // of Upcoming, at most, in a run
  virtual long streamed_floats() const noexcept { return 0; }  // of weights that are used too few times to come in time
};

// Throws std::invalid_argument where the maps, halos, groups and kernel do not fit together.
void check_conv(const ConvSpec& spec);

// Floats that the packed weights of `out` x `depth` x `taps` take.
std::size_t packed_size(long out, long depth, long taps);
// From w[out][depth][taps]; `inner` as the input map has it: 16 blocked, 1 plain, depth for the rows of a matrix.
void pack_weights(const float* w, long out, long depth, long taps, long inner, float* packed, int threads);

class Conv final : public PreparedConv {
 public:
  Conv(const ConvSpec& spec, const TileSet& tiles);
  // weights: packed per group.
  void run(const ConvArrays& arrays, int threads) const noexcept override;
  std::size_t weight_floats() const noexcept override;
  std::size_t bias_floats() const noexcept override { return padded_channels(spec_.output); }
  long fetched_floats() const noexcept override;
  long streamed_floats() const noexcept override;

 private:
  struct Group {
    std::int32_t a, pixel;
    int rows;
  };
  void add_groups();
  struct Share;
  void run_share(Share share, Range lines, Range steps) const noexcept;
  void run_block(Share& share, long image, Range range, long unit) const noexcept;
  long fetched_by_tile() const noexcept;
  Tile common_tile() const noexcept;
  void activate(const Tile& t, int panels, int rows) const noexcept;

  ConvSpec spec_;
  const TileSet& tiles_;
  bool gather_;
  bool half_;  // the last panel of a group holds at most half a block
  RowStep row_step_;
  int depth_, panels_, panel_steps_, step_, block_groups_;
  double macs_;
  std::vector<std::int32_t> taps_, output_at_, residual_at_;
  std::vector<Group> groups_;
};

}  // namespace accel
