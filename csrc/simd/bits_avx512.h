// SPDX-License-Identifier: BSD-3-Clause
// Words for counting bits. Every ISA header defines the same ones with the same meaning.
#ifndef ACCEL_SIMD_BITS_AVX512_H
#define ACCEL_SIMD_BITS_AVX512_H
namespace accel::avx512 {
struct u64w {  // words of 64 bits, or counts of them
  __m512i v;
  static constexpr int lanes = 8;
};
// The register tile of products of bits: pixels, and vectors of filters. 7 divides 7, 14, 28 and 56.
inline constexpr int kBitPixels = 7, kBitVectors = 4;
ACCEL_INLINE u64w spread_word(const std::uint64_t* p) { return {_mm512_set1_epi64(static_cast<long long>(*p))}; }
// In assembly, as GCC otherwise loads the words of all filters before the loop over pixels, and spills counts for them.
ACCEL_INLINE __m512i xor_words(u64w a, const std::uint64_t* w) {
  __m512i d;
  asm("vpxorq %2, %1, %0" : "=v"(d) : "v"(a.v), "m"(*reinterpret_cast<const __m512i*>(w)));
  return d;
}
// popcount(a xor the words at w).
ACCEL_INLINE u64w differing(u64w a, const std::uint64_t* w) { return {_mm512_popcnt_epi64(xor_words(a, w))}; }
ACCEL_INLINE u64w add_differing(u64w counts, u64w a, const std::uint64_t* w) {
  return {_mm512_add_epi64(counts.v, _mm512_popcnt_epi64(xor_words(a, w)))};
}
struct i32 {
  __m512i v;
  static constexpr int lanes = 16;
};
ACCEL_INLINE i32 load_i32(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
ACCEL_INLINE void store(std::int32_t* p, i32 a) { _mm512_storeu_si512(p, a.v); }
ACCEL_INLINE void store_n(std::int32_t* p, i32 a, int n) { _mm512_mask_storeu_epi32(p, first(n), a.v); }
// The low halves of both, taking turns.
ACCEL_INLINE i32 interleave(u64w even, u64w odd) {
  return {_mm512_mask_shuffle_epi32(even.v, 0xaaaa, odd.v, static_cast<_MM_PERM_ENUM>(0xa0))};
}
ACCEL_INLINE i32 minus_twice(i32 a, i32 b) { return {_mm512_sub_epi32(a.v, _mm512_add_epi32(b.v, b.v))}; }
ACCEL_INLINE unsigned bits_at_most(i32 a, i32 b) { return _mm512_cmple_epi32_mask(a.v, b.v); }  // lane i: bit i
// Bit i where count i, below 2^16, is less than limits[i]. Counts 0, 1, 8, 9, 16 .. are in the first vector, 2, 3, 10
// .. in the second: packing to 16 bits sorts them.
inline constexpr bool kBitQuads = true;
ACCEL_INLINE std::uint32_t counts_below(u64w a, u64w b, u64w c, u64w d, const std::uint16_t* limits) {
  const __m512i four = _mm512_packus_epi32(_mm512_packus_epi32(a.v, b.v), _mm512_packus_epi32(c.v, d.v));
  return _mm512_cmplt_epu16_mask(four, _mm512_loadu_si512(limits));
}
ACCEL_INLINE f32 to_f32(i32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
ACCEL_INLINE unsigned bits_at_least(f32 a, f32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ); }
// word |= bit in the lanes where a >= b, or where a <= b; NaN is neither.
ACCEL_INLINE i32 or_where_at_least(i32 word, i32 bit, f32 a, f32 b) {
  return {_mm512_mask_or_epi32(word.v, _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ), word.v, bit.v)};
}
ACCEL_INLINE i32 set1(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
ACCEL_INLINE f32 absolute(f32 a) { return {_mm512_abs_ps(a.v)}; }
// a with its sign flipped in lane i if bit i is clear.
ACCEL_INLINE f32 sign_by_bits(f32 a, unsigned bits) {
  const __m512i s = _mm512_mask_mov_epi32(_mm512_set1_epi32(static_cast<int>(0x80000000u)),
                                          static_cast<__mmask16>(bits), _mm512_setzero_si512());
  return {_mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a.v), s))};
}
// 16 floats, looked up by the low 4 bits of each lane.
struct Sixteen {
  __m512 v;
  explicit ACCEL_FORCE_INLINE Sixteen(const float* p) : v(_mm512_loadu_ps(p)) {}
};
ACCEL_INLINE f32 look_up(const Sixteen& table, i32 codes) { return {_mm512_permutexvar_ps(codes.v, table.v)}; }
ACCEL_INLINE i32 next_nibble(i32 codes) { return {_mm512_srli_epi32(codes.v, 4)}; }
}  // namespace accel::avx512
#endif
