// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/resize/resize.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/layout/layout.h"
#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/resize/resize.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY resize_row
const ResizeRow kResize[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

bool fits(const ResizeAxis& axis, int length, int size) {
  const std::size_t cells = static_cast<std::size_t>(size) * static_cast<std::size_t>(std::max(axis.taps, 0));
  return axis.taps >= 1 && axis.cells.size() == cells && axis.weights.size() == (axis.taps == 1 ? 0 : cells) &&
         std::all_of(axis.cells.begin(), axis.cells.end(), [=](int cell) { return cell >= 0 && cell < length; });
}

}  // namespace

void check_resize(const ResizeSpec& s) {
  if (!s.input.blocked || !s.output.blocked || s.input.images != s.output.images ||
      s.input.channels != s.output.channels)
    throw std::invalid_argument("resize: maps do not fit");
  if (!fits(s.h, s.input.height, s.output.height) || !fits(s.w, s.input.width, s.output.width))
    throw std::invalid_argument("resize: tables do not fit the maps");
}

void resize(const ResizeSpec& s, ResizeRow kernel, const float* x, float* y, int threads) noexcept {
  const long rows = static_cast<long>(s.output.images) * s.output.planes() * s.output.height;
  const double loads = static_cast<double>(rows) * s.output.width * kBlock * s.h.taps * s.w.taps;
  const ResizeTaps w{s.w.taps, s.w.cells.data(), s.w.weights.data()};
  parallel(parts_for(loads, rows, threads), [&](int part, int parts) {
    const Range range = part_of(rows, part, parts);
    for (long i = range.begin; i < range.end; ++i) {
      const long plane = i / s.output.height, row = i % s.output.height;
      const long image = plane / s.output.planes(), p = plane % s.output.planes();
      const ResizeTaps h{s.h.taps, s.h.cells.data() + row * s.h.taps,
                         s.h.taps == 1 ? nullptr : s.h.weights.data() + row * s.h.taps};
      kernel(h, w, s.input.row, s.output.width, x + image * s.input.image + p * s.input.plane + s.input.origin(),
             y + image * s.output.image + p * s.output.plane + s.output.origin() + row * s.output.row);
    }
  });
  zero_halo(s.output, y);
}

}  // namespace accel
