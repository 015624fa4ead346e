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
template <int N>
ACCEL_INLINE f32 look_up_nibble(const Book16& book, Dwords codes) {  // nibble N of every dword
  return {_mm512_permutexvar_ps(N ? _mm512_srli_epi32(codes.v, 4 * N) : codes.v, book.v)};
}
template <int I>
ACCEL_INLINE f32 look_up(const Book16& book, Dwords codes) {
  return look_up_nibble<2 * I>(book, codes);
}
// Up to CODES floats as planes of bytes in registers: `planes` is plane after plane, of 256 bytes each. Where HALVES
// the lower two are zeros. Looks up four vectors at once, whose codes lie otherwise: [lane / 4][vector][lane % 4].
template <int CODES, bool HALVES>
struct ByteBook {
  __m512i part[4][CODES / 64];
  explicit ACCEL_FORCE_INLINE ByteBook(const float*, const std::uint8_t* planes) {
    ACCEL_UNROLL(4)
    for (int i = HALVES ? 2 : 0; i < 4; ++i) ACCEL_UNROLL(4)
    for (int j = 0; j < CODES / 64; ++j) part[i][j] = _mm512_loadu_si512(planes + 256 * i + 64 * j);
  }
  ACCEL_FORCE_INLINE __m512i bytes(int plane, __m512i c, __mmask64 upper) const {
    const __m512i* p = part[plane];
    if constexpr (CODES == 64) return _mm512_permutexvar_epi8(c, p[0]);
    if constexpr (CODES == 128) return _mm512_permutex2var_epi8(p[0], c, p[1]);
    if constexpr (CODES == 256)
      return _mm512_mask_blend_epi8(upper, _mm512_permutex2var_epi8(p[0], c, p[1]),
                                    _mm512_permutex2var_epi8(p[2], c, p[3]));
  }
};
template <int CODES, bool HALVES>
ACCEL_INLINE void look_up_four(const ByteBook<CODES, HALVES>& book, const std::uint8_t* codes, f32* four) {
  const __m512i c = load_dwords(codes).v;
  const __mmask64 upper = _mm512_movepi8_mask(c);
  __m512i a = _mm512_setzero_si512(), b = a;
  if constexpr (!HALVES) {
    const __m512i low = book.bytes(0, c, upper), high = book.bytes(1, c, upper);
    a = _mm512_unpacklo_epi8(low, high), b = _mm512_unpackhi_epi8(low, high);
  }
  const __m512i low = book.bytes(2, c, upper), high = book.bytes(3, c, upper);
  const __m512i d = _mm512_unpacklo_epi8(low, high), e = _mm512_unpackhi_epi8(low, high);
  four[0].v = _mm512_castsi512_ps(_mm512_unpacklo_epi16(a, d));
  four[1].v = _mm512_castsi512_ps(_mm512_unpackhi_epi16(a, d));
  four[2].v = _mm512_castsi512_ps(_mm512_unpacklo_epi16(b, e));
  four[3].v = _mm512_castsi512_ps(_mm512_unpackhi_epi16(b, e));
}
using Book256 = ByteBook<256, false>;
// One float in all lanes, by VPBROADCASTD: VBROADCASTSS from memory takes a slot in a vector pipe on Zen 4.
ACCEL_INLINE f32 spread_from(const float* p) {
  __m512 v;
  asm("vpbroadcastd %1, %0" : "=v"(v) : "m"(*p));
  return {v};
}
}  // namespace accel::avx512
#endif
