// SPDX-License-Identifier: BSD-3-Clause
// The taps of a window as shifted planes.
//
// Where a window of stride 1 keeps an image's width, the pixels that a tap reads lie as far apart as the output's: a
// plane shifted by a constant, with a fixed set of lanes that fall outside the image. A stride is first taken apart:
// over the planes of its phases it is one.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/conv/conv.h"

namespace accel {

// to[i * to_row + j] = from[i * from_row + j * step], rows x columns of them.
using CopyEvery = void (*)(const float* from, long from_row, long step, long rows, long columns, float* to,
                           long to_row);

class TapShifts {
 public:
  // Whether the window of `spec`, over plain maps without halos, is of this kind.
  static bool fits(const ConvSpec& spec) noexcept;
  // Of one that is; throws std::length_error for planes of 2^31 floats or more.
  TapShifts(const ConvSpec& spec, int lanes);

  long vectors() const noexcept { return vectors_; }  // of an output plane
  int taps() const noexcept { return static_cast<int>(at_.size()); }
  const std::int32_t* at() const noexcept { return at_.data(); }       // [tap] where the first pixel of each reads
  const std::uint16_t* bits() const noexcept { return bits_.data(); }  // [tap][vector] lanes inside the image
  bool strided() const noexcept { return !phases_.empty(); }
  // Floats from one channel to the next, where the taps read: in the phases of a strided window, else in the input.
  long plane() const noexcept { return plane_; }
  // phases[row][column] = from[row * stride + y][column * stride + x] for every phase (y, x) that some tap reads.
  void split(const float* from, float* phases, CopyEvery copy) const noexcept;

 private:
  struct Phase {
    long y, x;
  };
  void add_tap(long y, long x);

  Map in_, out_;
  int lanes_;
  long stride_h_, stride_w_, height_, width_;  // of a phase
  long vectors_, plane_;
  std::vector<Phase> phases_;
  std::vector<std::int32_t> at_;
  std::vector<std::uint16_t> bits_;
};

}  // namespace accel
