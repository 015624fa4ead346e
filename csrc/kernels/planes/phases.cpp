// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/planes/phases.h"

#include <algorithm>
#include <stdexcept>

namespace accel {
namespace {

long floor_div(long a, long b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

}  // namespace

PlanePhases::PlanePhases(const ConvSpec& s, int lanes) : in_(s.input), stride_h_(s.stride_h), stride_w_(s.stride_w) {
  const auto reach = [](long taps, long dilation) { return (taps - 1) * dilation; };
  const long up = floor_div(-s.top, stride_h_), right = floor_div(reach(s.kernel_w, s.dilation_w) - s.left, stride_w_),
             back = floor_div(-s.left, stride_w_), down = floor_div(reach(s.kernel_h, s.dilation_h) - s.top, stride_h_);
  top_ = -up, left_ = -back;
  row_ = s.output.width + right - back;
  height_ = s.output.height + down - up;
  for (long p = 0; p < s.kernel_h; ++p)
    for (long q = 0; q < s.kernel_w; ++q) add_tap(p * s.dilation_h - s.top, q * s.dilation_w - s.left);
  floats_ = std::ssize(phases_) * row_ * height_ + lanes;
  if (floats_ > INT32_MAX) throw std::length_error("planes: image too large");
}

// A tap that reads (y, x) for output (0, 0).
void PlanePhases::add_tap(long y, long x) {
  const long down = floor_div(y, stride_h_), right = floor_div(x, stride_w_);
  const Phase phase{y - down * stride_h_, x - right * stride_w_};
  const auto same = [&](const Phase& other) { return other.y == phase.y && other.x == phase.x; };
  auto found = std::find_if(phases_.begin(), phases_.end(), same);
  if (found == phases_.end()) found = phases_.insert(found, phase);
  at_.push_back(static_cast<std::int32_t>(((found - phases_.begin()) * height_ + down + top_) * row_ + right + left_));
}

void PlanePhases::split(const float* plane, float* phases, CopyEvery copy) const noexcept {
  for (const Phase& phase : phases_) {
    const long rows = std::min((in_.height - phase.y + stride_h_ - 1) / stride_h_, height_ - top_),
               columns = std::min((in_.width - phase.x + stride_w_ - 1) / stride_w_, row_ - left_);
    if (rows > 0 && columns > 0)
      copy(plane + phase.y * in_.row + phase.x, stride_h_ * in_.row, stride_w_, rows, columns,
           phases + top_ * row_ + left_, row_);
    phases += height_ * row_;
  }
}

}  // namespace accel
