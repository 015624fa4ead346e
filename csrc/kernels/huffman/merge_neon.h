// SPDX-License-Identifier: BSD-3-Clause
// Words of format HT for NEON; what they mean is said in merge_avx512.h.
#ifndef ACCEL_HUFFMAN_MERGE_NEON_H
#define ACCEL_HUFFMAN_MERGE_NEON_H
namespace accel::neon {
namespace {

ACCEL_INLINE u64 shuffle(u64 low, u64 high, u64 index) {
  const uint8x16_t both = vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(low), vcreate_u64(high)));
  return vget_lane_u64(vreinterpret_u64_u8(vqtbl1_u8(both, vcreate_u8(index))), 0);
}
ACCEL_INLINE u32 at_least(u64 x, u8 from) {
  u32 m = 0;
  ACCEL_UNROLL(8)
  for (u32 k = 0; k < 8; ++k) m |= u32{(x >> 8 * k & 255) >= from} << k;
  return m;
}
ACCEL_INLINE u64 spread(u64 x, size_t bits) {
  u64 v = 0;
  for (size_t k = 0; k < 8; ++k) v |= (x >> bits * k & ((u64{1} << bits) - 1)) << 8 * k;
  return v;
}
ACCEL_INLINE u64 close(u64 x, size_t bits) {
  u64 v = 0;
  for (size_t k = 0; k < 8; ++k) v |= (x >> 8 * k & 255) << bits * k;
  return v;
}
#include "kernels/huffman/merge_eights.h"

}  // namespace
}  // namespace accel::neon
#endif
