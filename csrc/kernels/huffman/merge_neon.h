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

#include "kernels/huffman/merge_bytes.h"
#include "kernels/huffman/merge_eights.h"

}  // namespace
}  // namespace accel::neon
#endif
