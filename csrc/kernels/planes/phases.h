// SPDX-License-Identifier: BSD-3-Clause
// A plane apart into the phases of a stride, each with room around it for what a window reads outside: every tap then
// reads all pixels of a row of the output side by side, and no lane needs a mask.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/planes/shifts.h"

namespace accel {

class PlanePhases {
 public:
  // Of the window of `spec`, whatever it is, over plain maps without halos, for vectors of `lanes` pixels. Throws
  // std::length_error for phases of 2^31 floats or more.
  PlanePhases(const ConvSpec& spec, int lanes);

  const std::vector<std::int32_t>& at() const noexcept { return at_; }  // [tap] where output pixel (0, 0) reads
  long row() const noexcept {
    return row_;
  }  // floats from one row of a phase, and of the outputs it serves, to the next
  long floats() const noexcept { return floats_; }  // of all phases; vectors may read up to there
  // Brings a plane's pixels in; what lies around them stays.
  void split(const float* plane, float* phases, CopyEvery copy) const noexcept;

 private:
  struct Phase {
    long y, x;  // its first pixel
  };
  void add_tap(long y, long x);

  Map in_;
  long stride_h_, stride_w_;
  long top_, left_;             // rows and columns of a phase before its first pixel
  long row_, height_, floats_;  // row_ x height_: of a phase
  std::vector<Phase> phases_;
  std::vector<std::int32_t> at_;
};

}  // namespace accel
