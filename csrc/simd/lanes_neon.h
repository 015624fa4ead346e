// SPDX-License-Identifier: BSD-3-Clause
// Words for butterflies between the lanes of one vector, for NEON; see lanes_avx512.h for what they mean.
#ifndef ACCEL_SIMD_LANES_NEON_H
#define ACCEL_SIMD_LANES_NEON_H
namespace accel::neon {
struct f64 {
  float64x2_t v;
  static constexpr int lanes = 2;
};
struct i32 {
  int32x4_t v;
  static constexpr int lanes = 4;
};
ACCEL_INLINE f64 load(const double* p) { return {vld1q_f64(p)}; }
ACCEL_INLINE i32 load(const std::int32_t* p) { return {vld1q_s32(p)}; }
ACCEL_INLINE void store(double* p, f64 a) { vst1q_f64(p, a.v); }
ACCEL_INLINE void store(std::int32_t* p, i32 a) { vst1q_s32(p, a.v); }
ACCEL_INLINE f64 operator+(f64 a, f64 b) { return {vaddq_f64(a.v, b.v)}; }
ACCEL_INLINE f64 operator-(f64 a, f64 b) { return {vsubq_f64(a.v, b.v)}; }
ACCEL_INLINE f64 operator*(f64 a, f64 b) { return {vmulq_f64(a.v, b.v)}; }
ACCEL_INLINE i32 operator+(i32 a, i32 b) { return {vaddq_s32(a.v, b.v)}; }
ACCEL_INLINE i32 operator-(i32 a, i32 b) { return {vsubq_s32(a.v, b.v)}; }
ACCEL_INLINE void hide(f32&) {}
ACCEL_INLINE void hide(f64&) {}
ACCEL_INLINE void hide(i32&) {}
template <class V>
ACCEL_INLINE V minus(V a, V b, V) {
  return a - b;
}
ACCEL_INLINE f32 add_signed(f32 a, f32 sign, f32 b) { return fma(a, sign, b); }
ACCEL_INLINE f64 add_signed(f64 a, f64 sign, f64 b) { return {vfmaq_f64(b.v, a.v, sign.v)}; }
ACCEL_INLINE i32 add_signed(i32 a, i32 sign, i32 b) { return b + (i32{veorq_s32(a.v, sign.v)} - sign); }
template <int D>
ACCEL_INLINE f32 exchange(f32 a) {
  if constexpr (D == 1) return {vrev64q_f32(a.v)};
  if constexpr (D == 2) return {vextq_f32(a.v, a.v, 2)};
}
template <int D>
ACCEL_INLINE i32 exchange(i32 a) {
  if constexpr (D == 1) return {vrev64q_s32(a.v)};
  if constexpr (D == 2) return {vextq_s32(a.v, a.v, 2)};
}
template <int D>
ACCEL_INLINE f64 exchange(f64 a) {
  return {vextq_f64(a.v, a.v, 1)};
}
ACCEL_INLINE f32 round_any(f32 a) { return round_even(a); }
ACCEL_INLINE f32 magnitude(f32 a) { return {vabsq_f32(a.v)}; }
ACCEL_INLINE f32 signed_as(f32 a, f32 s) {
  const uint32x4_t sign = vandq_u32(vreinterpretq_u32_f32(s.v), vdupq_n_u32(0x80000000u));
  return {vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a.v), sign))};
}
template <int K>
ACCEL_INLINE void transpose_step(f32* t) {
  ACCEL_UNROLL(4)
  for (int i = 0; i < 4; ++i) {
    if (i >> K & 1) continue;
    float32x4_t &low = t[i].v, &high = t[i + (1 << K)].v;
    const float32x4_t a = low, b = high;
    const float64x2_t c = vreinterpretq_f64_f32(a), d = vreinterpretq_f64_f32(b);
    if constexpr (K == 0) low = vzip1q_f32(a, b), high = vzip2q_f32(a, b);
    if constexpr (K == 1) low = vreinterpretq_f32_f64(vzip1q_f64(c, d)), high = vreinterpretq_f32_f64(vzip2q_f64(c, d));
  }
}
ACCEL_INLINE void transpose_pairs(f32* t) {
  const float64x2_t a = vreinterpretq_f64_f32(t[0].v), b = vreinterpretq_f64_f32(t[1].v);
  t[0].v = vreinterpretq_f32_f64(vzip1q_f64(a, b)), t[1].v = vreinterpretq_f32_f64(vzip2q_f64(a, b));
}
ACCEL_INLINE void transpose_quads(f32* t) { transpose(t); }
ACCEL_INLINE f32 gather_quads(const float* p, const std::uint32_t* at) { return load(p + at[0]); }
}  // namespace accel::neon
#endif
