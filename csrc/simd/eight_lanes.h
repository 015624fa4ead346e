// SPDX-License-Identifier: BSD-3-Clause
// The transposition of eight vectors of eight lanes, the same for AVX2 and for the halves of AVX-512: included inside
// the namespace of each, after f32_part.
ACCEL_INLINE void transpose(f32_part* t) {  // t[i] lane j becomes t[j] lane i, for t[8]
  __m256 a[8];
  ACCEL_UNROLL(2)
  for (int i = 0; i < 8; i += 4) {
    const __m256 p = _mm256_unpacklo_ps(t[i].v, t[i + 1].v), q = _mm256_unpackhi_ps(t[i].v, t[i + 1].v);
    const __m256 r = _mm256_unpacklo_ps(t[i + 2].v, t[i + 3].v), s = _mm256_unpackhi_ps(t[i + 2].v, t[i + 3].v);
    a[i] = _mm256_shuffle_ps(p, r, 0x44), a[i + 1] = _mm256_shuffle_ps(p, r, 0xee);
    a[i + 2] = _mm256_shuffle_ps(q, s, 0x44), a[i + 3] = _mm256_shuffle_ps(q, s, 0xee);
  }
  ACCEL_UNROLL(4)
  for (int i = 0; i < 4; ++i) {
    t[i].v = _mm256_permute2f128_ps(a[i], a[i + 4], 0x20);
    t[i + 4].v = _mm256_permute2f128_ps(a[i], a[i + 4], 0x31);
  }
}
