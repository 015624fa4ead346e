// SPDX-License-Identifier: BSD-3-Clause
// y = exp(x - max x) / sum exp(x - max x) along one axis of a plain array seen as outer x n x inner. NaN where the axis
// holds NaN or +Inf, or -Inf alone. The relative error is below (7 + sqrt(n)) eps, that of the differences apart. Bits
// depend on n, on whether inner is 1 and on the instruction set, never on what stands beside. x and y must not overlap.
#pragma once
#include "simd/isa.h"

namespace accel {

struct SoftmaxSpec {
  long outer = 1, n = 1, inner = 1;
};

struct SoftmaxKernels {
  // One softmax of n >= 16 numbers in a row.
  void (*row)(const float* x, float* y, long n) noexcept;
  // `columns` of them side by side: number k of column i is x[k step + i]. y may be x.
  void (*columns)(const float* x, float* y, long n, long step, long columns) noexcept;
};
extern const SoftmaxKernels* const kSoftmax[kIsaCount];

void softmax(const SoftmaxSpec& spec, const SoftmaxKernels& kernels, const float* x, float* y, int threads) noexcept;

}  // namespace accel
