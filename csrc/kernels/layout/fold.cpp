// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/layout/fold.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "kernels/layout/layout.h"
#include "runtime/pool.h"

namespace accel {
namespace {

// One image row into s neighbouring lanes of an output row: pixel j s + q - left to lane q of pixel j. s divides 16.
template <long s>
void fold_row(const float* from, long width, long left, float* to, long count) noexcept {
  const auto by_pixel = [&](long j) {
    for (long q = 0; q < s; ++q)
      if (const long x = j * s + q - left; x >= 0 && x < width) to[j * kBlock + q] = from[x];
  };
  const long first = std::min((left + s - 1) / s, count), last = std::clamp((width + left) / s, first, count);
  for (long j = 0; j < first; ++j) by_pixel(j);
  for (long j = first; j < last; ++j) std::memcpy(to + j * kBlock, from + j * s - left, s * sizeof(float));
  for (long j = last; j < count; ++j) by_pixel(j);
}

// The same for any stride: lanes `lane` .. lane + s - 1, those of them that this block of channels has.
void fold_any(const FoldSpec& s, const float* from, float* to, long lane) noexcept {
  for (long q = std::max(-lane, 0l); q < std::min<long>(s.stride, kBlock - lane); ++q)
    for (long j = 0; j < s.output.width; ++j)
      if (const long x = j * s.stride + q - s.left; x >= 0 && x < s.width) to[j * kBlock + lane + q] = from[x];
}

}  // namespace

void check_fold(const FoldSpec& s) {
  const Map& out = s.output;
  if (s.stride < 1 || s.channels < 1 || s.top < 0 || s.left < 0 || !out.blocked || out.images != s.images ||
      static_cast<long>(s.stride) * s.stride * s.channels != out.channels)
    throw std::invalid_argument("fold: maps do not fit");
}

void fold(const FoldSpec& s, const float* x, float* y, int threads) noexcept {
  const Map& out = s.output;
  const long rows = static_cast<long>(out.images) * out.planes() * out.height;
  parallel(parts_for(static_cast<double>(rows) * static_cast<double>(out.row) * 4, rows, threads), [&](int part,
                                                                                                       int parts) {
    const Range range = part_of(rows, part, parts);
    for (long r = range.begin; r < range.end; ++r) {
      const long i = r % out.height, plane = r / out.height, image = plane / out.planes(), p = plane % out.planes();
      float* to = y + image * out.image + p * out.plane + out.origin() + i * out.row;
      std::fill_n(to, out.width * kBlock, 0.f);
      // Runs of s lanes; one may begin in the plane before, and one end in the next.
      for (long run = p * kBlock / s.stride; run * s.stride < std::min<long>((p + 1) * kBlock, out.channels); ++run) {
        const long c = run / s.stride, row = i * s.stride + run % s.stride - s.top, lane = run * s.stride - p * kBlock;
        if (row < 0 || row >= s.height) continue;
        const float* from = x + ((image * s.channels + c) * s.height + row) * s.width;
        if (s.stride == 2)
          fold_row<2>(from, s.width, s.left, to + lane, out.width);
        else if (s.stride == 4)
          fold_row<4>(from, s.width, s.left, to + lane, out.width);
        else
          fold_any(s, from, to, lane);
      }
    }
  });
  zero_halo(out, y);
}

}  // namespace accel
