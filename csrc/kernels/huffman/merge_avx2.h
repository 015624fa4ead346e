// SPDX-License-Identifier: BSD-3-Clause
// Words of format HT for AVX2 and BMI2; what they mean is said in merge_avx512.h.
#ifndef ACCEL_HUFFMAN_MERGE_AVX2_H
#define ACCEL_HUFFMAN_MERGE_AVX2_H
namespace accel::avx2 {
namespace {

ACCEL_INLINE u64 shuffle(u64 low, u64 high, u64 index) {
  const __m128i both = _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
  return static_cast<u64>(_mm_cvtsi128_si64(_mm_shuffle_epi8(both, _mm_cvtsi64_si128(static_cast<long long>(index)))));
}
ACCEL_INLINE u32 at_least(u64 x, u8 from) {
  const __m128i v = _mm_cvtsi64_si128(static_cast<long long>(x));
  const __m128i greater = _mm_max_epu8(v, _mm_set1_epi8(static_cast<char>(from)));
  return static_cast<u32>(_mm_movemask_epi8(_mm_cmpeq_epi8(v, greater))) & 255;
}
ACCEL_INLINE u64 field_mask(size_t bits) { return kEachByte * ((1u << bits) - 1); }
ACCEL_INLINE u64 spread(u64 x, size_t bits) { return _pdep_u64(x, field_mask(bits)); }
ACCEL_INLINE u64 close(u64 x, size_t bits) { return _pext_u64(x, field_mask(bits)); }
#include "kernels/huffman/merge_eights.h"

}  // namespace
}  // namespace accel::avx2
#endif
