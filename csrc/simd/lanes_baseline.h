// SPDX-License-Identifier: BSD-3-Clause
// Words for butterflies between the lanes of one vector, by the compiler's own vectors; see lanes_avx512.h for what
// they mean.
#ifndef ACCEL_SIMD_LANES_BASELINE_H
#define ACCEL_SIMD_LANES_BASELINE_H
namespace accel::baseline {
using v2d = double __attribute__((vector_size(16)));
using v4u = std::uint32_t __attribute__((vector_size(16)));
struct f64 {
  v2d v;
  static constexpr int lanes = 2;
};
struct i32 {
  v4u v;  // unsigned: sums of signed numbers must not leave their range
  static constexpr int lanes = 4;
};
ACCEL_INLINE f64 load(const double* p) {
  f64 a;
  std::memcpy(&a.v, p, sizeof a.v);
  return a;
}
ACCEL_INLINE i32 load(const std::int32_t* p) {
  i32 a;
  std::memcpy(&a.v, p, sizeof a.v);
  return a;
}
ACCEL_INLINE void store(double* p, f64 a) { std::memcpy(p, &a.v, sizeof a.v); }
ACCEL_INLINE void store(std::int32_t* p, i32 a) { std::memcpy(p, &a.v, sizeof a.v); }
ACCEL_INLINE f64 operator+(f64 a, f64 b) { return {a.v + b.v}; }
ACCEL_INLINE f64 operator-(f64 a, f64 b) { return {a.v - b.v}; }
ACCEL_INLINE f64 operator*(f64 a, f64 b) { return {a.v * b.v}; }
ACCEL_INLINE i32 operator+(i32 a, i32 b) { return {a.v + b.v}; }
ACCEL_INLINE i32 operator-(i32 a, i32 b) { return {a.v - b.v}; }
ACCEL_INLINE void hide(f32&) {}
ACCEL_INLINE void hide(f64&) {}
ACCEL_INLINE void hide(i32&) {}
template <class V>
ACCEL_INLINE V minus(V a, V b, V) {
  return a - b;
}
ACCEL_INLINE f32 add_signed(f32 a, f32 sign, f32 b) { return a * sign + b; }
ACCEL_INLINE f64 add_signed(f64 a, f64 sign, f64 b) { return a * sign + b; }
ACCEL_INLINE i32 add_signed(i32 a, i32 sign, i32 b) { return b + (i32{a.v ^ sign.v} - sign); }
template <int D>
ACCEL_INLINE f32 exchange(f32 a) {
  if constexpr (D == 1) return {__builtin_shufflevector(a.v, a.v, 1, 0, 3, 2)};
  if constexpr (D == 2) return {__builtin_shufflevector(a.v, a.v, 2, 3, 0, 1)};
}
template <int D>
ACCEL_INLINE i32 exchange(i32 a) {
  if constexpr (D == 1) return {__builtin_shufflevector(a.v, a.v, 1, 0, 3, 2)};
  if constexpr (D == 2) return {__builtin_shufflevector(a.v, a.v, 2, 3, 0, 1)};
}
template <int D>
ACCEL_INLINE f64 exchange(f64 a) {
  return {__builtin_shufflevector(a.v, a.v, 1, 0)};
}
ACCEL_INLINE f32 magnitude(f32 a) {
  v4u bits;
  std::memcpy(&bits, &a.v, sizeof bits);
  bits &= 0x7fffffffu;
  std::memcpy(&a.v, &bits, sizeof bits);
  return a;
}
ACCEL_INLINE f32 signed_as(f32 a, f32 s) {
  v4u bits, sign;
  std::memcpy(&bits, &a.v, sizeof bits);
  std::memcpy(&sign, &s.v, sizeof sign);
  bits ^= sign & 0x80000000u;
  std::memcpy(&a.v, &bits, sizeof bits);
  return a;
}
ACCEL_INLINE f32 round_any(f32 a) {  // from 2**23 on all are integers
  const f32 size = magnitude(a), least = set1(8388608.f);
  return signed_as({size.v < least.v ? ((size + least) - least).v : size.v}, a);
}
template <int K>
ACCEL_INLINE void transpose_step(f32* t) {
  for (int i = 0; i < 4; ++i) {
    if (i >> K & 1) continue;
    const auto a = t[i].v, b = t[i + (1 << K)].v;
    if constexpr (K == 0) {
      t[i].v = __builtin_shufflevector(a, b, 0, 4, 1, 5), t[i + 1].v = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    } else {
      t[i].v = __builtin_shufflevector(a, b, 0, 1, 4, 5), t[i + 2].v = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    }
  }
}
ACCEL_INLINE void transpose_pairs(f32* t) {
  const auto a = t[0].v, b = t[1].v;
  t[0].v = __builtin_shufflevector(a, b, 0, 1, 4, 5), t[1].v = __builtin_shufflevector(a, b, 2, 3, 6, 7);
}
ACCEL_INLINE void transpose_quads(f32* t) { transpose(t); }
ACCEL_INLINE f32 gather_quads(const float* p, const std::uint32_t* at) { return load(p + at[0]); }
}  // namespace accel::baseline
#endif
