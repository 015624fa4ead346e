// SPDX-License-Identifier: BSD-3-Clause
// Matrix product with a fixed matrix by the register tile, float32. Rows of a tile are rows of x.
// Weights: as pack_weights of conv.h makes them with one tap and `inner` = depth.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/tile/tile.h"

namespace accel {

// y = f(x W^T + bias): x is rows x depth, y rows x out, both row-major.
class Linear {
 public:
  Linear(int rows, int depth, int out, const Activation& activation, const TileSet& tiles);
  // `scratch` holds scratch_floats() floats.
  void run(const float* x, const float* weights, const float* bias, float* y, float* scratch,
           int threads) const noexcept;
  long scratch_floats() const noexcept;
  bool streams() const noexcept { return !pack_; }  // few rows: it waits for its weights, each of which it uses once

 private:
  struct Arrays {
    const float *x, *weights, *bias;
    float* y;
  };
  struct Block {
    Range rows;
    const float* a;   // the first of them, in place or packed
    long row, depth;  // floats from one row, and from one block of 16 columns, to the next
    int count() const noexcept { return static_cast<int>(rows.end - rows.begin); }
  };
  long packed_floats(long rows) const noexcept { return rows * kBlock * ((depth_ + kBlock - 1) / kBlock); }
  Range rows_of(Range tiles) const noexcept {
    return {rows_ * tiles.begin / tile_count_, rows_ * tiles.end / tile_count_};
  }
  void run_tiles(const Arrays& arrays, Range tiles, float* packed, int threads) const noexcept;
  void pack(Block& block, float* packed, int threads) const noexcept;
  void fetch(Tile& t, const Arrays& arrays, const Block& block, int panel, int first) const noexcept;
  void run_step(const Arrays& arrays, const Block& block, int panel) const noexcept;

  int rows_, depth_, out_, panels_, step_;
  int tile_count_, block_tiles_;  // of rows; per block
  bool pack_;  // rows are copied to 16-float blocks first: long rows would all fall into the same cache sets
  Activation activation_;
  const TileSet& tiles_;
  std::vector<std::int32_t> y_at_;
};

}  // namespace accel
