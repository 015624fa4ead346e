// SPDX-License-Identifier: BSD-3-Clause
// Folding of a stride into channels (space to depth): a convolution of stride s with k x k taps over C channels is one
// of stride 1 with ceil(k / s)^2 taps over s^2 C channels, which Winograd's transform can then shorten.
#pragma once
#include "kernels/layout/map.h"

namespace accel {

struct FoldSpec {
  int images, channels, height, width;  // of the plain input
  int stride, top, left;                // padding before the image
  Map output;  // blocked, s^2 C channels: channel (c s + p) s + q holds pixels (i s + p, j s + q) of c
};

void check_fold(const FoldSpec& spec);  // throws std::invalid_argument
// Neighbouring pixels become neighbouring lanes, so that a run of s floats is moved at once.
// y[n, (c s + p) s + q, i, j] = x[n, c, i s + p - top, j s + q - left], zero outside x.
void fold(const FoldSpec& spec, const float* x, float* y, int threads) noexcept;

}  // namespace accel
