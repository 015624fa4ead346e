// SPDX-License-Identifier: BSD-3-Clause
#ifndef ACCEL_GAPS_WORDS_AVX2_H
#define ACCEL_GAPS_WORDS_AVX2_H
namespace accel::avx2 {
namespace {

ACCEL_INLINE bool expand_whole(std::uint64_t, const std::uint8_t*, std::uint8_t*) { return false; }

}  // namespace
}  // namespace accel::avx2
#endif
