// SPDX-License-Identifier: BSD-3-Clause
// Strings of bits that begin anywhere in a word.
#pragma once
#include <algorithm>
#include <cstdint>

namespace accel {

// n bits, 1 .. 64, of a string, from bit `at` on; words that hold none of them are not read.
inline std::uint64_t bits_at(const std::uint64_t* from, long at, int n) noexcept {
  const long word = at >> 6;
  const int shift = static_cast<int>(at & 63);
  std::uint64_t bits = from[word] >> shift;
  if (shift + n > 64) bits |= from[word + 1] << (64 - shift);
  return n < 64 ? bits & ((std::uint64_t{1} << n) - 1) : bits;
}

// to's bits from `to_at` on |= n bits of `from`; they must be 0 before.
inline void copy_bits(const std::uint64_t* from, long at, std::uint64_t* to, long to_at, long n) noexcept {
  while (n > 0) {
    const int shift = static_cast<int>(to_at & 63), count = static_cast<int>(std::min(n, 64l - shift));
    to[to_at >> 6] |= bits_at(from, at, count) << shift;
    at += count, to_at += count, n -= count;
  }
}

}  // namespace accel
