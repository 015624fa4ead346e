// SPDX-License-Identifier: BSD-3-Clause
// What one core can do at most, measured: the yardstick of the benchmarks. No kernel needs it.
#pragma once
#include "simd/isa.h"

namespace accel {

struct Probe {
  long operations;  // of one round: a multiplication and an addition are two
  // So many rounds of independent chains of multiply-adds in registers. The result depends on all of them.
  float (*multiply_add)(long rounds) noexcept;
  // The maximum of n floats, n a multiple of 256: reads, and next to no arithmetic.
  float (*read)(const float* x, long n) noexcept;
};
extern const Probe* const kProbes[kIsaCount];

// Operations per second: the best of some runs of a few milliseconds.
double multiply_add_peak(const Probe& probe) noexcept;
// Bytes per second of reading x over and over: those of memory, or of the cache that holds it.
double read_peak(const Probe& probe, const float* x, long n) noexcept;

}  // namespace accel
