// SPDX-License-Identifier: BSD-3-Clause
// Copies between layouts. `plain` arguments without a map are contiguous N x C x H x W.
// Bound by the caches and the memory: each float is read once and written once.
#pragma once
#include "kernels/layout/map.h"
#include "simd/isa.h"

namespace accel {

struct BlockRows {  // some rows of a block
  long width, gap;  // pixels in a row, floats from the end of a row to the next
};

// Between a block and the `channels` planes, at most 16, that it holds. The planes lie `channel` floats apart; their
// pixels have no gaps. Lanes past `channels` become zero.
struct LayoutKernels {
  void (*import_block)(const float* from, long channel, int channels, float* to, const BlockRows& rows,
                       long pixels) noexcept;
  void (*export_block)(const float* from, const BlockRows& rows, long pixels, float* to, long channel,
                       int channels) noexcept;
};
extern const LayoutKernels* const kLayouts[kIsaCount];

void zero_halo(const Map& map, float* x) noexcept;
// The part of the halo beside rows first .. last-1 of one plane, above the first row and below the last.
void zero_halo_rows(const Map& map, float* plane, long first, long last) noexcept;
// Either layout, halo zeroed. Lanes past C become zero.
void import_plain(const float* plain, const Map& map, const LayoutKernels& kernels, float* x, int threads) noexcept;
void export_plain(const Map& map, const LayoutKernels& kernels, const float* x, float* plain, int threads) noexcept;
// Blocked to blocked, or to a plain map, of the same sizes; halo zeroed.
void copy_map(const Map& from, const LayoutKernels& kernels, const float* x, const Map& to, float* y,
              int threads) noexcept;
// From a blocked map in which each of `groups` starts a block of its own, to one without gaps between the groups.
void close_groups(const Map& from, const float* x, int groups, const Map& to, float* y, int threads) noexcept;

}  // namespace accel
