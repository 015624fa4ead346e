// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/linear/linear.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "runtime/pool.h"

namespace accel {
namespace {

constexpr long kTileBlockFloats = 64 * 1024;  // of the left operand, a quarter of a 1 MB L2 cache,
constexpr long kLeastRows = 28;               // but all weights pass by once per block

}  // namespace

Linear::Linear(int rows, int depth, int out, const Activation& activation, const TileSet& tiles)
    : rows_(rows), depth_(depth), out_(out), activation_(activation), tiles_(tiles) {
  if (rows < 0 || depth < 0 || out <= 0) throw std::invalid_argument("linear: sizes must be positive");
  panels_ = (out + kBlock - 1) / kBlock;
  pack_ = rows > tiles.vector_rows;
  step_ = pack_ ? tiles.most_panels : tiles.vector_panels;
  const int most = pack_ ? tiles.most_rows : tiles.vector_rows;
  tile_count_ = (rows + most - 1) / most;
  block_tiles_ = static_cast<int>(std::max(kTileBlockFloats / std::max(depth, 1), kLeastRows) / most);
  if (static_cast<double>(most) * out >= 2147483648.0) throw std::invalid_argument("linear: too wide");
  for (int r = 0; r < most; ++r) y_at_.push_back(r * out);
}

long Linear::scratch_floats() const noexcept { return pack_ ? packed_floats(rows_) : 0; }

// Threads share out rows, or panels where the weights are larger than x: each thread then reads its part of them alone.
void Linear::run(const float* x, const float* weights, const float* bias, float* y, float* scratch,
                 int threads) const noexcept {
  const Arrays arrays{x, weights, bias, y};
  const int n = parts_for(static_cast<double>(rows_) * depth_ * out_, rows_, threads);
  if (tile_count_ < 2 * n || out_ > rows_) return run_tiles(arrays, {0, tile_count_}, scratch, threads);
  parallel(n, [&](int part, int parts) {
    const Range tiles = part_of(tile_count_, part, parts);
    run_tiles(arrays, tiles, scratch + packed_floats(rows_of(tiles).begin), 1);
  });
}

// Blocks of rows, which stay in the L2 cache, times steps of panels, which stream.
void Linear::run_tiles(const Arrays& arrays, Range tiles, float* packed, int threads) const noexcept {
  const long count = tiles.end - tiles.begin, blocks = (count + block_tiles_ - 1) / block_tiles_;
  const long steps = (panels_ + step_ - 1) / step_;
  for (long b = 0; b < blocks; ++b) {
    const Range r = part_of(count, static_cast<int>(b), static_cast<int>(blocks));
    Block block{rows_of({tiles.begin + r.begin, tiles.begin + r.end}), nullptr, depth_, 0};
    block.a = arrays.x + block.rows.begin * depth_;
    if (pack_) pack(block, packed, threads);
    const double macs = static_cast<double>(block.count()) * depth_ * out_;
    parallel(parts_for(macs, steps, threads), [&](int part, int parts) {
      const Range share = part_of(steps, part, parts);
      for (long step = share.begin; step < share.end; ++step) run_step(arrays, block, static_cast<int>(step) * step_);
    });
  }
}

// Into blocks of 16 columns, [depth / 16][rows][16], just before they are used: all at once first was slower.
void Linear::pack(Block& block, float* packed, int threads) const noexcept {
  const int count = block.count();
  const float* x = block.a;
  block.a = packed;
  block.row = kBlock;
  block.depth = static_cast<long>(count) * kBlock;
  parallel(parts_for(static_cast<double>(count) * depth_, count, threads), [&](int part, int parts) {
    const Range range = part_of(count, part, parts);
    for (long r = range.begin; r < range.end; ++r) {
      const float *from = x + r * depth_, *end = from + depth_;
      float* to = packed + r * kBlock;
      for (; end - from >= kBlock; from += kBlock, to += block.depth) std::memcpy(to, from, kBlock * sizeof(float));
      std::memcpy(to, from, static_cast<std::size_t>(end - from) * sizeof(float));
    }
  });
}

// Called into the L2 cache by the tiles: at the end of a block the rows that are packed next, and the lines of y, whose
// rows lie far apart, before they are stored to.
void Linear::fetch(Tile& t, const Arrays& arrays, const Block& block, int panel, int first) const noexcept {
  t.far = t.next_a;
  t.far_block = 0;
  if (!pack_) return;
  if (first == 0 && panel % tiles_.far_lines == 0 && block.count() * kBlock >= depth_) {
    t.far = arrays.y + block.rows.begin * out_ + panel * kBlock;
    t.far_block = out_;
  } else if (panel + step_ >= panels_ && block.rows.end < rows_) {
    t.far = arrays.x + (block.rows.end + first) * depth_;
    t.far_block = tiles_.far_lines * kBlock;
  }
}

// A block of rows times one step of panels from `panel` on.
void Linear::run_step(const Arrays& arrays, const Block& block, int panel) const noexcept {
  const long per_panel = static_cast<long>(depth_) * kBlock;
  Tile t = plain_tile();
  t.a_row = block.row;
  t.a_block = block.depth;
  t.inner = pack_ ? kBlock : std::max(depth_, 1);
  t.depth = depth_;
  t.b_panel = per_panel;
  if (activation_.kind == Activation::Kind::clamp) t.low = activation_.low, t.high = activation_.high;
  t.c_at = y_at_.data();
  t.c_panel = kBlock;
  if (pack_ && block.count() > tiles_.most_rows) t.own_ahead = t.a_block;
  split_rows(block.count(), pack_ ? tiles_.most_rows : tiles_.vector_rows, [&](int first, int n) {
    t.a = block.a + first * block.row;
    t.next_a = pack_ ? block.a + (first + n < block.count() ? first + n : 0) * block.row : t.a;
    fetch(t, arrays, block, panel, first);
    // Full steps in one tile; what remains of the panels one by one.
    for (int p = panel, wide; p < std::min(panels_, panel + step_); p += wide) {
      wide = panels_ - p >= step_ ? step_ : 1;
      t.b = arrays.weights + p * per_panel;
      t.bias = arrays.bias + p * kBlock;
      t.c = arrays.y + (block.rows.begin + first) * out_ + p * kBlock;
      t.lanes = std::min(kBlock, out_ - (p + wide - 1) * kBlock);
      if (pack_ || wide == 1)
        tiles_.tile(pack_ ? RowStep::neighbours : RowStep::strided, wide, n)(t);
      else
        tiles_.vectors[n](t);
      if (activation_.kind == Activation::Kind::clamp) continue;
      for (int i = 0; i < n; ++i) {
        float* y_row = t.c + t.c_at[i];
        tiles_.activate(activation_, y_row, y_row, (wide - 1) * kBlock + t.lanes);
      }
    }
  });
}

}  // namespace accel
