// SPDX-License-Identifier: BSD-3-Clause
// Where the floats of an N x C x H x W activation lie.
//   blocked: blocks of 16 channels, [N][ceil(C/16)][top+H+bottom][left+W+right][16]: one pixel of a block is one cache
//            line, the same on every ISA; lanes past C hold finite values of no meaning;
//   plain:   [N][C][top+H+bottom][left+W+right].
// The halo around the H x W pixels is kept zero by whoever writes the map, so that convolutions need no border cases.
#pragma once
#include <cstddef>

namespace accel {

inline constexpr int kBlock = 16;

struct Map {
  bool blocked = true;
  int images = 0, channels = 0, height = 0, width = 0;
  int halo = 0;                        // pixels on each side
  long row = 0, plane = 0, image = 0;  // floats from one row, plane (block or channel), image to the next

  int pixel() const noexcept { return blocked ? kBlock : 1; }
  int planes() const noexcept { return blocked ? (channels + kBlock - 1) / kBlock : channels; }
  long pixels() const noexcept { return static_cast<long>(height) * width; }
  long origin() const noexcept { return halo * (row + pixel()); }  // of pixel (0, 0) in a plane
  long size() const noexcept { return images * image; }
};

// Throws std::invalid_argument for sizes below zero, std::length_error where a plane passes 2^30 floats or the whole
// 2^40.
Map make_map(bool blocked, int images, int channels, int height, int width, int halo);

}  // namespace accel
