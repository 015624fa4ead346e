// SPDX-License-Identifier: BSD-3-Clause
// Words of the float codec for NEON; what they mean is said in words_avx512.h.
#ifndef ACCEL_FLOATS_WORDS_NEON_H
#define ACCEL_FLOATS_WORDS_NEON_H
namespace accel::neon {
namespace {

using Bytes = uint8x16_t;
constexpr std::size_t kBytes = 16;
ACCEL_INLINE Bytes load_bytes(const std::uint8_t* p) { return vld1q_u8(p); }
ACCEL_INLINE void store_bytes(std::uint8_t* p, Bytes v) { vst1q_u8(p, v); }
ACCEL_INLINE void stream_bytes(std::uint8_t* p, Bytes v) { vst1q_u8(p, v); }
ACCEL_INLINE Bytes in_pairs(Bytes v) { return v; }  // one lane: everything is in order
ACCEL_INLINE Bytes in_quads(Bytes v) { return v; }
ACCEL_INLINE Bytes zip_low_8(Bytes a, Bytes b) { return vzip1q_u8(a, b); }
ACCEL_INLINE Bytes zip_high_8(Bytes a, Bytes b) { return vzip2q_u8(a, b); }
ACCEL_INLINE uint16x8_t pairs(Bytes v) { return vreinterpretq_u16_u8(v); }
ACCEL_INLINE Bytes zip_low_16(Bytes a, Bytes b) { return vreinterpretq_u8_u16(vzip1q_u16(pairs(a), pairs(b))); }
ACCEL_INLINE Bytes zip_high_16(Bytes a, Bytes b) { return vreinterpretq_u8_u16(vzip2q_u16(pairs(a), pairs(b))); }
ACCEL_INLINE Bytes rotate_16(Bytes v) {
  return vreinterpretq_u8_u16(vsliq_n_u16(vshrq_n_u16(pairs(v), 1), pairs(v), 15));
}
ACCEL_INLINE Bytes rotate_32(Bytes v) {
  const uint32x4_t x = vreinterpretq_u32_u8(v);
  return vreinterpretq_u8_u32(vsliq_n_u32(vshrq_n_u32(x, 1), x, 31));
}

}  // namespace
}  // namespace accel::neon
#endif
