// SPDX-License-Identifier: BSD-3-Clause
// Words for looking up floats in memory; see window_avx512.h for what they mean.
#ifndef ACCEL_SIMD_WINDOW_NEON_H
#define ACCEL_SIMD_WINDOW_NEON_H
namespace accel::neon {
#include "simd/four_windows.h"

ACCEL_INLINE uint32x4_t bits_of(Dwords d) { return vreinterpretq_u32_u8(vld1q_u8(d.p)); }
template <int I>
ACCEL_INLINE f32 fma_real(Dwords places, f32 a, f32 b, f32 c) {
  return {vbslq_f32(vtstq_u32(bits_of(places), vdupq_n_u32(0x80u << 8 * I)), fma(a, b, c).v, c.v)};
}

template <int I>
ACCEL_INLINE f32 bf16_to_f32(Dwords d) {
  const uint32x4_t bits = bits_of(d);
  return {vreinterpretq_f32_u32(I ? vandq_u32(bits, vdupq_n_u32(0xffff0000u)) : vshlq_n_u32(bits, 16))};
}
template <int I>
ACCEL_INLINE f32 i8_to_f32(Dwords d) {
  const int32x4_t up = vshlq_s32(vreinterpretq_s32_u32(bits_of(d)), vdupq_n_s32(24 - 8 * I));
  return {vcvtq_f32_s32(vshrq_n_s32(up, 24))};
}
}  // namespace accel::neon
#endif
