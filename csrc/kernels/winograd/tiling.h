// SPDX-License-Identifier: BSD-3-Clause
// Which tiles of m x m outputs cover a map, and which of their products are needed.
//
// A side of s outputs takes ceil(s / m) tiles of nearly equal length: 14 = 3 + 4 + 3 + 4, not 4 + 4 + 4 + 2. Only the
// last output of a tile needs the point at infinity, so a tile with fewer takes n - 1 products in place of n: 22 a
// side of 14, not 24. Where it saves nothing, and before a pooling, tiles are m long from the first on.
#pragma once
#include <vector>

#include "kernels/layout/map.h"
#include "runtime/pool.h"

namespace accel {

// Of a tile: its image, its first output pixel there, and how many it has.
struct WinogradTile {
  long image;
  int y, x, rows, columns;
};

class WinogradTiling {
 public:
  struct Side {
    int size, tiles, m, pool;  // outputs, before any pooling
  };
  // Positions count the results of the convolution, `pool` of them a side for one pixel of the map.
  WinogradTiling(const Map& output, int pool, int m);
  // Cuts the tiles into blocks as nearly equal as may be, and sorts each of them, so that those which need a product
  // lie side by side.
  void cut(long blocks);

  long count() const noexcept { return per_image_ * images_; }
  long per_image() const noexcept { return per_image_; }
  long blocks() const noexcept { return blocks_; }
  // Of all images: n a side and tile, n - 1 where the last output is missing; and with stride 2 once more n - 1.
  double products(int n, int stride) const noexcept;
  Range block(long index) const noexcept;
  WinogradTile in_order(long tile) const noexcept;  // of the image, row by row
  const WinogradTile& operator[](long tile) const noexcept { return tiles_[static_cast<std::size_t>(tile)]; }
  // Tiles of a block that need a product, from its first on: by whether its row and its column are the last ones.
  struct Needs {
    Range by[2][2];
  };
  Needs needs(long block) const noexcept;

 private:
  int order(const WinogradTile& tile) const noexcept;

  int images_;
  Side height_, width_;
  long per_image_, blocks_ = 1;
  std::vector<WinogradTile> tiles_;
};

}  // namespace accel
