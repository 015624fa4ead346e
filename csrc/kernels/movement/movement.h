// SPDX-License-Identifier: BSD-3-Clause
// Steps that move elements and compute nothing: Slice, Transpose, Concat, Split, Expand and Pad.
//   Strided:   element (i0, i1, ...) of a plain array goes to another place of a plain array, each axis with a step of
//              its own in either; steps may be negative, and zero on the side that is read;
//   MapWindow: y(n, c, h, w) = x(n, c - channel, first_h + h step_h, first_w + w step_w) on blocked maps, `value` where
//   x
//              has no such element;
//   channels last: a blocked map as a contiguous N x H x W x C array.
// Source and target must not overlap. Memory-bound: no variant per instruction set pays.
#pragma once
#include <array>
#include <vector>

#include "kernels/layout/map.h"

namespace accel {

struct Strided {
  static constexpr int kMostAxes = 8;
  struct Axis {
    long size = 1, from = 0, to = 0;  // steps in elements
  };
  int width = 4;  // bytes of an element
  int axes = 0;
  std::array<Axis, kMostAxes> axis;
  long from_first = 0, to_first = 0;
  long count() const noexcept;
};

// One side of a copy: where element (0, 0, ...) is, the step of every axis, and how many elements there are.
struct Side {
  long first = 0;
  std::vector<long> steps;
  long elements = 0;
};

// Simplified: fewer axes and wider elements where the steps allow it. Throws std::invalid_argument for more than
// kMostAxes axes, elements of other than 1, 2, 4 or 8 bytes, and what reaches outside either side.
Strided make_strided(int width, const std::vector<long>& sizes, const Side& from, const Side& to);
void copy_strided(const Strided& copy, const void* x, void* y, int threads) noexcept;

struct MapWindow {
  Map from, to;
  int channel = 0;
  int first_h = 0, step_h = 1, first_w = 0, step_w = 1;
  float value = 0.f;
};
void check_map_window(const MapWindow& window);  // throws std::invalid_argument
void copy_window(const MapWindow& window, const float* x, float* y, int threads) noexcept;

void export_channels_last(const Map& map, const float* x, float* y, int threads) noexcept;

}  // namespace accel
