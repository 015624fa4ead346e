// SPDX-License-Identifier: BSD-3-Clause
// Words of the float codec for SSE2, or eight bytes of a general register; what they mean is said in words_avx512.h.
#ifndef ACCEL_FLOATS_WORDS_BASELINE_H
#define ACCEL_FLOATS_WORDS_BASELINE_H
namespace accel::baseline {
namespace {

#if defined(__x86_64__)
using Bytes = __m128i;
constexpr std::size_t kBytes = 16;
ACCEL_INLINE Bytes load_bytes(const std::uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const Bytes*>(p)); }
ACCEL_INLINE void store_bytes(std::uint8_t* p, Bytes v) { _mm_storeu_si128(reinterpret_cast<Bytes*>(p), v); }
ACCEL_INLINE void stream_bytes(std::uint8_t* p, Bytes v) { _mm_stream_si128(reinterpret_cast<Bytes*>(p), v); }
ACCEL_INLINE Bytes zip_low_8(Bytes a, Bytes b) { return _mm_unpacklo_epi8(a, b); }
ACCEL_INLINE Bytes zip_high_8(Bytes a, Bytes b) { return _mm_unpackhi_epi8(a, b); }
ACCEL_INLINE Bytes zip_low_16(Bytes a, Bytes b) { return _mm_unpacklo_epi16(a, b); }
ACCEL_INLINE Bytes zip_high_16(Bytes a, Bytes b) { return _mm_unpackhi_epi16(a, b); }
ACCEL_INLINE Bytes rotate_16(Bytes v) { return _mm_or_si128(_mm_srli_epi16(v, 1), _mm_slli_epi16(v, 15)); }
ACCEL_INLINE Bytes rotate_32(Bytes v) { return _mm_or_si128(_mm_srli_epi32(v, 1), _mm_slli_epi32(v, 31)); }
#else
using Bytes = std::uint64_t;
constexpr std::size_t kBytes = 8;
ACCEL_INLINE Bytes load_bytes(const std::uint8_t* p) {
  Bytes v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
ACCEL_INLINE void store_bytes(std::uint8_t* p, Bytes v) { std::memcpy(p, &v, sizeof v); }
ACCEL_INLINE void stream_bytes(std::uint8_t* p, Bytes v) { store_bytes(p, v); }
ACCEL_INLINE Bytes apart_8(Bytes v) {  // the four lower bytes, each in 16 bits
  v = (v | v << 16) & 0x0000FFFF0000FFFFu;
  return (v | v << 8) & 0x00FF00FF00FF00FFu;
}
ACCEL_INLINE Bytes apart_16(Bytes v) { return (v | v << 16) & 0x0000FFFF0000FFFFu; }
ACCEL_INLINE Bytes low_half(Bytes v) { return v & 0xFFFFFFFFu; }
ACCEL_INLINE Bytes zip_low_8(Bytes a, Bytes b) { return apart_8(low_half(a)) | apart_8(low_half(b)) << 8; }
ACCEL_INLINE Bytes zip_high_8(Bytes a, Bytes b) { return zip_low_8(a >> 32, b >> 32); }
ACCEL_INLINE Bytes zip_low_16(Bytes a, Bytes b) { return apart_16(low_half(a)) | apart_16(low_half(b)) << 16; }
ACCEL_INLINE Bytes zip_high_16(Bytes a, Bytes b) { return zip_low_16(a >> 32, b >> 32); }
ACCEL_INLINE Bytes rotate_16(Bytes v) { return (v >> 1 & 0x7FFF7FFF7FFF7FFFu) | (v & 0x0001000100010001u) << 15; }
ACCEL_INLINE Bytes rotate_32(Bytes v) { return (v >> 1 & 0x7FFFFFFF7FFFFFFFu) | (v & 0x0000000100000001u) << 31; }
#endif
ACCEL_INLINE Bytes in_pairs(Bytes v) { return v; }  // one lane: everything is in order
ACCEL_INLINE Bytes in_quads(Bytes v) { return v; }

}  // namespace
}  // namespace accel::baseline
#endif
