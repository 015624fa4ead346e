// SPDX-License-Identifier: BSD-3-Clause
// Separable resampling of blocked maps: along each axis every place of the output is a weighted sum of `taps` cells of
// the input,
//   t(h, w') = sum_k x(cells_h[h][k], w') weights_h[h][k],   y(h, w) = sum_k t(h, cells_w[w][k]) weights_w[w][k],
// each sum from zero, k rising, every product and sum rounded by itself: the bits of one pass per axis. An axis with
// one tap copies and has no weights. Nearest has 1 tap, linear 2, cubic 4. What a resampling means is in the tables
// alone.
#pragma once
#include <vector>

#include "kernels/layout/map.h"
#include "simd/isa.h"

namespace accel {

struct ResizeAxis {
  int taps = 1;
  std::vector<int> cells;      // taps per place of the output
  std::vector<float> weights;  // as many; none for one tap
};

struct ResizeSpec {
  Map input, output;
  ResizeAxis h, w;
};

// The taps of one row, and of all columns: plain pointers, because the code of std::vector must not be compiled for one
// instruction set.
struct ResizeTaps {
  int taps = 1;
  const int* cells = nullptr;
  const float* weights = nullptr;
};

// One row of one block, `width` pixels; `x` is pixel (0, 0) of the input block.
using ResizeRow = void (*)(const ResizeTaps& h, const ResizeTaps& w, long input_row, long width, const float* x,
                           float* y) noexcept;
extern const ResizeRow kResize[kIsaCount];

void check_resize(const ResizeSpec& spec);  // throws std::invalid_argument: maps, sizes of the tables, cells outside
void resize(const ResizeSpec& spec, ResizeRow kernel, const float* x, float* y, int threads) noexcept;

}  // namespace accel
