// SPDX-License-Identifier: BSD-3-Clause
// Words of the float codec for AVX-512. Zips work inside lanes of 16 bytes, so that what they take must lie there:
//   in_pairs, in_quads                the 4-byte (8-byte) pieces of a vector, dealt to the lanes in turn, so that
//                                     zipping twice (once) gives four (two) vectors in order
//   zip_low_8(a, b), zip_high_8       bytes of a and b in turn, of the lower or upper half of each lane; _16: pairs
//   rotate_16, rotate_32              each number right by one bit
//   store_bytes, stream_bytes         at any address; at a whole vector's, past the caches
#ifndef ACCEL_FLOATS_WORDS_AVX512_H
#define ACCEL_FLOATS_WORDS_AVX512_H
namespace accel::avx512 {
namespace {

using Bytes = __m512i;
constexpr std::size_t kBytes = 64;
ACCEL_INLINE Bytes load_bytes(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
ACCEL_INLINE void store_bytes(std::uint8_t* p, Bytes v) { _mm512_storeu_si512(p, v); }
ACCEL_INLINE void stream_bytes(std::uint8_t* p, Bytes v) { _mm512_stream_si512(reinterpret_cast<__m512i*>(p), v); }
ACCEL_INLINE Bytes in_pairs(Bytes v) {
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v);
}
ACCEL_INLINE Bytes in_quads(Bytes v) { return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), v); }
ACCEL_INLINE Bytes zip_low_8(Bytes a, Bytes b) { return _mm512_unpacklo_epi8(a, b); }
ACCEL_INLINE Bytes zip_high_8(Bytes a, Bytes b) { return _mm512_unpackhi_epi8(a, b); }
ACCEL_INLINE Bytes zip_low_16(Bytes a, Bytes b) { return _mm512_unpacklo_epi16(a, b); }
ACCEL_INLINE Bytes zip_high_16(Bytes a, Bytes b) { return _mm512_unpackhi_epi16(a, b); }
ACCEL_INLINE Bytes rotate_16(Bytes v) { return _mm512_shrdi_epi16(v, v, 1); }
ACCEL_INLINE Bytes rotate_32(Bytes v) { return _mm512_ror_epi32(v, 1); }

}  // namespace
}  // namespace accel::avx512
#endif
