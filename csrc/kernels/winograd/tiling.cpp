// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/winograd/tiling.h"

#include <algorithm>

namespace accel {
namespace {

constexpr int kEvenTiles = 8;  // with more of them than that, tiles that are cut when stored cost more than they save

// Whether the tiles of a side are of nearly equal length, which only pays where the last one would lack two outputs.
bool even(const WinogradTiling::Side& s) noexcept {
  return s.pool == 1 && s.tiles > 1 && s.tiles <= kEvenTiles && s.tiles * s.m - s.size > 1;
}

Range outputs(const WinogradTiling::Side& s, int tile) noexcept {
  if (even(s)) return part_of(s.size, tile, s.tiles);
  return {static_cast<long>(tile) * s.m, std::min(static_cast<long>(tile + 1) * s.m, static_cast<long>(s.size))};
}

// Tiles with m outputs.
int whole_tiles(const WinogradTiling::Side& s) noexcept {
  return even(s) ? std::max(s.size - s.tiles * (s.m - 1), 0) : s.size / s.m;
}

WinogradTiling::Side side_of(int size, int pool, int m) noexcept {
  return {size * pool, (size * pool + m - 1) / m, m, pool};
}

}  // namespace

WinogradTiling::WinogradTiling(const Map& output, int pool, int m)
    : images_(output.images),
      height_(side_of(output.height, pool, m)),
      width_(side_of(output.width, pool, m)),
      per_image_(static_cast<long>(height_.tiles) * width_.tiles) {
  cut(1);
}

void WinogradTiling::cut(long blocks) {
  blocks_ = blocks;
  tiles_.resize(static_cast<std::size_t>(count()));
  for (long t = 0; t < count(); ++t) tiles_[static_cast<std::size_t>(t)] = in_order(t);
  for (long b = 0; b < blocks; ++b) {
    const Range r = block(b);
    std::stable_sort(tiles_.begin() + r.begin, tiles_.begin() + r.end,
                     [this](const WinogradTile& a, const WinogradTile& c) { return order(a) < order(c); });
  }
}

double WinogradTiling::products(int n, int stride) const noexcept {
  const auto side = [=](const Side& s) { return static_cast<double>(s.tiles) * (n - 1) * stride + whole_tiles(s); };
  return side(height_) * side(width_) * images_;
}

Range WinogradTiling::block(long index) const noexcept {
  return {count() * index / blocks_, count() * (index + 1) / blocks_};
}

WinogradTile WinogradTiling::in_order(long tile) const noexcept {
  const int in_image = static_cast<int>(tile % per_image_);
  const Range y = outputs(height_, in_image / width_.tiles), x = outputs(width_, in_image % width_.tiles);
  return {tile / per_image_, static_cast<int>(y.begin), static_cast<int>(x.begin), static_cast<int>(y.end - y.begin),
          static_cast<int>(x.end - x.begin)};
}

// Whole columns, all, whole rows, none: every kind of product is needed by neighbours in this order.
int WinogradTiling::order(const WinogradTile& tile) const noexcept {
  const bool rows = tile.rows == height_.m, columns = tile.columns == width_.m;
  return columns ? (rows ? 1 : 0) : (rows ? 2 : 3);
}

WinogradTiling::Needs WinogradTiling::needs(long index) const noexcept {
  const Range r = block(index);
  long sizes[4] = {};
  for (long t = r.begin; t < r.end; ++t) ++sizes[order((*this)[t])];
  const long first = sizes[0], both = first + sizes[1], last = both + sizes[2];
  return {{{{0, r.end - r.begin}, {0, both}}, {{first, last}, {first, both}}}};
}

}  // namespace accel
