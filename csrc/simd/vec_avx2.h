// SPDX-License-Identifier: BSD-3-Clause
// The vector words for AVX2 with FMA; see vec_avx512.h for what they mean.
#ifndef ACCEL_SIMD_VEC_AVX2_H
#define ACCEL_SIMD_VEC_AVX2_H
namespace accel::avx2 {
struct f32 {
  __m256 v;
  static constexpr int lanes = 8;
};
inline constexpr int kRegisters = 16;
ACCEL_INLINE f32 zero() { return {_mm256_setzero_ps()}; }
ACCEL_INLINE f32 set1(float x) { return {_mm256_set1_ps(x)}; }
ACCEL_INLINE f32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
ACCEL_INLINE f32 load_once(const float* p) { return load(p); }
ACCEL_INLINE f32 load_n(const float* p, int n) {
  float t[8] = {};
  std::memcpy(t, p, static_cast<std::size_t>(n) * sizeof(float));
  return load(t);
}
ACCEL_INLINE void store(float* p, f32 a) { _mm256_storeu_ps(p, a.v); }
// By way of the stack: a masked store costs 12 cycles on AMD.
ACCEL_INLINE void store_n(float* p, f32 a, int n) {
  float t[8];
  store(t, a);
  std::memcpy(p, t, static_cast<std::size_t>(n) * sizeof(float));
}
ACCEL_INLINE f32 operator+(f32 a, f32 b) { return {_mm256_add_ps(a.v, b.v)}; }
ACCEL_INLINE f32 operator-(f32 a, f32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
ACCEL_INLINE f32 operator*(f32 a, f32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
ACCEL_INLINE f32 operator/(f32 a, f32 b) { return {_mm256_div_ps(a.v, b.v)}; }
ACCEL_INLINE f32 fma(f32 a, f32 b, f32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
ACCEL_INLINE f32 fms(f32 a, f32 b, f32 c) { return {_mm256_fmsub_ps(a.v, b.v, c.v)}; }
ACCEL_INLINE f32 fnma(f32 a, f32 b, f32 c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
ACCEL_INLINE f32 max(f32 a, f32 b) { return {_mm256_max_ps(a.v, b.v)}; }
ACCEL_INLINE f32 min(f32 a, f32 b) { return {_mm256_min_ps(a.v, b.v)}; }
ACCEL_INLINE f32 max_nan(f32 a, f32 b) {
  return {_mm256_blendv_ps(_mm256_max_ps(a.v, b.v), a.v, _mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q))};
}
ACCEL_INLINE float sum_lanes(f32 a) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
ACCEL_INLINE bool has_nan(f32 a) { return _mm256_movemask_ps(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)) != 0; }
ACCEL_INLINE f32 select_negative(f32 x, f32 if_negative, f32 otherwise) {
  return {_mm256_blendv_ps(otherwise.v, if_negative.v, _mm256_cmp_ps(x.v, _mm256_setzero_ps(), _CMP_LT_OQ))};
}
ACCEL_INLINE f32 round_even(f32 a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
ACCEL_INLINE f32 exp2_integer(f32 a) {
  return {
      _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(a.v), _mm256_set1_epi32(127)), 23))};
}
using f32_part = f32;
ACCEL_INLINE f32_part first_lanes(f32 a) { return a; }
ACCEL_INLINE f32_part load_part(const float* p) { return load(p); }
#include "simd/eight_lanes.h"
ACCEL_INLINE f32 load_bits(const float* p, unsigned bits, f32 other) {
  if (bits == 0xff) return load(p);
  const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane), lane);
  return {_mm256_blendv_ps(other.v, _mm256_maskload_ps(p, set), _mm256_castsi256_ps(set))};
}
ACCEL_INLINE f32 quad(__m128 a) { return {_mm256_set_m128(a, a)}; }
ACCEL_INLINE f32 quad(const float* p) { return {_mm256_broadcast_ps(reinterpret_cast<const __m128*>(p))}; }
ACCEL_INLINE void two_quads(const float* p, f32* two) { two[0] = quad(p), two[1] = quad(p + 4); }
ACCEL_INLINE f32 quad(float a, float b, float c, float d) { return quad(_mm_setr_ps(a, b, c, d)); }
ACCEL_INLINE f32 quad(const std::uint16_t* p) {
  const __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return quad(_mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(halves), 16)));
}
ACCEL_INLINE f32 quad(const std::int8_t* p) {
  std::int32_t four;
  std::memcpy(&four, p, 4);
  return quad(_mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(four))));
}
struct QuadBook {
  __m256 low, high;
  explicit ACCEL_FORCE_INLINE QuadBook(const float* p) : low(_mm256_loadu_ps(p)), high(_mm256_loadu_ps(p + 8)) {}
};
ACCEL_INLINE f32 quad(const QuadBook& book, const std::uint8_t* nibbles) {
  std::uint16_t four;
  std::memcpy(&four, nibbles, 2);
  const __m256i code = _mm256_srlv_epi32(_mm256_set1_epi32(four), _mm256_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12));
  const __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(code, 28));  // bit 3 chooses
  return {_mm256_blendv_ps(_mm256_permutevar8x32_ps(book.low, code), _mm256_permutevar8x32_ps(book.high, code), upper)};
}
struct f32_quarter {
  __m128 v;
};
ACCEL_INLINE f32_quarter zero_quarter() { return {_mm_setzero_ps()}; }
ACCEL_INLINE f32_quarter load_quarter(const float* p) { return {_mm_loadu_ps(p)}; }
ACCEL_INLINE void store_quarter(float* p, f32_quarter a) { _mm_storeu_ps(p, a.v); }
ACCEL_INLINE f32_quarter quarter(f32 a) { return {_mm256_castps256_ps128(a.v)}; }
ACCEL_INLINE f32_quarter quarter(float a, float b, float c, float d) { return {_mm_setr_ps(a, b, c, d)}; }
ACCEL_INLINE f32_quarter operator+(f32_quarter a, f32_quarter b) { return {_mm_add_ps(a.v, b.v)}; }
ACCEL_INLINE f32_quarter fma(f32_quarter a, f32_quarter b, f32_quarter c) { return {_mm_fmadd_ps(a.v, b.v, c.v)}; }
template <int I>
ACCEL_INLINE f32 spread(f32 a) {
  return {_mm256_permute_ps(a.v, I * 0x55)};
}
ACCEL_INLINE void pin(f32&) {}
ACCEL_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
ACCEL_INLINE void prefetch_far(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
}  // namespace accel::avx2
#endif
