// SPDX-License-Identifier: BSD-3-Clause
// The register tile: the one inner loop of every dense product (convolution, matrix product, Winograd products).
//
//   c[row r, output o] = clamp(bias[o] + residual[r, o] + sum_{d, t} a[r, d, t] b[d, t, o], low, high)
//
// A tile is some rows (output pixels, matrix rows, Winograd tiles) times one or two panels of 16 outputs; all of the
// sum stays in registers, so a result is written once and never read back. The rows of the left operand need no
// packing: neighbouring pixels of a blocked map are one cache line apart.
#pragma once
#include <cstdint>

#include "kernels/activation/activation.h"
#include "kernels/layout/map.h"
#include "runtime/pool.h"
#include "simd/isa.h"

namespace accel {

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
  const float* residual;  // null, or addressed alike; full panels only
  const std::int32_t* residual_at;
  long residual_panel;
  int lanes;  // of the last panel that exist
  // Fetched meanwhile: the tile's own rows so many floats ahead, and at last the start of the next tile's. One block is
  // right for rows that come from the L2 cache (tried: all of the next tile's rows, which drive the present ones out of
  // the L1 cache: slower on AVX2); none for those of a single tile beside weights that stream from memory.
  long own_ahead;
  const float* next_a;
  long ahead;        // the weights so many floats ahead,
  const float* far;  // and what the caller wants in the L2 cache soon, TileSet::far_lines lines of 16 floats,
  long far_block;    // so many floats on after every 16 steps of depth
};
using TileFn = void (*)(const Tile&) noexcept;

// How far apart the rows of the left operand lie.
enum class RowStep {
  neighbours,  // a_row = 16: pixels of a blocked map one after another
  strided,     // any a_row
  gather,      // any a_row, and one tap a step of depth instead of `inner` neighbours
};

// The tiles of one ISA.
struct TileSet {
  static constexpr int kMostRows = 28;
  int most_panels;                    // per tile, 1 or 2
  int most_rows;                      // per tile
  int single_rows;                    // of one panel and neighbouring rows
  int far_lines;                      // of Tile::far that 16 steps of depth fetch
  int vector_rows, vector_panels;     // of the tiles for few rows
  TileFn tiles[3][3][kMostRows + 1];  // [RowStep][panels][rows]
  TileFn halved[3][kMostRows + 1];    // the same for neighbours, the last panel only its first half: the rest becomes 0
  TileFn vectors[5];                  // [rows], any a_row, vector_panels wide: the weights stream through once
  void (*activate)(const Activation&, const float* x, float* y, long n) noexcept;  // y may be x

  TileFn tile(RowStep step, int panels, int rows) const noexcept { return tiles[static_cast<int>(step)][panels][rows]; }
  int rows(RowStep step, int panels) const noexcept {
    return panels == 1 && step == RowStep::neighbours ? single_rows : most_rows;
  }
};
extern const TileSet* const kTileSets[kIsaCount];

inline constexpr long kNear = 512;  // floats of a weight stream fetched ahead where it comes from the L2 cache, 2 KB

// A tile with one tap, bounds that clamp nothing, and full panels; the rest is the caller's to set.
Tile plain_tile() noexcept;

// n rows in ceil(n / most) parts of nearly equal size: 49 = 13 + 12 + 12 + 12, not 14 + 14 + 14 + 7.
template <class F>
void split_rows(int n, int most, F&& f) {
  const int parts = (n + most - 1) / most;
  for (int i = 0; i < parts; ++i) {
    const Range r = part_of(n, i, parts);
    f(static_cast<int>(r.begin), static_cast<int>(r.end - r.begin));
  }
}

}  // namespace accel
