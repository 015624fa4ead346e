// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/pool/pool.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/layout/layout.h"
#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/pool/pool.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kKernels
const PoolKernels* const kPools[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

void check_pool(const PoolSpec& s) {
  if (!s.input.blocked || !s.output.blocked || s.input.images != s.output.images ||
      s.input.channels != s.output.channels)
    throw std::invalid_argument("pool: maps do not fit");
  if (s.kernel_h < 1 || s.kernel_w < 1 || s.stride_h < 1 || s.stride_w < 1 || s.dilation_h < 1 || s.dilation_w < 1 ||
      s.top < 0 || s.left < 0 || s.bottom < 0 || s.right < 0)
    throw std::invalid_argument("pool: kernel, strides and dilations must be positive, pads not negative");
}

void pool(const PoolSpec& s, const PoolKernels& kernels, const float* x, float* y, int threads) noexcept {
  const long rows = static_cast<long>(s.output.images) * s.output.planes() * s.output.height;
  const double loads = static_cast<double>(rows) * s.output.width * kBlock * s.kernel_h * s.kernel_w;
  parallel(parts_for(loads, rows, threads), [&](int part, int parts) {
    const Range range = part_of(rows, part, parts);
    for (long i = range.begin, count; i < range.end; i += count) {
      const long plane = i / s.output.height, first = i % s.output.height;
      const long image = plane / s.output.planes(), p = plane % s.output.planes();
      count = std::min(range.end - i, s.output.height - first);
      kernels.rows(s, x + image * s.input.image + p * s.input.plane, y + image * s.output.image + p * s.output.plane,
                   first, first + count);
      zero_halo_rows(s.output, y + image * s.output.image + p * s.output.plane, first, first + count);
    }
  });
  if (s.output.height == 0) zero_halo(s.output, y);
}

void global_average(const Map& map, const PoolKernels& kernels, const float* x, float* y, int threads) noexcept {
  const long planes = static_cast<long>(map.images) * map.planes();
  parallel(parts_for(static_cast<double>(planes) * static_cast<double>(map.plane), planes, threads),
           [&](int part, int parts) {
             const Range range = part_of(planes, part, parts);
             for (long i = range.begin; i < range.end; ++i) {
               const long image = i / map.planes(), p = i % map.planes();
               float mean[kBlock];
               kernels.mean(map, x + image * map.image + p * map.plane, mean);
               const long lanes = std::min<long>(kBlock, map.channels - p * kBlock);
               std::copy_n(mean, lanes, y + image * map.channels + p * kBlock);
             }
           });
}

}  // namespace accel
