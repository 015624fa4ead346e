// SPDX-License-Identifier: BSD-3-Clause
// Arithmetic on plain arrays: y = a op b with NumPy's broadcasting, and y = exp(x). y may be an input that has its
// shape. The four operations are correctly rounded, so their bits are the same on every instruction set; exp is within
// 3 ulp.
#pragma once
#include <array>
#include <vector>

#include "simd/isa.h"

namespace accel {

enum class Arithmetic { add, subtract, multiply, divide };

struct BroadcastSpec {
  static constexpr int kMostAxes = 8;
  struct Axis {
    long size = 1, a = 0, b = 0;  // steps of the inputs in floats, 0 where they are stretched
  };
  Arithmetic kind = Arithmetic::add;
  int axes = 0;
  std::array<Axis, kMostAxes> axis;
  long rows() const noexcept;  // all axes but the last
};

// Neighbouring axes are joined where the steps allow it. Throws std::invalid_argument for more than kMostAxes axes,
// sizes below 1 and shapes that do not fit.
BroadcastSpec make_broadcast(Arithmetic kind, const std::vector<long>& a, const std::vector<long>& b);

struct BroadcastKernels {
  // n numbers; the steps are 0 or 1.
  void (*row)(Arithmetic kind, const float* a, long a_step, const float* b, long b_step, float* y, long n) noexcept;
  void (*exponential)(const float* x, float* y, long n) noexcept;
};
extern const BroadcastKernels* const kBroadcast[kIsaCount];

void broadcast(const BroadcastSpec& spec, const BroadcastKernels& kernels, const float* a, const float* b, float* y,
               int threads) noexcept;
void exponential(const BroadcastKernels& kernels, long n, const float* x, float* y, int threads) noexcept;

}  // namespace accel
