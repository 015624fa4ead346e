// SPDX-License-Identifier: BSD-3-Clause
// Words for counting bits; see bits_avx512.h for what they mean.
#ifndef ACCEL_SIMD_BITS_NEON_H
#define ACCEL_SIMD_BITS_NEON_H
namespace accel::neon {
struct u64w {
  uint64x2_t v;
  static constexpr int lanes = 2;
};
inline constexpr bool kBitQuads = false;
inline constexpr int kBitPixels = 6, kBitVectors = 4;
ACCEL_INLINE u64w spread_word(const std::uint64_t* p) { return {vld1q_dup_u64(p)}; }
ACCEL_INLINE u64w differing(u64w a, const std::uint64_t* w) {
  return {vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(vcntq_u8(vreinterpretq_u8_u64(veorq_u64(a.v, vld1q_u64(w)))))))};
}
ACCEL_INLINE u64w add_differing(u64w counts, u64w a, const std::uint64_t* w) {
  const uint8x16_t d = vcntq_u8(vreinterpretq_u8_u64(veorq_u64(a.v, vld1q_u64(w))));
  return {vpadalq_u32(counts.v, vpaddlq_u16(vpaddlq_u8(d)))};
}
struct i32 {
  int32x4_t v;
  static constexpr int lanes = 4;
};
ACCEL_INLINE i32 load_i32(const std::int32_t* p) { return {vld1q_s32(p)}; }
ACCEL_INLINE void store(std::int32_t* p, i32 a) { vst1q_s32(p, a.v); }
ACCEL_INLINE void store_n(std::int32_t* p, i32 a, int n) {
  std::int32_t t[4];
  store(t, a);
  std::memcpy(p, t, static_cast<std::size_t>(n) * sizeof(std::int32_t));
}
ACCEL_INLINE i32 interleave(u64w even, u64w odd) {
  return {vtrn1q_s32(vreinterpretq_s32_u64(even.v), vreinterpretq_s32_u64(odd.v))};
}
ACCEL_INLINE i32 minus_twice(i32 a, i32 b) { return {vsubq_s32(a.v, vaddq_s32(b.v, b.v))}; }
ACCEL_INLINE unsigned bits_of(uint32x4_t where) {
  const std::uint32_t lane[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(where, vld1q_u32(lane)));
}
ACCEL_INLINE unsigned bits_at_most(i32 a, i32 b) { return bits_of(vcleq_s32(a.v, b.v)); }
ACCEL_INLINE f32 to_f32(i32 a) { return {vcvtq_f32_s32(a.v)}; }
ACCEL_INLINE unsigned bits_at_least(f32 a, f32 b) { return bits_of(vcgeq_f32(a.v, b.v)); }
ACCEL_INLINE i32 or_where_at_least(i32 word, i32 bit, f32 a, f32 b) {
  return {vorrq_s32(word.v, vandq_s32(vreinterpretq_s32_u32(vcgeq_f32(a.v, b.v)), bit.v))};
}
ACCEL_INLINE i32 set1(std::int32_t x) { return {vdupq_n_s32(x)}; }
ACCEL_INLINE f32 absolute(f32 a) { return {vabsq_f32(a.v)}; }
ACCEL_INLINE f32 sign_by_bits(f32 a, unsigned bits) {
  const std::uint32_t lane[4] = {1, 2, 4, 8};
  const uint32x4_t set = vtstq_u32(vdupq_n_u32(bits), vld1q_u32(lane));
  const uint32x4_t flip = vbicq_u32(vdupq_n_u32(0x80000000u), set);
  return {vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a.v), flip))};
}
struct Sixteen {
  const float* p;
  explicit ACCEL_FORCE_INLINE Sixteen(const float* floats) : p(floats) {}
};
ACCEL_INLINE f32 look_up(const Sixteen& table, i32 codes) {
  std::int32_t c[4];
  store(c, {vandq_s32(codes.v, vdupq_n_s32(15))});
  const float four[4] = {table.p[c[0]], table.p[c[1]], table.p[c[2]], table.p[c[3]]};
  return load(four);
}
ACCEL_INLINE i32 next_nibble(i32 codes) { return {vshrq_n_s32(codes.v, 4)}; }
}  // namespace accel::neon
#endif
