// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/elementwise/elementwise.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/layout/layout.h"
#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/elementwise/elementwise.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY elementwise_pixels
const ElementwiseFn kElementwise[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

void check_elementwise(const ElementwiseSpec& s) {
  const auto same = [&](const Map& m) {
    return m.blocked && m.images == s.y.images && m.channels == s.y.channels && m.height == s.y.height &&
           m.width == s.y.width;
  };
  const bool needs_b = s.kind != ElementwiseSpec::Kind::copy && !s.b_per_channel;
  if (!same(s.a) || !same(s.y) || (needs_b && !same(s.b))) throw std::invalid_argument("elementwise: maps do not fit");
}

void elementwise(const ElementwiseSpec& s, ElementwiseFn kernel, const float* a, const float* b, float* y,
                 int threads) noexcept {
  const long rows = static_cast<long>(s.y.images) * s.y.planes() * s.y.height;
  const bool needs_b = s.kind != ElementwiseSpec::Kind::copy && !s.b_per_channel;
  const bool no_gaps = s.y.halo == 0 && s.a.halo == 0 && (!needs_b || s.b.halo == 0);
  parallel(parts_for(static_cast<double>(rows) * s.y.width * kBlock * 4, rows, threads), [&](int part, int parts) {
    const Range range = part_of(rows, part, parts);
    for (long i = range.begin, count; i < range.end; i += count) {
      const long row = i % s.y.height, plane = i / s.y.height, image = plane / s.y.planes(), p = plane % s.y.planes();
      count = std::min(range.end - i, s.y.height - row);
      const auto at = [&](const Map& m) { return image * m.image + p * m.plane + m.origin() + row * m.row; };
      float channel[kBlock] = {};
      const float* other = needs_b ? b + at(s.b) : channel;
      if (s.b_per_channel)
        std::copy_n(b + image * s.y.channels + p * kBlock, std::min<long>(kBlock, s.y.channels - p * kBlock), channel);
      float* to = y + at(s.y);
      const float* from = a + at(s.a);
      const long rows_at_once = no_gaps ? count : 1;
      for (long r = 0; r < count; r += rows_at_once)
        kernel(s, from + r * s.a.row, needs_b ? other + r * s.b.row : other, to + r * s.y.row,
               rows_at_once * s.y.width);
      zero_halo_rows(s.y, y + image * s.y.image + p * s.y.plane, row, row + count);
    }
  });
  if (s.y.height == 0) zero_halo(s.y, y);
}

}  // namespace accel
