// SPDX-License-Identifier: BSD-3-Clause
// Direct convolution and matrix product by one register tile, float32.
//
//   y[n, o, i, j] = f(bias[o] + residual[n, o, i, j]
//                     + sum_{c, p, q} w[o, c, p, q] x[n, c, i*sh + p*dh - top, j*sw + q*dw - left])
//
// A tile is some output pixels times one or two panels of 16 output channels; all of the sum stays in registers. The
// rows of the left operand need no packing: neighbouring pixels of a blocked map are one cache line apart.
// Weights: [panel][channels / inner][taps][inner][16], packed once by pack_weights.
// Aliasing: residual may be y (same map); nothing else may overlap. Threads split the output, never a sum.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/activation/activation.h"
#include "kernels/layout/map.h"
#include "simd/isa.h"

namespace accel {

// What one call of the register tile computes.
struct Tile {
  const float* a;  // left operand: row r, depth d at a[r * a_row + (d / inner) * a_block + d % inner + taps[t]]
  long a_row, a_block;
  int inner, depth;
  const std::int32_t* taps;
  int tap_count;
  const float* b;  // weights of the first panel; the next one lies b_panel floats on
  long b_panel;
  const float* bias;
  float low, high;
  float* c;  // row r, panel p, lane l at c[c_at[r] + p * c_panel + l]
  const std::int32_t* c_at;
  long c_panel;
  const float* residual;  // null, or addressed alike
  const std::int32_t* residual_at;
  long residual_panel;
  int lanes;            // of the last panel that exist
  const float* next_a;  // fetched meanwhile
};
using TileFn = void (*)(const Tile&) noexcept;

// The tiles of one ISA. `gather` tiles take one tap per depth step instead of `inner` neighbours.
struct TileSet {
  static constexpr int kMostRows = 14;
  int most_rows;                      // per tile
  int most_panels;                    // per tile, 1 or 2
  int vector_rows, vector_panels;     // of the tiles for few rows
  TileFn tiles[2][2][kMostRows + 1];  // [gather][panels - 1][rows]
  TileFn vectors[5];                  // [rows], each vector_panels wide: the weights stream through once
  void (*activate)(const Activation&, const float* x, float* y, long n) noexcept;  // y may be x
};
extern const TileSet* const kTileSets[kIsaCount];

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
  int depth_, panels_, panel_steps_, step_, blocks_, block_groups_;
  double macs_;
  std::vector<std::int32_t> taps_, output_at_, residual_at_;
  std::vector<Group> groups_;
};

// y = f(x W^T + bias): x is rows x depth, y rows x out, both row-major.
class Linear {
 public:
  Linear(int rows, int depth, int out, const Activation& activation, const TileSet& tiles);
  // `scratch` holds scratch_floats() floats.
  void run(const float* x, const float* weights, const float* bias, float* y, float* scratch,
           int threads) const noexcept;
  long scratch_floats() const noexcept { return pack_ ? static_cast<long>(rows_) * ((depth_ + 15) / 16 * 16) : 0; }

 private:
  int rows_, depth_, out_, panels_, step_;
  bool pack_;  // rows are copied to 16-float blocks first: long rows would all fall into the same cache sets
  Activation activation_;
  const TileSet& tiles_;
  std::vector<std::int32_t> y_at_;
};

}  // namespace accel
