// SPDX-License-Identifier: BSD-3-Clause
// Words of the float codec for AVX2; what they mean is said in words_avx512.h.
#ifndef ACCEL_FLOATS_WORDS_AVX2_H
#define ACCEL_FLOATS_WORDS_AVX2_H
namespace accel::avx2 {
namespace {

using Bytes = __m256i;
constexpr std::size_t kBytes = 32;
ACCEL_INLINE Bytes load_bytes(const std::uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const Bytes*>(p)); }
ACCEL_INLINE void store_bytes(std::uint8_t* p, Bytes v) { _mm256_storeu_si256(reinterpret_cast<Bytes*>(p), v); }
ACCEL_INLINE void stream_bytes(std::uint8_t* p, Bytes v) { _mm256_stream_si256(reinterpret_cast<Bytes*>(p), v); }
ACCEL_INLINE Bytes in_pairs(Bytes v) {
  return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
}
ACCEL_INLINE Bytes in_quads(Bytes v) { return _mm256_permute4x64_epi64(v, _MM_SHUFFLE(3, 1, 2, 0)); }
ACCEL_INLINE Bytes zip_low_8(Bytes a, Bytes b) { return _mm256_unpacklo_epi8(a, b); }
ACCEL_INLINE Bytes zip_high_8(Bytes a, Bytes b) { return _mm256_unpackhi_epi8(a, b); }
ACCEL_INLINE Bytes zip_low_16(Bytes a, Bytes b) { return _mm256_unpacklo_epi16(a, b); }
ACCEL_INLINE Bytes zip_high_16(Bytes a, Bytes b) { return _mm256_unpackhi_epi16(a, b); }
ACCEL_INLINE Bytes rotate_16(Bytes v) { return _mm256_or_si256(_mm256_srli_epi16(v, 1), _mm256_slli_epi16(v, 15)); }
ACCEL_INLINE Bytes rotate_32(Bytes v) { return _mm256_or_si256(_mm256_srli_epi32(v, 1), _mm256_slli_epi32(v, 31)); }

}  // namespace
}  // namespace accel::avx2
#endif
