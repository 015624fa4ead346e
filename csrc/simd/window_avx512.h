// SPDX-License-Identifier: BSD-3-Clause
// Words for looking up floats in registers, for AVX-512. Every window_<isa>.h defines the same words.
// Small numbers lie four to a dword, those of four vectors: byte (or half) i of dword j belongs to lane j of vector i.
#ifndef ACCEL_SIMD_WINDOW_AVX512_H
#define ACCEL_SIMD_WINDOW_AVX512_H
namespace accel::avx512 {
struct Dwords {
  __m512i v;
};
ACCEL_INLINE Dwords load_dwords(const std::uint8_t* p) {  // of `lanes` lanes
  Dwords d{_mm512_loadu_si512(p)};
  asm("" : "+v"(d.v));  // one load, not one per use
  return d;
}
template <int I>
ACCEL_INLINE __m512i byte_down(Dwords d) {  // whatever is above the byte stays
  return I ? _mm512_srli_epi32(d.v, 8 * I) : d.v;
}

// A window is 32 floats in registers, a wide one kWideWindow.
struct Window {
  __m512 low, high;
  explicit ACCEL_FORCE_INLINE Window(const float* p) : low(_mm512_loadu_ps(p)), high(_mm512_loadu_ps(p + 16)) {}
};
template <int I>
ACCEL_INLINE f32 look_up(const Window& w, Dwords places) {  // places 0..31 in the low five bits
  return {_mm512_permutex2var_ps(w.low, byte_down<I>(places), w.high)};
}
inline constexpr int kWideWindow = 64;
struct WideWindow {
  __m512 part[4];
  explicit ACCEL_FORCE_INLINE WideWindow(const float* p) {
    ACCEL_UNROLL(4)
    for (int i = 0; i < 4; ++i) part[i] = _mm512_loadu_ps(p + 16 * i);
  }
};
template <int I>
ACCEL_INLINE f32 look_up(const WideWindow& w, Dwords places) {  // places 0..63 in the low six bits
  const __m512i at = byte_down<I>(places);
  const __mmask16 upper = _mm512_test_epi32_mask(places.v, _mm512_set1_epi32(0x20 << 8 * I));
  return {_mm512_mask_blend_ps(upper, _mm512_permutex2var_ps(w.part[0], at, w.part[1]),
                               _mm512_permutex2var_ps(w.part[2], at, w.part[3]))};
}
template <int I>
ACCEL_INLINE f32 fma_real(Dwords places, f32 a, f32 b, f32 c) {  // a * b + c where bit 7 is set, else c
  const __mmask16 real =
      I == 3 ? _mm512_movepi32_mask(places.v) : _mm512_test_epi32_mask(places.v, _mm512_set1_epi32(0x80 << 8 * I));
  return {_mm512_mask3_fmadd_ps(a.v, b.v, c.v, real)};
}

template <int I>
ACCEL_INLINE f32 bf16_to_f32(Dwords d) {
  return {_mm512_castsi512_ps(I ? _mm512_and_si512(d.v, _mm512_set1_epi32(-65536)) : _mm512_slli_epi32(d.v, 16))};
}
template <int I>
ACCEL_INLINE f32 i8_to_f32(Dwords d) {
  return {_mm512_cvtepi32_ps(_mm512_srai_epi32(I == 3 ? d.v : _mm512_slli_epi32(d.v, 24 - 8 * I), 24))};
}
struct Book16 {
  __m512 v;
  explicit ACCEL_FORCE_INLINE Book16(const float* p) : v(_mm512_loadu_ps(p)) {}
};
template <int I>
ACCEL_INLINE f32 look_up(const Book16& book, Dwords codes) {
  return {_mm512_permutexvar_ps(byte_down<I>(codes), book.v)};
}
// 256 floats as four planes of bytes in registers: `planes` is plane after plane. Looks up four vectors at once, whose
// codes lie otherwise: [lane / 4][vector][lane % 4].
struct Book256 {
  __m512i part[4][4];
  explicit ACCEL_FORCE_INLINE Book256(const float*, const std::uint8_t* planes) {
    ACCEL_UNROLL(16)
    for (int i = 0; i < 16; ++i) part[i / 4][i % 4] = _mm512_loadu_si512(planes + 64 * i);
  }
};
ACCEL_INLINE void look_up_four(const Book256& book, const std::uint8_t* codes, f32* four) {
  const __m512i c = _mm512_loadu_si512(codes);
  const __mmask64 upper = _mm512_movepi8_mask(c);
  __m512i p[4];
  ACCEL_UNROLL(4)
  for (int i = 0; i < 4; ++i)
    p[i] = _mm512_mask_blend_epi8(upper, _mm512_permutex2var_epi8(book.part[i][0], c, book.part[i][1]),
                                  _mm512_permutex2var_epi8(book.part[i][2], c, book.part[i][3]));
  const __m512i a = _mm512_unpacklo_epi8(p[0], p[1]), b = _mm512_unpackhi_epi8(p[0], p[1]);
  const __m512i d = _mm512_unpacklo_epi8(p[2], p[3]), e = _mm512_unpackhi_epi8(p[2], p[3]);
  four[0].v = _mm512_castsi512_ps(_mm512_unpacklo_epi16(a, d));
  four[1].v = _mm512_castsi512_ps(_mm512_unpackhi_epi16(a, d));
  four[2].v = _mm512_castsi512_ps(_mm512_unpacklo_epi16(b, e));
  four[3].v = _mm512_castsi512_ps(_mm512_unpackhi_epi16(b, e));
}
}  // namespace accel::avx512
#endif
