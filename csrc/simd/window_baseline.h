// SPDX-License-Identifier: BSD-3-Clause
// Words for looking up floats in memory, four lanes one by one; see window_avx512.h for what they mean.
#ifndef ACCEL_SIMD_WINDOW_BASELINE_H
#define ACCEL_SIMD_WINDOW_BASELINE_H
namespace accel::baseline {
struct Dwords {
  const std::uint8_t* p;
};
ACCEL_INLINE Dwords load_dwords(const std::uint8_t* p) { return {p}; }
ACCEL_INLINE f32 pick(const float* from, int a, int b, int c, int d) {
  return {v4f{from[a], from[b], from[c], from[d]}};
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
  v4i d;
  std::memcpy(&d, places.p, sizeof d);
  return {(d & (0x80 << 8 * I)) != 0 ? fma(a, b, c).v : c.v};
}

template <int I>
ACCEL_INLINE f32 bf16_to_f32(Dwords d) {
  v4i bits;
  std::memcpy(&bits, d.p, sizeof bits);
  return {(v4f)(I ? bits & -65536 : bits << 16)};
}
template <int I>
ACCEL_INLINE f32 i8_to_f32(Dwords d) {
  v4i bits;
  std::memcpy(&bits, d.p, sizeof bits);
  return {__builtin_convertvector((bits << (24 - 8 * I)) >> 24, v4f)};
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
}  // namespace accel::baseline
#endif
