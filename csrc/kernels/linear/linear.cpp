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
  const int most = pack_ ? tiles.most_rows : tiles.vector_rows;
  if (static_cast<double>(most) * out >= 2147483648.0) throw std::invalid_argument("linear: too wide");
  for (int r = 0; r < most; ++r) y_at_.push_back(r * out);
}

void Linear::run(const float* x, const float* weights, const float* bias, float* y, float* scratch,
                 int threads) const noexcept {
  const double macs = static_cast<double>(rows_) * depth_ * out_;
  const long block = static_cast<long>(rows_) * kBlock, panel = static_cast<long>(depth_) * kBlock;
  if (pack_)
    parallel(parts_for(macs / out_ * 8, rows_, threads), [&](int part, int parts) {
      const Range range = part_of(rows_, part, parts);
      for (int d = 0; d < depth_; d += kBlock)
        for (long r = range.begin; r < range.end; ++r)
          std::memcpy(scratch + d / kBlock * block + r * kBlock, x + r * depth_ + d,
                      static_cast<std::size_t>(std::min(kBlock, depth_ - d)) * sizeof(float));
    });
  const bool clamped = activation_.kind == Activation::Kind::clamp;
  const int block_rows = static_cast<int>(std::max<long>(tiles_.most_rows, kTileBlockFloats * 2 / std::max(depth_, 1)));
  const long blocks = std::max(1, (rows_ + block_rows - 1) / block_rows), steps = (panels_ + step_ - 1) / step_;
  parallel(parts_for(macs, blocks * steps, threads), [&](int part, int parts) {
    Tile t = plain_tile();
    t.a_row = pack_ ? kBlock : depth_;
    t.a_block = block;
    t.inner = pack_ ? kBlock : std::max(depth_, 1);
    t.depth = depth_;
    t.b_panel = panel;
    if (clamped) t.low = activation_.low, t.high = activation_.high;
    t.c_at = y_at_.data();
    t.c_panel = kBlock;
    const Range units = part_of(blocks * steps, part, parts);
    for (long unit = units.begin; unit < units.end; ++unit) {
      const Range rows = part_of(rows_, static_cast<int>(unit / steps), static_cast<int>(blocks));
      const int p0 = static_cast<int>(unit % steps) * step_;
      split_rows(static_cast<int>(rows.end - rows.begin), pack_ ? tiles_.most_rows : tiles_.vector_rows,
                 [&](int first, int n) {
                   const long r = rows.begin + first;
                   t.a = t.next_a = t.far = pack_ ? scratch + r * kBlock : x + r * depth_;
                   // Full steps in one tile; what remains of the panels one by one.
                   for (int p = p0, wide; p < std::min(panels_, p0 + step_); p += wide) {
                     wide = panels_ - p >= step_ ? step_ : 1;
                     t.b = weights + p * panel;
                     t.bias = bias + p * kBlock;
                     t.c = y + r * out_ + p * kBlock;
                     t.lanes = std::min(kBlock, out_ - (p + wide - 1) * kBlock);
                     if (pack_ || wide == 1)
                       tiles_.tile(pack_ ? RowStep::neighbours : RowStep::strided, wide, n)(t);
                     else
                       tiles_.vectors[n](t);
                     if (!clamped)
                       for (int i = 0; i < n; ++i) {
                         float* y_row = t.c + t.c_at[i];
                         tiles_.activate(activation_, y_row, y_row, (wide - 1) * kBlock + t.lanes);
                       }
                   }
                 });
    }
  });
}

}  // namespace accel
