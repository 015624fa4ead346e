// SPDX-License-Identifier: BSD-3-Clause
// The vector words for NEON (aarch64); see vec_avx512.h for what they mean.
#ifndef ACCEL_SIMD_VEC_NEON_H
#define ACCEL_SIMD_VEC_NEON_H
namespace accel::neon {
struct f32 {
  float32x4_t v;
  static constexpr int lanes = 4;
};
inline constexpr int kRegisters = 32;
ACCEL_INLINE f32 zero() { return {vdupq_n_f32(0.f)}; }
ACCEL_INLINE f32 set1(float x) { return {vdupq_n_f32(x)}; }
ACCEL_INLINE f32 load(const float* p) { return {vld1q_f32(p)}; }
ACCEL_INLINE f32 load_once(const float* p) { return load(p); }
ACCEL_INLINE f32 load_n(const float* p, int n) {
  float t[4] = {};
  std::memcpy(t, p, static_cast<std::size_t>(n) * sizeof(float));
  return load(t);
}
ACCEL_INLINE void store(float* p, f32 a) { vst1q_f32(p, a.v); }
ACCEL_INLINE void store_n(float* p, f32 a, int n) {
  float t[4];
  store(t, a);
  std::memcpy(p, t, static_cast<std::size_t>(n) * sizeof(float));
}
ACCEL_INLINE f32 operator+(f32 a, f32 b) { return {vaddq_f32(a.v, b.v)}; }
ACCEL_INLINE f32 operator-(f32 a, f32 b) { return {vsubq_f32(a.v, b.v)}; }
ACCEL_INLINE f32 operator*(f32 a, f32 b) { return {vmulq_f32(a.v, b.v)}; }
ACCEL_INLINE f32 operator/(f32 a, f32 b) { return {vdivq_f32(a.v, b.v)}; }
ACCEL_INLINE f32 fma(f32 a, f32 b, f32 c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
ACCEL_INLINE f32 fms(f32 a, f32 b, f32 c) { return {vnegq_f32(vfmsq_f32(c.v, a.v, b.v))}; }
ACCEL_INLINE f32 fnma(f32 a, f32 b, f32 c) { return {vfmsq_f32(c.v, a.v, b.v)}; }
ACCEL_INLINE f32 max(f32 a, f32 b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
ACCEL_INLINE f32 min(f32 a, f32 b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
ACCEL_INLINE f32 max_nan(f32 a, f32 b) { return {vmaxq_f32(a.v, b.v)}; }
ACCEL_INLINE float sum_lanes(f32 a) { return vaddvq_f32(a.v); }
ACCEL_INLINE bool has_nan(f32 a) { return vminvq_u32(vceqq_f32(a.v, a.v)) == 0; }
ACCEL_INLINE f32 select_negative(f32 x, f32 if_negative, f32 otherwise) {
  return {vbslq_f32(vcltzq_f32(x.v), if_negative.v, otherwise.v)};
}
ACCEL_INLINE f32 round_even(f32 a) { return {vrndnq_f32(a.v)}; }
ACCEL_INLINE f32 exp2_integer(f32 a) {
  return {vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(a.v), vdupq_n_s32(127)), 23))};
}
using f32_part = f32;
ACCEL_INLINE f32_part first_lanes(f32 a) { return a; }
ACCEL_INLINE f32_part load_part(const float* p) { return load(p); }
ACCEL_INLINE void transpose(f32* t) {
  const float32x4x2_t a = vtrnq_f32(t[0].v, t[1].v), b = vtrnq_f32(t[2].v, t[3].v);
  t[0].v = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
  t[1].v = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
  t[2].v = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
  t[3].v = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}
ACCEL_INLINE f32 quad(float a, float b, float c, float d) {
  const float t[4] = {a, b, c, d};
  return load(t);
}
#include "simd/four_lanes.h"
template <int I>
ACCEL_INLINE f32 spread(f32 a) {
  return {vdupq_laneq_f32(a.v, I)};
}
ACCEL_INLINE void pin(f32&) {}
ACCEL_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }
ACCEL_INLINE void prefetch_far(const void* p) { __builtin_prefetch(p, 0, 2); }
}  // namespace accel::neon
#endif
