// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/linear/linear.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "runtime/pool.h"

namespace accel {
namespace {

constexpr long kTileBlockFloats = 64 * 1024;  // of the left operand, a quarter of a 1 MB L2 cache

}  // namespace

Linear::Linear(int rows, int depth, int out, const Activation& activation, const TileSet& tiles)
    : rows_(rows), depth_(depth), out_(out), activation_(activation), tiles_(tiles) {
  if (rows < 0 || depth < 0 || out <= 0) throw std::invalid_argument("linear: sizes must be positive");
  panels_ = (out + kBlock - 1) / kBlock;
  pack_ = rows > tiles.vector_rows;
  step_ = pack_ ? tiles.most_panels : tiles.vector_panels;
  row_block_ = static_cast<long>(rows) * kBlock;
  if (row_block_ % 1024 == 0) row_block_ += kBlock;  // blocks a multiple of 4 KB apart would share cache sets
  const int most = pack_ ? tiles.most_rows : tiles.vector_rows;
  if (static_cast<double>(most) * out >= 2147483648.0) throw std::invalid_argument("linear: too wide");
  for (int r = 0; r < most; ++r) y_at_.push_back(r * out);
}

long Linear::scratch_floats() const noexcept { return pack_ ? row_block_ * ((depth_ + kBlock - 1) / kBlock) : 0; }

void Linear::run(const float* x, const float* weights, const float* bias, float* y, float* scratch,
                 int threads) const noexcept {
  if (pack_)
    parallel(parts_for(static_cast<double>(rows_) * depth_ * 8, rows_, threads), [&](int part, int parts) {
      const Range range = part_of(rows_, part, parts);
      for (long r = range.begin; r < range.end; ++r)
        for (int d = 0; d < depth_; d += kBlock)
          std::memcpy(scratch + d / kBlock * row_block_ + r * kBlock, x + r * depth_ + d,
                      static_cast<std::size_t>(std::min(kBlock, depth_ - d)) * sizeof(float));
    });
  const int block_rows = static_cast<int>(std::max<long>(tiles_.most_rows, kTileBlockFloats / std::max(depth_, 1)));
  const long blocks = std::max(1, (rows_ + block_rows - 1) / block_rows), steps = (panels_ + step_ - 1) / step_;
  const double macs = static_cast<double>(rows_) * depth_ * out_;
  parallel(parts_for(macs, blocks * steps, threads), [&](int part, int parts) {
    const Range units = part_of(blocks * steps, part, parts);
    for (long unit = units.begin; unit < units.end; ++unit) {
      const Range rows = part_of(rows_, static_cast<int>(unit / steps), static_cast<int>(blocks));
      run_block({pack_ ? scratch : x, weights, bias, y}, rows, static_cast<int>(unit % steps) * step_);
    }
  });
}

// Some rows times one step of panels from `panel` on.
void Linear::run_block(const Arrays& arrays, Range rows, int panel) const noexcept {
  const long per_panel = static_cast<long>(depth_) * kBlock, row_step = pack_ ? kBlock : depth_;
  const int count = static_cast<int>(rows.end - rows.begin);
  Tile t = plain_tile();
  t.a_row = row_step;
  t.a_block = row_block_;
  t.inner = pack_ ? kBlock : std::max(depth_, 1);
  t.depth = depth_;
  t.b_panel = per_panel;
  if (activation_.kind == Activation::Kind::clamp) t.low = activation_.low, t.high = activation_.high;
  t.c_at = y_at_.data();
  t.c_panel = kBlock;
  split_rows(count, pack_ ? tiles_.most_rows : tiles_.vector_rows, [&](int first, int n) {
    const long r = rows.begin + first;
    t.a = arrays.x + r * row_step;
    t.next_a = t.far = pack_ ? arrays.x + (first + n < count ? r + n : rows.begin) * row_step : t.a;
    // Full steps in one tile; what remains of the panels one by one.
    for (int p = panel, wide; p < std::min(panels_, panel + step_); p += wide) {
      wide = panels_ - p >= step_ ? step_ : 1;
      t.b = arrays.weights + p * per_panel;
      t.bias = arrays.bias + p * kBlock;
      t.c = arrays.y + r * out_ + p * kBlock;
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
