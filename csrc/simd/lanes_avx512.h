// SPDX-License-Identifier: BSD-3-Clause
// Words for butterflies between the lanes of one vector, for float, double and int32, for AVX-512. Every lanes_<isa>.h
// defines the same words; int32 wraps around.
#ifndef ACCEL_SIMD_LANES_AVX512_H
#define ACCEL_SIMD_LANES_AVX512_H
namespace accel::avx512 {
struct f64 {
  __m512d v;
  static constexpr int lanes = 8;
};
struct i32 {
  __m512i v;
  static constexpr int lanes = 16;
};
ACCEL_INLINE f64 load(const double* p) { return {_mm512_loadu_pd(p)}; }
ACCEL_INLINE i32 load(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
ACCEL_INLINE void store(double* p, f64 a) { _mm512_storeu_pd(p, a.v); }
ACCEL_INLINE void store(std::int32_t* p, i32 a) { _mm512_storeu_si512(p, a.v); }
ACCEL_INLINE f64 operator+(f64 a, f64 b) { return {_mm512_add_pd(a.v, b.v)}; }
ACCEL_INLINE f64 operator-(f64 a, f64 b) { return {_mm512_sub_pd(a.v, b.v)}; }
ACCEL_INLINE f64 operator*(f64 a, f64 b) { return {_mm512_mul_pd(a.v, b.v)}; }
ACCEL_INLINE i32 operator+(i32 a, i32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
ACCEL_INLINE i32 operator-(i32 a, i32 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
ACCEL_INLINE void hide(f32& a) { asm("" : "+v"(a.v)); }  // the compiler no longer knows what is in it
ACCEL_INLINE void hide(f64& a) { asm("" : "+v"(a.v)); }
ACCEL_INLINE void hide(i32& a) { asm("" : "+v"(a.v)); }
// a - b with the bits of a - b. By a multiplication by `one` it runs in the pipes that sums leave free.
ACCEL_INLINE f32 minus(f32 a, f32 b, f32 one) { return {_mm512_fnmadd_ps(b.v, one.v, a.v)}; }
ACCEL_INLINE f64 minus(f64 a, f64 b, f64 one) { return {_mm512_fnmadd_pd(b.v, one.v, a.v)}; }
ACCEL_INLINE i32 minus(i32 a, i32 b, i32) { return a - b; }
// b + a where the sign is 1, b - a where it is -1; in an int32 sign that is 0 and -1.
ACCEL_INLINE f32 add_signed(f32 a, f32 sign, f32 b) { return fma(a, sign, b); }
ACCEL_INLINE f64 add_signed(f64 a, f64 sign, f64 b) { return {_mm512_fmadd_pd(a.v, sign.v, b.v)}; }
ACCEL_INLINE i32 add_signed(i32 a, i32 sign, i32 b) { return b + (i32{_mm512_xor_si512(a.v, sign.v)} - sign); }
// Lane i of the result is lane i ^ D.
template <int D>
ACCEL_INLINE f32 exchange(f32 a) {
  if constexpr (D == 1) return {_mm512_permute_ps(a.v, 0xb1)};
  if constexpr (D == 2) return {_mm512_permute_ps(a.v, 0x4e)};
  if constexpr (D == 4) return {_mm512_shuffle_f32x4(a.v, a.v, 0xb1)};
  if constexpr (D == 8) {
    const __m512i b = _mm512_castps_si512(a.v);
    return {_mm512_castsi512_ps(_mm512_alignr_epi64(b, b, 4))};  // 4 % faster than VSHUFF32X4 on Zen 4
  }
}
template <int D>
ACCEL_INLINE i32 exchange(i32 a) {
  return {_mm512_castps_si512(exchange<D>(f32{_mm512_castsi512_ps(a.v)}).v)};
}
template <int D>
ACCEL_INLINE f64 exchange(f64 a) {
  return {_mm512_castps_pd(exchange<2 * D>(f32{_mm512_castpd_ps(a.v)}).v)};
}
// round_even of any number, where that of vec_<isa>.h may be for small ones only.
ACCEL_INLINE f32 round_any(f32 a) { return round_even(a); }
ACCEL_INLINE f32 magnitude(f32 a) { return {_mm512_abs_ps(a.v)}; }
// a with its sign changed where the sign bit of s is set.
ACCEL_INLINE f32 signed_as(f32 a, f32 s) { return {_mm512_xor_ps(a.v, _mm512_and_ps(s.v, _mm512_set1_ps(-0.f)))}; }
// Transposes t[lanes] when all K below log2(lanes) have been taken, 0 before 1 and 2 before 3: then lane i of t[j] is
// in lane j of t[i with its two low bits exchanged]. Works on pairs of vectors 2^K apart.
template <int K>
ACCEL_INLINE void transpose_step(f32* t) {
  ACCEL_UNROLL(16)
  for (int i = 0; i < 16; ++i) {
    if (i >> K & 1) continue;
    const __m512 a = t[i].v, b = t[i + (1 << K)].v;
    const __m512d c = _mm512_castps_pd(a), d = _mm512_castps_pd(b);
    __m512 &low = t[i].v, &high = t[i + (1 << K)].v;
    if constexpr (K == 0) low = _mm512_unpacklo_ps(a, b), high = _mm512_unpackhi_ps(a, b);
    if constexpr (K == 1)
      low = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d)), high = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
    if constexpr (K > 1) low = _mm512_shuffle_f32x4(a, b, 0x88), high = _mm512_shuffle_f32x4(a, b, 0xdd);
  }
}
// Transposes lanes / 2 vectors of as many pairs of neighbouring lanes.
ACCEL_INLINE void transpose_pairs(f32* t) {
  __m512 a[8], b[8];
  ACCEL_UNROLL(4)
  for (int i = 0; i < 4; ++i) {
    const __m512d p = _mm512_castps_pd(t[2 * i].v), q = _mm512_castps_pd(t[2 * i + 1].v);
    a[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(p, q)), a[i + 4] = _mm512_castpd_ps(_mm512_unpackhi_pd(p, q));
  }
  ACCEL_UNROLL(4)
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm512_shuffle_f32x4(a[i], a[i + 1], 0x88), b[i + 1] = _mm512_shuffle_f32x4(a[i], a[i + 1], 0xdd);
  }
  ACCEL_UNROLL(2)
  for (int i = 0; i < 2; ++i) {  // b[4 i + 2 k + j] holds pairs 2 j + i and 4 + 2 j + i of rows 4 k .. 4 k + 3
    ACCEL_UNROLL(2)
    for (int j = 0; j < 2; ++j) {
      t[2 * j + i].v = _mm512_shuffle_f32x4(b[4 * i + j], b[4 * i + 2 + j], 0x88);
      t[2 * j + i + 4].v = _mm512_shuffle_f32x4(b[4 * i + j], b[4 * i + 2 + j], 0xdd);
    }
  }
}
// Four rows by lanes become lanes / 4 x 4 quads: within every 16 bytes, t[i] lane j becomes t[j] lane i.
ACCEL_INLINE void transpose_quads(f32* t) {
  const __m512 p = _mm512_unpacklo_ps(t[0].v, t[1].v), q = _mm512_unpackhi_ps(t[0].v, t[1].v);
  const __m512 r = _mm512_unpacklo_ps(t[2].v, t[3].v), s = _mm512_unpackhi_ps(t[2].v, t[3].v);
  t[0].v = _mm512_shuffle_ps(p, r, 0x44), t[1].v = _mm512_shuffle_ps(p, r, 0xee);
  t[2].v = _mm512_shuffle_ps(q, s, 0x44), t[3].v = _mm512_shuffle_ps(q, s, 0xee);
}
// 16 bytes each from p + at[0], p + at[1], ..., as many as fill a vector. Halves first: inserting into 32 bytes costs
// half. Two offsets by one load: loads are what it waits for.
ACCEL_INLINE f32 gather_quads(const float* p, const std::uint32_t* at) {
  std::uint64_t two[2];
  std::memcpy(two, at, sizeof(two));
  const auto half = [p](std::uint64_t q) __attribute__((always_inline)) {
    const __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(p + static_cast<std::uint32_t>(q)));
    return _mm256_insertf128_ps(low, _mm_loadu_ps(p + (q >> 32)), 1);
  };
  return {_mm512_insertf32x8(_mm512_castps256_ps512(half(two[0])), half(two[1]), 1)};
}
}  // namespace accel::avx512
#endif
