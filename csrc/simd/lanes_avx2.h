// SPDX-License-Identifier: BSD-3-Clause
// Words for butterflies between the lanes of one vector, for AVX2; see lanes_avx512.h for what they mean.
#ifndef ACCEL_SIMD_LANES_AVX2_H
#define ACCEL_SIMD_LANES_AVX2_H
namespace accel::avx2 {
struct f64 {
  __m256d v;
  static constexpr int lanes = 4;
};
struct i32 {
  __m256i v;
  static constexpr int lanes = 8;
};
ACCEL_INLINE f64 load(const double* p) { return {_mm256_loadu_pd(p)}; }
ACCEL_INLINE i32 load(const std::int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
ACCEL_INLINE void store(double* p, f64 a) { _mm256_storeu_pd(p, a.v); }
ACCEL_INLINE void store(std::int32_t* p, i32 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
ACCEL_INLINE f64 operator+(f64 a, f64 b) { return {_mm256_add_pd(a.v, b.v)}; }
ACCEL_INLINE f64 operator-(f64 a, f64 b) { return {_mm256_sub_pd(a.v, b.v)}; }
ACCEL_INLINE f64 operator*(f64 a, f64 b) { return {_mm256_mul_pd(a.v, b.v)}; }
ACCEL_INLINE i32 operator+(i32 a, i32 b) { return {_mm256_add_epi32(a.v, b.v)}; }
ACCEL_INLINE i32 operator-(i32 a, i32 b) { return {_mm256_sub_epi32(a.v, b.v)}; }
ACCEL_INLINE void hide(f32& a) { asm("" : "+x"(a.v)); }
ACCEL_INLINE void hide(f64& a) { asm("" : "+x"(a.v)); }
ACCEL_INLINE void hide(i32& a) { asm("" : "+x"(a.v)); }
ACCEL_INLINE f32 minus(f32 a, f32 b, f32 one) { return {_mm256_fnmadd_ps(b.v, one.v, a.v)}; }
ACCEL_INLINE f64 minus(f64 a, f64 b, f64 one) { return {_mm256_fnmadd_pd(b.v, one.v, a.v)}; }
ACCEL_INLINE i32 minus(i32 a, i32 b, i32) { return a - b; }
ACCEL_INLINE f32 add_signed(f32 a, f32 sign, f32 b) { return fma(a, sign, b); }
ACCEL_INLINE f64 add_signed(f64 a, f64 sign, f64 b) { return {_mm256_fmadd_pd(a.v, sign.v, b.v)}; }
ACCEL_INLINE i32 add_signed(i32 a, i32 sign, i32 b) {
  return b + i32{_mm256_sub_epi32(_mm256_xor_si256(a.v, sign.v), sign.v)};
}
template <int D>
ACCEL_INLINE f32 exchange(f32 a) {
  if constexpr (D == 1) return {_mm256_permute_ps(a.v, 0xb1)};
  if constexpr (D == 2) return {_mm256_permute_ps(a.v, 0x4e)};
  if constexpr (D == 4) return {_mm256_permute2f128_ps(a.v, a.v, 1)};
}
template <int D>
ACCEL_INLINE i32 exchange(i32 a) {
  return {_mm256_castps_si256(exchange<D>(f32{_mm256_castsi256_ps(a.v)}).v)};
}
template <int D>
ACCEL_INLINE f64 exchange(f64 a) {
  return {_mm256_castps_pd(exchange<2 * D>(f32{_mm256_castpd_ps(a.v)}).v)};
}
ACCEL_INLINE f32 round_any(f32 a) { return round_even(a); }
ACCEL_INLINE f32 magnitude(f32 a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.f), a.v)}; }
ACCEL_INLINE f32 signed_as(f32 a, f32 s) { return {_mm256_xor_ps(a.v, _mm256_and_ps(s.v, _mm256_set1_ps(-0.f)))}; }
template <int K>
ACCEL_INLINE void transpose_step(f32* t) {
  ACCEL_UNROLL(8)
  for (int i = 0; i < 8; ++i) {
    if (i >> K & 1) continue;
    const __m256 a = t[i].v, b = t[i + (1 << K)].v;
    const __m256d c = _mm256_castps_pd(a), d = _mm256_castps_pd(b);
    __m256 &low = t[i].v, &high = t[i + (1 << K)].v;
    if constexpr (K == 0) low = _mm256_unpacklo_ps(a, b), high = _mm256_unpackhi_ps(a, b);
    if constexpr (K == 1)
      low = _mm256_castpd_ps(_mm256_unpacklo_pd(c, d)), high = _mm256_castpd_ps(_mm256_unpackhi_pd(c, d));
    if constexpr (K == 2) low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
  }
}
ACCEL_INLINE void transpose_pairs(f32* t) {
  __m256 a[4];
  ACCEL_UNROLL(2)
  for (int i = 0; i < 4; i += 2) {
    const __m256d p = _mm256_castps_pd(t[i].v), q = _mm256_castps_pd(t[i + 1].v);
    a[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(p, q)), a[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(p, q));
  }
  ACCEL_UNROLL(2)
  for (int i = 0; i < 2; ++i) {
    t[i].v = _mm256_permute2f128_ps(a[i], a[i + 2], 0x20);
    t[i + 2].v = _mm256_permute2f128_ps(a[i], a[i + 2], 0x31);
  }
}
ACCEL_INLINE void transpose_quads(f32* t) {
  const __m256 p = _mm256_unpacklo_ps(t[0].v, t[1].v), q = _mm256_unpackhi_ps(t[0].v, t[1].v);
  const __m256 r = _mm256_unpacklo_ps(t[2].v, t[3].v), s = _mm256_unpackhi_ps(t[2].v, t[3].v);
  t[0].v = _mm256_shuffle_ps(p, r, 0x44), t[1].v = _mm256_shuffle_ps(p, r, 0xee);
  t[2].v = _mm256_shuffle_ps(q, s, 0x44), t[3].v = _mm256_shuffle_ps(q, s, 0xee);
}
ACCEL_INLINE f32 gather_quads(const float* p, const std::uint32_t* at) {
  return {_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + at[0])), _mm_loadu_ps(p + at[1]), 1)};
}
}  // namespace accel::avx2
#endif
