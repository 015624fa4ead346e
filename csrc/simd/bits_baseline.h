// SPDX-License-Identifier: BSD-3-Clause
// Words for counting bits by the compiler's own 16-byte vectors; see bits_avx512.h for what they mean.
#ifndef ACCEL_SIMD_BITS_BASELINE_H
#define ACCEL_SIMD_BITS_BASELINE_H
namespace accel::baseline {
using v2u = std::uint64_t __attribute__((vector_size(16)));
struct u64w {
  v2u v;
  static constexpr int lanes = 2;
};
inline constexpr bool kBitQuads = false;
inline constexpr int kBitPixels = 2, kBitVectors = 4;
ACCEL_INLINE u64w spread_word(const std::uint64_t* p) { return {v2u{*p, *p}}; }
ACCEL_INLINE u64w differing(u64w a, const std::uint64_t* w) {
  v2u d;
  std::memcpy(&d, w, sizeof d);
  d ^= a.v;
  d -= d >> 1 & 0x5555555555555555u;
  d = (d & 0x3333333333333333u) + (d >> 2 & 0x3333333333333333u);
  d = (d + (d >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  d += d >> 8;  // bytes hold at most 64: no carry out of them from here on
  d += d >> 16;
  d += d >> 32;
  return {d & 0x7fu};
}
ACCEL_INLINE u64w add_differing(u64w counts, u64w a, const std::uint64_t* w) { return {counts.v + differing(a, w).v}; }
struct i32 {
  v4i v;
  static constexpr int lanes = 4;
};
ACCEL_INLINE i32 load_i32(const std::int32_t* p) {
  i32 a;
  std::memcpy(&a.v, p, sizeof a.v);
  return a;
}
ACCEL_INLINE void store_n(std::int32_t* p, i32 a, int n) {
  std::memcpy(p, &a.v, static_cast<std::size_t>(n) * sizeof(std::int32_t));
}
ACCEL_INLINE void store(std::int32_t* p, i32 a) { store_n(p, a, 4); }
ACCEL_INLINE i32 interleave(u64w even, u64w odd) { return {(v4i)(even.v | odd.v << 32)}; }
ACCEL_INLINE i32 minus_twice(i32 a, i32 b) { return {a.v - (b.v + b.v)}; }
ACCEL_INLINE unsigned bits_of(v4i where) {
  return static_cast<unsigned>((where[0] & 1) | (where[1] & 2) | (where[2] & 4) | (where[3] & 8));
}
ACCEL_INLINE unsigned bits_at_most(i32 a, i32 b) { return bits_of(a.v <= b.v); }
ACCEL_INLINE f32 to_f32(i32 a) { return {__builtin_convertvector(a.v, v4f)}; }
ACCEL_INLINE unsigned bits_at_least(f32 a, f32 b) { return bits_of(a.v >= b.v); }
ACCEL_INLINE i32 or_where_at_least(i32 word, i32 bit, f32 a, f32 b) { return {word.v | ((a.v >= b.v) & bit.v)}; }
ACCEL_INLINE i32 set1(std::int32_t x) { return {v4i{x, x, x, x}}; }
ACCEL_INLINE f32 absolute(f32 a) { return {(v4f)((v4i)a.v & 0x7fffffff)}; }
ACCEL_INLINE f32 sign_by_bits(f32 a, unsigned bits) {
  const v4i lane = {1, 2, 4, 8};
  const v4i clear = (lane & static_cast<std::int32_t>(bits)) == 0;
  return {(v4f)((v4i)a.v ^ (clear & INT32_MIN))};
}
struct Sixteen {
  const float* p;
  explicit ACCEL_FORCE_INLINE Sixteen(const float* floats) : p(floats) {}
};
ACCEL_INLINE f32 look_up(const Sixteen& table, i32 codes) {
  const v4i c = codes.v & 15;
  return {v4f{table.p[c[0]], table.p[c[1]], table.p[c[2]], table.p[c[3]]}};
}
ACCEL_INLINE i32 next_nibble(i32 codes) { return {codes.v >> 4}; }
}  // namespace accel::baseline
#endif
