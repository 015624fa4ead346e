// SPDX-License-Identifier: BSD-3-Clause
// The vector words for any processor, by the compiler's own 16-byte vectors (SSE2 on x86-64, NEON on aarch64);
// see vec_avx512.h for what they mean. fma() rounds twice here: SSE2 has none.
#ifndef ACCEL_SIMD_VEC_BASELINE_H
#define ACCEL_SIMD_VEC_BASELINE_H
namespace accel::baseline {
using v4f = float __attribute__((vector_size(16)));
using v4i = std::int32_t __attribute__((vector_size(16)));
struct f32 {
  v4f v;
  static constexpr int lanes = 4;
};
inline constexpr int kRegisters = 16;
ACCEL_INLINE f32 zero() { return {v4f{}}; }
ACCEL_INLINE f32 set1(float x) { return {v4f{x, x, x, x}}; }
ACCEL_INLINE f32 load_n(const float* p, int n) {
  f32 a = zero();
  std::memcpy(&a.v, p, static_cast<std::size_t>(n) * sizeof(float));
  return a;
}
ACCEL_INLINE f32 load(const float* p) { return load_n(p, 4); }
ACCEL_INLINE f32 load_once(const float* p) { return load(p); }
ACCEL_INLINE void store_n(float* p, f32 a, int n) { std::memcpy(p, &a.v, static_cast<std::size_t>(n) * sizeof(float)); }
ACCEL_INLINE void store(float* p, f32 a) { store_n(p, a, 4); }
ACCEL_INLINE f32 operator+(f32 a, f32 b) { return {a.v + b.v}; }
ACCEL_INLINE f32 operator-(f32 a, f32 b) { return {a.v - b.v}; }
ACCEL_INLINE f32 operator*(f32 a, f32 b) { return {a.v * b.v}; }
ACCEL_INLINE f32 operator/(f32 a, f32 b) { return {a.v / b.v}; }
ACCEL_INLINE f32 fma(f32 a, f32 b, f32 c) { return {a.v * b.v + c.v}; }
ACCEL_INLINE f32 fms(f32 a, f32 b, f32 c) { return {a.v * b.v - c.v}; }
ACCEL_INLINE f32 fnma(f32 a, f32 b, f32 c) { return {c.v - a.v * b.v}; }
ACCEL_INLINE f32 max(f32 a, f32 b) { return {a.v > b.v ? a.v : b.v}; }
ACCEL_INLINE f32 min(f32 a, f32 b) { return {a.v < b.v ? a.v : b.v}; }
// All bits set is a NaN too, and SSE2 has no blend.
ACCEL_INLINE f32 max_nan(f32 a, f32 b) { return {(v4f)((v4i)max(a, b).v | (a.v != a.v))}; }
ACCEL_INLINE float sum_lanes(f32 a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
ACCEL_INLINE bool has_nan(f32 a) {
  const v4i differs = a.v != a.v;
  return (differs[0] | differs[1] | differs[2] | differs[3]) != 0;
}
ACCEL_INLINE f32 select_negative(f32 x, f32 if_negative, f32 otherwise) {
  return {x.v < 0.f ? if_negative.v : otherwise.v};
}
ACCEL_INLINE f32 round_even(f32 a) {  // |a| < 2**22; larger ones do not occur where it is used
  const v4f magic = {12582912.f, 12582912.f, 12582912.f, 12582912.f};
  return {(a.v + magic) - magic};
}
ACCEL_INLINE f32 exp2_integer(f32 a) {
  const v4i bits = (__builtin_convertvector(a.v, v4i) + 127) << 23;
  f32 r;
  std::memcpy(&r.v, &bits, sizeof bits);
  return r;
}
using f32_part = f32;
ACCEL_INLINE f32_part first_lanes(f32 a) { return a; }
ACCEL_INLINE f32_part load_part(const float* p) { return load(p); }
ACCEL_INLINE void transpose(f32* t) {
  const v4f a = __builtin_shufflevector(t[0].v, t[1].v, 0, 4, 1, 5),
            b = __builtin_shufflevector(t[0].v, t[1].v, 2, 6, 3, 7);
  const v4f c = __builtin_shufflevector(t[2].v, t[3].v, 0, 4, 1, 5),
            d = __builtin_shufflevector(t[2].v, t[3].v, 2, 6, 3, 7);
  t[0].v = __builtin_shufflevector(a, c, 0, 1, 4, 5), t[1].v = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  t[2].v = __builtin_shufflevector(b, d, 0, 1, 4, 5), t[3].v = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}
ACCEL_INLINE f32 quad(float a, float b, float c, float d) { return {v4f{a, b, c, d}}; }
#include "simd/four_lanes.h"
template <int I>
ACCEL_INLINE f32 spread(f32 a) {
  return {__builtin_shufflevector(a.v, a.v, I, I, I, I)};
}
// GCC moves sums of its own vectors down to where they are used, one whole chain after another, and then spills.
ACCEL_INLINE void pin(f32& a) {
#if defined(__x86_64__)
  asm volatile("" : "+x"(a.v));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(a.v));
#else
  (void)a;
#endif
}
ACCEL_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }
ACCEL_INLINE void prefetch_far(const void* p) { __builtin_prefetch(p, 0, 2); }
}  // namespace accel::baseline
#endif
