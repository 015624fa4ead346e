// SPDX-License-Identifier: BSD-3-Clause
// Words of format HT without vectors; what they mean is said in merge_avx512.h.
#ifndef ACCEL_HUFFMAN_MERGE_BASELINE_H
#define ACCEL_HUFFMAN_MERGE_BASELINE_H
namespace accel::baseline {
namespace {

ACCEL_INLINE u64 shuffle(u64 low, u64 high, u64 index) {
  const u64 words[2] = {low, high};
  u8 bytes[16];
  std::memcpy(bytes, words, sizeof bytes);
  u64 v = 0;
  ACCEL_UNROLL(8)
  for (int k = 0; k < 8; ++k) v |= u64{bytes[index >> 8 * k & 15]} << 8 * k;
  return v;
}

#include "kernels/huffman/merge_bytes.h"
#include "kernels/huffman/merge_eights.h"

}  // namespace
}  // namespace accel::baseline
#endif
