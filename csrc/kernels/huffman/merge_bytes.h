// SPDX-License-Identifier: BSD-3-Clause
// Words that merge_eights.h wants, in general registers, for instruction sets without BMI2. Included inside the
// namespace of each.
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
