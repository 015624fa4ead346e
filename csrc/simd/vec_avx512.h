// SPDX-License-Identifier: BSD-3-Clause
// The vector words for AVX-512. Every ISA header defines the same words with the same meaning.
// max(a, b) and min(a, b) return b when either is NaN, so relu(x) = max(0, x) keeps NaN and -0.
#ifndef ACCEL_SIMD_VEC_AVX512_H
#define ACCEL_SIMD_VEC_AVX512_H
namespace accel::avx512 {
struct f32 {
  __m512 v;
  static constexpr int lanes = 16;
};
inline constexpr int kRegisters = 32;
ACCEL_INLINE __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
ACCEL_INLINE f32 zero() { return {_mm512_setzero_ps()}; }
ACCEL_INLINE f32 set1(float x) { return {_mm512_set1_ps(x)}; }
ACCEL_INLINE f32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
ACCEL_INLINE f32 load_once(const float* p) {  // GCC would load it again for every use
  f32 a = load(p);
  asm("" : "+v"(a.v));
  return a;
}
ACCEL_INLINE f32 load_n(const float* p, int n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
ACCEL_INLINE void store(float* p, f32 a) { _mm512_storeu_ps(p, a.v); }
ACCEL_INLINE void store_n(float* p, f32 a, int n) { _mm512_mask_storeu_ps(p, first(n), a.v); }
ACCEL_INLINE f32 operator+(f32 a, f32 b) { return {_mm512_add_ps(a.v, b.v)}; }
ACCEL_INLINE f32 operator-(f32 a, f32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
ACCEL_INLINE f32 operator*(f32 a, f32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
ACCEL_INLINE f32 operator/(f32 a, f32 b) { return {_mm512_div_ps(a.v, b.v)}; }
ACCEL_INLINE f32 fma(f32 a, f32 b, f32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
ACCEL_INLINE f32 fms(f32 a, f32 b, f32 c) { return {_mm512_fmsub_ps(a.v, b.v, c.v)}; }    // a b - c
ACCEL_INLINE f32 fnma(f32 a, f32 b, f32 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }  // c - a b
ACCEL_INLINE f32 max(f32 a, f32 b) { return {_mm512_max_ps(a.v, b.v)}; }
ACCEL_INLINE f32 min(f32 a, f32 b) { return {_mm512_min_ps(a.v, b.v)}; }
ACCEL_INLINE f32 max_nan(f32 a, f32 b) {  // NaN if either is
  return {_mm512_mask_max_ps(a.v, _mm512_cmp_ps_mask(a.v, a.v, _CMP_ORD_Q), a.v, b.v)};
}
ACCEL_INLINE float sum_lanes(f32 a) { return _mm512_reduce_add_ps(a.v); }
ACCEL_INLINE bool has_nan(f32 a) { return _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q) != 0; }
ACCEL_INLINE f32 select_negative(f32 x, f32 if_negative, f32 otherwise) {  // by x < 0
  return {_mm512_mask_mov_ps(otherwise.v, _mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_LT_OQ), if_negative.v)};
}
ACCEL_INLINE f32 round_even(f32 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
ACCEL_INLINE f32 exp2_integer(f32 a) {  // 2**a for integral a in -126..127
  return {
      _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(a.v), _mm512_set1_epi32(127)), 23))};
}
struct f32_part {  // at most half a block
  __m256 v;
  static constexpr int lanes = 8;
};
ACCEL_INLINE f32_part first_lanes(f32 a) { return {_mm512_castps512_ps256(a.v)}; }
ACCEL_INLINE f32_part load_part(const float* p) { return {_mm256_loadu_ps(p)}; }
ACCEL_INLINE void store(float* p, f32_part a) { _mm256_storeu_ps(p, a.v); }
ACCEL_INLINE f32_part operator+(f32_part a, f32_part b) { return {_mm256_add_ps(a.v, b.v)}; }
ACCEL_INLINE f32_part operator-(f32_part a, f32_part b) { return {_mm256_sub_ps(a.v, b.v)}; }
ACCEL_INLINE f32_part operator*(f32_part a, f32_part b) { return {_mm256_mul_ps(a.v, b.v)}; }
ACCEL_INLINE f32_part fma(f32_part a, f32_part b, f32_part c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
ACCEL_INLINE f32_part fms(f32_part a, f32_part b, f32_part c) { return {_mm256_fmsub_ps(a.v, b.v, c.v)}; }
ACCEL_INLINE f32_part fnma(f32_part a, f32_part b, f32_part c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
ACCEL_INLINE f32_part max(f32_part a, f32_part b) { return {_mm256_max_ps(a.v, b.v)}; }
ACCEL_INLINE f32_part min(f32_part a, f32_part b) { return {_mm256_min_ps(a.v, b.v)}; }
#include "simd/eight_lanes.h"
ACCEL_INLINE void transpose(f32* t) {  // t[i] lane j becomes t[j] lane i, for t[lanes]
  __m512 a[16], b[16];
  ACCEL_UNROLL(4)
  for (int i = 0; i < 16; i += 4) {
    const __m512d p = _mm512_castps_pd(_mm512_unpacklo_ps(t[i].v, t[i + 1].v));
    const __m512d q = _mm512_castps_pd(_mm512_unpackhi_ps(t[i].v, t[i + 1].v));
    const __m512d r = _mm512_castps_pd(_mm512_unpacklo_ps(t[i + 2].v, t[i + 3].v));
    const __m512d s = _mm512_castps_pd(_mm512_unpackhi_ps(t[i + 2].v, t[i + 3].v));
    a[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(p, r)), a[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(p, r));
    a[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(q, s)), a[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(q, s));
  }
  ACCEL_UNROLL(4)
  for (int i = 0; i < 4; ++i) {  // a[4 k + i] holds columns i, i + 4, i + 8, i + 12 of rows 4 k .. 4 k + 3
    b[i] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0x88), b[i + 4] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd);
    b[i + 8] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0x88);
    b[i + 12] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0xdd);
  }
  ACCEL_UNROLL(4)
  for (int i = 0; i < 4; ++i) {
    t[i].v = _mm512_shuffle_f32x4(b[i], b[i + 8], 0x88), t[i + 8].v = _mm512_shuffle_f32x4(b[i], b[i + 8], 0xdd);
    t[i + 4].v = _mm512_shuffle_f32x4(b[i + 4], b[i + 12], 0x88);
    t[i + 12].v = _mm512_shuffle_f32x4(b[i + 4], b[i + 12], 0xdd);
  }
}
// The lanes whose bit is set; `other` in those whose bit is not, and whose memory is not read.
ACCEL_INLINE f32 load_bits(const float* p, unsigned bits, f32 other) {
  return {_mm512_mask_loadu_ps(other.v, static_cast<__mmask16>(bits), p)};
}
// Four values side by side, again in every 16 bytes; spread<i> brings value i into all lanes.
ACCEL_INLINE f32 quad(__m128 a) { return {_mm512_broadcast_f32x4(a)}; }
ACCEL_INLINE f32 quad(const float* p) { return quad(_mm_loadu_ps(p)); }
ACCEL_INLINE void two_quads(const float* p, f32* two) {  // of eight values, by one load
  const __m512 eight = _mm512_castps256_ps512(_mm256_loadu_ps(p));
  two[0].v = _mm512_shuffle_f32x4(eight, eight, 0x00), two[1].v = _mm512_shuffle_f32x4(eight, eight, 0x55);
}
ACCEL_INLINE f32 quad(float a, float b, float c, float d) { return quad(_mm_setr_ps(a, b, c, d)); }
ACCEL_INLINE f32 quad(const std::uint16_t* p) {  // bfloat16
  const __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return quad(_mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(halves), 16)));
}
ACCEL_INLINE f32 quad(const std::int8_t* p) {
  std::int32_t four;
  std::memcpy(&four, p, 4);
  return quad(_mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(four))));
}
struct QuadBook {  // 16 floats to look up
  __m512 v;
  explicit ACCEL_FORCE_INLINE QuadBook(const float* p) : v(_mm512_loadu_ps(p)) {}
};
ACCEL_INLINE f32 quad(const QuadBook& book, const std::uint8_t* nibbles) {  // of two bytes, low half first
  std::uint16_t four;
  std::memcpy(&four, nibbles, 2);
  const __m512i shifts = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 4, 8, 12));
  return {_mm512_permutexvar_ps(_mm512_srlv_epi32(_mm512_set1_epi32(four), shifts), book.v)};
}
// Four lanes: the start of a vector.
struct f32_quarter {
  __m128 v;
};
ACCEL_INLINE f32_quarter zero_quarter() { return {_mm_setzero_ps()}; }
ACCEL_INLINE f32_quarter load_quarter(const float* p) { return {_mm_loadu_ps(p)}; }
ACCEL_INLINE void store_quarter(float* p, f32_quarter a) { _mm_storeu_ps(p, a.v); }
ACCEL_INLINE f32_quarter quarter(f32 a) { return {_mm512_castps512_ps128(a.v)}; }
ACCEL_INLINE f32_quarter quarter(float a, float b, float c, float d) { return {_mm_setr_ps(a, b, c, d)}; }
ACCEL_INLINE f32_quarter operator+(f32_quarter a, f32_quarter b) { return {_mm_add_ps(a.v, b.v)}; }
ACCEL_INLINE f32_quarter fma(f32_quarter a, f32_quarter b, f32_quarter c) { return {_mm_fmadd_ps(a.v, b.v, c.v)}; }
template <int I>
ACCEL_INLINE f32 spread(f32 a) {
  return {_mm512_permute_ps(a.v, I * 0x55)};
}
ACCEL_INLINE void pin(f32&) {}  // compute it here, not later: see vec_baseline.h
ACCEL_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
ACCEL_INLINE void prefetch_far(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
}  // namespace accel::avx512
#endif
