// SPDX-License-Identifier: BSD-3-Clause
// Signs to bits, and what works on bits or signs alone. Bit i of a string is bit i % 64 of word i / 64; what lies after
// the last is 0.
#pragma once
#include <cstdint>

#include "kernels/layout/map.h"
#include "simd/isa.h"

namespace accel {

struct BitKernels {
  // n bits x[i] >= 0: -0 counts as +0, NaN gives 0.
  void (*row)(const float* x, long n, std::uint64_t* to) noexcept;
  // For pixels 0 .. n-1 bit c = x[c][i] >= at[c], or <= where below[c]; NaN gives 0. Planes lie `plane` floats apart,
  // the words of pixels `words` apart.
  void (*planes)(const float* x, long plane, int channels, const float* at, const std::uint8_t* below, long n,
                 std::uint64_t* to, long words) noexcept;
  // The same from one block of 16 channels: 16 bits of each pixel; below as a mask.
  void (*block)(const float* x, const float* at, std::uint32_t below, long n, std::uint16_t* to, long step) noexcept;
  // Mean of |x[c][i]| over channels.
  void (*means)(const float* x, long plane, int channels, long n, float* to) noexcept;
};
extern const BitKernels* const kBits[kIsaCount];

void pack_rows(const float* x, long rows, long n, const BitKernels& kernels, std::uint64_t* to, int threads) noexcept;
void pack_rows(const std::int8_t* x, long rows, long n, std::uint64_t* to, int threads) noexcept;

// From N x C x H x W; at and below are [C].
void pack_planes(const float* x, long images, int channels, long pixels, const float* at, const std::uint8_t* below,
                 const BitKernels& kernels, std::uint64_t* to, int threads) noexcept;
// From a blocked map; at is filled up to whole blocks with infinity, below[block] is a mask.
void pack_map(const Map& map, const float* x, const float* at, const std::uint16_t* below, const BitKernels& kernels,
              std::uint64_t* to, int threads) noexcept;

void channel_means(const float* x, long images, int channels, long pixels, const BitKernels& kernels, float* to,
                   int threads) noexcept;

struct BitPool {
  int images, height, width, out_h, out_w;
  long words;
  int kernel_h, kernel_w, stride_h, stride_w, top, left;
  bool minimum;  // AND instead of OR
};
// Every window must meet the image.
void pool_bits(const BitPool& pool, const std::uint64_t* x, std::uint64_t* y, int threads) noexcept;

// Whether a bit after the first n of some row is set.
bool padding_is_dirty(const std::uint64_t* x, long rows, long n) noexcept;

}  // namespace accel
