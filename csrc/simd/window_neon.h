// SPDX-License-Identifier: BSD-3-Clause
// Words for looking up floats in memory, four lanes one by one; see window_avx512.h for what they mean.
#ifndef ACCEL_SIMD_WINDOW_NEON_H
#define ACCEL_SIMD_WINDOW_NEON_H
namespace accel::neon {
struct Dwords {
  const std::uint8_t* p;
};
ACCEL_INLINE Dwords load_dwords(const std::uint8_t* p) { return {p}; }
ACCEL_INLINE uint32x4_t bits_of(Dwords d) { return vreinterpretq_u32_u8(vld1q_u8(d.p)); }
ACCEL_INLINE f32 pick(const float* from, int a, int b, int c, int d) {
  const float four[4] = {from[a], from[b], from[c], from[d]};
  return load(four);
}

struct Window {
  const float* x;
};
ACCEL_INLINE Window window(const float* p) { return {p}; }
template <int I>
ACCEL_INLINE f32 look_up(const Window& w, Dwords places) {
  const std::uint8_t* p = places.p + I;
  return pick(w.x, p[0] & 31, p[4] & 31, p[8] & 31, p[12] & 31);
}
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
struct Book16 {
  const float* p;
  explicit ACCEL_FORCE_INLINE Book16(const float* floats) : p(floats) {}
};
template <int I>
ACCEL_INLINE f32 look_up(const Book16& book, Dwords codes) {
  const std::uint8_t* p = codes.p + I;
  return pick(book.p, p[0], p[4], p[8], p[12]);
}
struct Book256 {
  const float* p;
  explicit ACCEL_FORCE_INLINE Book256(const float* floats, const std::uint8_t*) : p(floats) {}
};
ACCEL_INLINE void look_up_four(const Book256& book, const std::uint8_t* codes, f32* four) {
  for (int i = 0; i < 4; ++i, codes += 4) four[i] = pick(book.p, codes[0], codes[1], codes[2], codes[3]);
}
}  // namespace accel::neon
#endif
