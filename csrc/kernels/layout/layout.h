// SPDX-License-Identifier: BSD-3-Clause
// Copies between layouts. `plain` arguments without a map are contiguous N x C x H x W.
// Memory-bound: no variant per instruction set pays.
#pragma once
#include "kernels/layout/map.h"

namespace accel {

void zero_halo(const Map& map, float* x) noexcept;
// Either layout, halo zeroed. Lanes past C become zero.
void import_plain(const float* plain, const Map& map, float* x, int threads) noexcept;
void export_plain(const Map& map, const float* x, float* plain, int threads) noexcept;
// Blocked to blocked, or to a plain map, of the same sizes; halo zeroed.
void copy_map(const Map& from, const float* x, const Map& to, float* y, int threads) noexcept;
// From a blocked map in which each of `groups` starts a block of its own, to one without gaps between the groups.
void close_groups(const Map& from, const float* x, int groups, const Map& to, float* y, int threads) noexcept;

}  // namespace accel
