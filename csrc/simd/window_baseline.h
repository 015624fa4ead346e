// SPDX-License-Identifier: BSD-3-Clause
// Words for looking up floats in memory; see window_avx512.h for what they mean.
#ifndef ACCEL_SIMD_WINDOW_BASELINE_H
#define ACCEL_SIMD_WINDOW_BASELINE_H
namespace accel::baseline {
#include "simd/four_windows.h"

template <int I>
ACCEL_INLINE f32 fma_real(Dwords places, f32 a, f32 b, f32 c) {
  v4i d;
  std::memcpy(&d, places.p, sizeof d);
  return {(d & (0x80 << 8 * I)) != 0 ? fma(a, b, c).v : c.v};
}

template <int I>
ACCEL_INLINE f32 bf16_to_f32(Dwords d) {
  v4i bits;
  std::memcpy(&bits, d.p, sizeof bits);
  return {(v4f)(I ? bits & -65536 : bits << 16)};
}
template <int I>
ACCEL_INLINE f32 i8_to_f32(Dwords d) {
  v4i bits;
  std::memcpy(&bits, d.p, sizeof bits);
  return {__builtin_convertvector((bits << (24 - 8 * I)) >> 24, v4f)};
}
}  // namespace accel::baseline
#endif
