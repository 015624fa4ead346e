// SPDX-License-Identifier: BSD-3-Clause
// Words for counting bits; see bits_avx512.h for what they mean.
#ifndef ACCEL_SIMD_BITS_AVX2_H
#define ACCEL_SIMD_BITS_AVX2_H
namespace accel::avx2 {
struct u64w {  // its tile counts bytes: csrc/kernels/binary/tile_avx2.h
  static constexpr int lanes = 4;
};
inline constexpr bool kBitQuads = false;
inline constexpr int kBitPixels = 4, kBitVectors = 16;
struct i32 {
  __m256i v;
  static constexpr int lanes = 8;
};
ACCEL_INLINE i32 load_i32(const std::int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
ACCEL_INLINE void store(std::int32_t* p, i32 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
ACCEL_INLINE void store_n(std::int32_t* p, i32 a, int n) {
  std::int32_t t[8];
  store(t, a);
  std::memcpy(p, t, static_cast<std::size_t>(n) * sizeof(std::int32_t));
}
ACCEL_INLINE i32 minus_twice(i32 a, i32 b) { return {_mm256_sub_epi32(a.v, _mm256_add_epi32(b.v, b.v))}; }
ACCEL_INLINE unsigned bits_at_most(i32 a, i32 b) {
  return ~static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a.v, b.v)))) & 0xffu;
}
ACCEL_INLINE f32 to_f32(i32 a) { return {_mm256_cvtepi32_ps(a.v)}; }
ACCEL_INLINE unsigned bits_at_least(f32 a, f32 b) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)));
}
ACCEL_INLINE i32 or_where_at_least(i32 word, i32 bit, f32 a, f32 b) {
  const __m256i where = _mm256_castps_si256(_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ));
  return {_mm256_or_si256(word.v, _mm256_and_si256(where, bit.v))};
}
ACCEL_INLINE i32 set1(std::int32_t x) { return {_mm256_set1_epi32(x)}; }
ACCEL_INLINE f32 absolute(f32 a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.f), a.v)}; }
ACCEL_INLINE f32 sign_by_bits(f32 a, unsigned bits) {
  const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i b = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane);
  const __m256i clear = _mm256_cmpeq_epi32(b, _mm256_setzero_si256());
  return {_mm256_xor_ps(a.v, _mm256_and_ps(_mm256_castsi256_ps(clear), _mm256_set1_ps(-0.f)))};
}
struct Sixteen {
  const float* p;
  explicit ACCEL_FORCE_INLINE Sixteen(const float* floats) : p(floats) {}
};
ACCEL_INLINE f32 look_up(const Sixteen& table, i32 codes) {
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.p), codes.v);
  const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.p + 8), codes.v);
  return {_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(codes.v, 28)))};  // bit 3 chooses
}
ACCEL_INLINE i32 next_nibble(i32 codes) { return {_mm256_srli_epi32(codes.v, 4)}; }
}  // namespace accel::avx2
#endif
