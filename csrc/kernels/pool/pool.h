// SPDX-License-Identifier: BSD-3-Clause
// Pooling of blocked maps, lanes = channels. Windows are cut at the image's edge, so the halo is never read.
// The maximum of a window with a NaN is NaN, wherever it stands.
#pragma once
#include "kernels/layout/map.h"
#include "simd/isa.h"

namespace accel {

struct PoolSpec {
  enum class Kind { max, average };
  Kind kind = Kind::max;
  Map input, output;
  int kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, top = 0, left = 0, dilation_h = 1, dilation_w = 1;
  int bottom = 0, right = 0;  // padding that counts as cells of a window where count_padding is set
  bool count_padding = false;
};

struct PoolKernels {
  void (*rows)(const PoolSpec&, const float* x_plane, float* y_plane, long first, long last) noexcept;
  void (*mean)(const Map&, const float* x_plane, float* y) noexcept;  // 16 means of one plane
};
extern const PoolKernels* const kPools[kIsaCount];

void check_pool(const PoolSpec& spec);  // throws std::invalid_argument
void pool(const PoolSpec& spec, const PoolKernels& kernels, const float* x, float* y, int threads) noexcept;
// y: contiguous images x channels.
void global_average(const Map& map, const PoolKernels& kernels, const float* x, float* y, int threads) noexcept;

}  // namespace accel
