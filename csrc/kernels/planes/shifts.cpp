// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/planes/shifts.h"

#include <algorithm>
#include <stdexcept>

namespace accel {
namespace {

long floor_div(long a, long b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

bool plain(const Map& map) { return !map.blocked && map.halo == 0 && map.pixels() > 0; }

}  // namespace

bool TapShifts::fits(const ConvSpec& s) noexcept {
  return plain(s.input) && plain(s.output) && (s.input.width + s.stride_w - 1) / s.stride_w == s.output.width;
}

TapShifts::TapShifts(const ConvSpec& spec, int lanes)
    : in_(spec.input),
      out_(spec.output),
      lanes_(lanes),
      stride_h_(spec.stride_h),
      stride_w_(spec.stride_w),
      height_((spec.input.height + stride_h_ - 1) / stride_h_),
      width_((spec.input.width + stride_w_ - 1) / stride_w_),
      vectors_((spec.output.pixels() + lanes - 1) / lanes) {
  for (long p = 0; p < spec.kernel_h; ++p)
    for (long q = 0; q < spec.kernel_w; ++q) add_tap(p * spec.dilation_h - spec.top, q * spec.dilation_w - spec.left);
  plane_ = strided() ? std::ssize(phases_) * height_ * width_ : in_.plane;
}

// A tap that reads (y, x) for output (0, 0).
void TapShifts::add_tap(long y, long x) {
  const long down = floor_div(y, stride_h_), right = floor_div(x, stride_w_);
  const Phase phase{y - down * stride_h_, x - right * stride_w_};
  const auto same = [&](const Phase& other) { return other.y == phase.y && other.x == phase.x; };
  auto found = std::find_if(phases_.begin(), phases_.end(), same);
  const bool strided = stride_h_ > 1 || stride_w_ > 1;
  if (strided && found == phases_.end()) found = phases_.insert(found, phase);
  const long at = (found - phases_.begin()) * height_ * width_ + down * width_ + right;
  if (at != static_cast<std::int32_t>(at)) throw std::length_error("planes: image too large");
  at_.push_back(static_cast<std::int32_t>(at));
  const std::size_t first = bits_.size();
  bits_.resize(first + static_cast<std::size_t>(vectors_));
  for (long i = 0; i < out_.height; ++i) {
    const long row = i * stride_h_ + y;
    if (row < 0 || row >= in_.height) continue;
    for (long j = 0; j < out_.width; ++j) {
      const long column = j * stride_w_ + x, n = i * out_.width + j;
      if (column >= 0 && column < in_.width)
        bits_[first + static_cast<std::size_t>(n / lanes_)] |= static_cast<std::uint16_t>(1u << n % lanes_);
    }
  }
}

void TapShifts::split(const float* from, float* phases, CopyEvery copy) const noexcept {
  for (const Phase& phase : phases_) {
    const long rows = (in_.height - phase.y + stride_h_ - 1) / stride_h_,
               columns = (in_.width - phase.x + stride_w_ - 1) / stride_w_;
    if (phase.y < in_.height && phase.x < in_.width)
      copy(from + phase.y * in_.row + phase.x, stride_h_ * in_.row, stride_w_, rows, columns, phases, width_);
    phases += height_ * width_;
  }
}

}  // namespace accel
