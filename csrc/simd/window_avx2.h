// SPDX-License-Identifier: BSD-3-Clause
// Words for looking up floats in registers, for AVX2; see window_avx512.h for what they mean.
#ifndef ACCEL_SIMD_WINDOW_AVX2_H
#define ACCEL_SIMD_WINDOW_AVX2_H
namespace accel::avx2 {
struct Dwords {
  __m256i v;
};
ACCEL_INLINE Dwords load_dwords(const std::uint8_t* p) {
  Dwords d{_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
  asm("" : "+x"(d.v));
  return d;
}
template <int I>
ACCEL_INLINE __m256i byte_down(Dwords d) {
  return I ? _mm256_srli_epi32(d.v, 8 * I) : d.v;
}
template <int I, int BIT>
ACCEL_INLINE __m256 sign_from(Dwords d) {  // blends go by the sign
  constexpr int kUp = 31 - BIT - 8 * I;
  return _mm256_castsi256_ps(kUp ? _mm256_slli_epi32(d.v, kUp) : d.v);
}

struct Window {
  __m256 part[4];
  explicit ACCEL_FORCE_INLINE Window(const float* p) {
    ACCEL_UNROLL(4)
    for (int i = 0; i < 4; ++i) part[i] = _mm256_loadu_ps(p + 8 * i);
  }
};
inline constexpr int kWideWindow = 32;  // more would take four look-ups more
using WideWindow = Window;
// Four permutations and three blends; a gather takes 9 cycles on Zen 4.
template <int I>
ACCEL_INLINE f32 look_up(const Window& w, Dwords places) {
  const __m256i at = byte_down<I>(places);
  const __m256 bit3 = sign_from<I, 3>(places);
  const __m256 low =
      _mm256_blendv_ps(_mm256_permutevar8x32_ps(w.part[0], at), _mm256_permutevar8x32_ps(w.part[1], at), bit3);
  const __m256 high =
      _mm256_blendv_ps(_mm256_permutevar8x32_ps(w.part[2], at), _mm256_permutevar8x32_ps(w.part[3], at), bit3);
  return {_mm256_blendv_ps(low, high, sign_from<I, 4>(places))};
}
template <int I>
ACCEL_INLINE f32 fma_real(Dwords places, f32 a, f32 b, f32 c) {
  return {_mm256_blendv_ps(c.v, _mm256_fmadd_ps(a.v, b.v, c.v), sign_from<I, 7>(places))};
}

template <int I>
ACCEL_INLINE f32 bf16_to_f32(Dwords d) {
  return {_mm256_castsi256_ps(I ? _mm256_and_si256(d.v, _mm256_set1_epi32(-65536)) : _mm256_slli_epi32(d.v, 16))};
}
template <int I>
ACCEL_INLINE f32 i8_to_f32(Dwords d) {
  return {_mm256_cvtepi32_ps(_mm256_srai_epi32(I == 3 ? d.v : _mm256_slli_epi32(d.v, 24 - 8 * I), 24))};
}
struct Book16 {
  __m256 low, high;
  explicit ACCEL_FORCE_INLINE Book16(const float* p) : low(_mm256_loadu_ps(p)), high(_mm256_loadu_ps(p + 8)) {}
};
template <int N>
ACCEL_INLINE f32 look_up_nibble(const Book16& book, Dwords codes) {
  const __m256i at = N ? _mm256_srli_epi32(codes.v, 4 * N) : codes.v;
  const __m256 bit3 = _mm256_castsi256_ps(N < 7 ? _mm256_slli_epi32(codes.v, 28 - 4 * N) : codes.v);
  return {_mm256_blendv_ps(_mm256_permutevar8x32_ps(book.low, at), _mm256_permutevar8x32_ps(book.high, at), bit3)};
}
template <int I>
ACCEL_INLINE f32 look_up(const Book16& book, Dwords codes) {
  return look_up_nibble<2 * I>(book, codes);
}
struct Book256 {
  const float* p;
  explicit ACCEL_FORCE_INLINE Book256(const float* floats, const std::uint8_t*) : p(floats) {}
};
ACCEL_INLINE void look_up_four(const Book256& book, const std::uint8_t* codes, f32* four) {
  ACCEL_UNROLL(4)
  for (int i = 0; i < 4; ++i) {
    std::int32_t low, high;
    std::memcpy(&low, codes + 4 * i, 4);
    std::memcpy(&high, codes + 16 + 4 * i, 4);
    const __m128i both = _mm_insert_epi32(_mm_cvtsi32_si128(low), high, 1);
    four[i].v = _mm256_i32gather_ps(book.p, _mm256_cvtepu8_epi32(both), 4);
  }
}
template <int, bool>
using ByteBook = Book256;
ACCEL_INLINE f32 spread_from(const float* p) { return set1(*p); }
}  // namespace accel::avx2
#endif
