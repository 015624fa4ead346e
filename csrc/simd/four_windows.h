// SPDX-License-Identifier: BSD-3-Clause
// The words of looking up floats in memory, four lanes one by one, the same for every instruction set of four lanes:
// included inside the namespace of each, after quad(a, b, c, d). See window_avx512.h for what they mean.
struct Dwords {
  const std::uint8_t* p;
};
ACCEL_INLINE Dwords load_dwords(const std::uint8_t* p) { return {p}; }
ACCEL_INLINE f32 pick(const float* from, int a, int b, int c, int d) {
  return quad(from[a], from[b], from[c], from[d]);
}

struct Window {
  const float* x;
  explicit ACCEL_FORCE_INLINE Window(const float* p) : x(p) {}
};
inline constexpr int kWideWindow = 32;
using WideWindow = Window;
template <int I>
ACCEL_INLINE f32 look_up(const Window& w, Dwords places) {
  const std::uint8_t* p = places.p + I;
  return pick(w.x, p[0] & 31, p[4] & 31, p[8] & 31, p[12] & 31);
}

struct Book16 {
  const float* p;
  explicit ACCEL_FORCE_INLINE Book16(const float* floats) : p(floats) {}
};
template <int N>
ACCEL_INLINE f32 look_up_nibble(const Book16& book, Dwords codes) {
  const std::uint8_t* p = codes.p + N / 2;
  constexpr int kDown = N % 2 * 4;
  return pick(book.p, p[0] >> kDown & 15, p[4] >> kDown & 15, p[8] >> kDown & 15, p[12] >> kDown & 15);
}
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
template <int, bool>
using ByteBook = Book256;
ACCEL_INLINE f32 spread_from(const float* p) { return set1(*p); }
