// SPDX-License-Identifier: BSD-3-Clause
#ifndef ACCEL_GAPS_WORDS_AVX512_H
#define ACCEL_GAPS_WORDS_AVX512_H
namespace accel::avx512 {
namespace {

// In a register: VPEXPANDB from memory is microcode on Zen 4. It waits for its old destination even with zeroing; a
// register that was just zeroed is no wait.
ACCEL_INLINE bool expand_whole(std::uint64_t word, const std::uint8_t* values, std::uint8_t* out) {
  __m512i zero;
  asm volatile("vpxor %x0,%x0,%x0" : "=v"(zero));
  _mm512_storeu_si512(out, _mm512_mask_expand_epi8(zero, word, _mm512_loadu_si512(values)));
  return true;
}

}  // namespace
}  // namespace accel::avx512
#endif
