// SPDX-License-Identifier: BSD-3-Clause
// Whether n floats are +1 and -1 alone: then their signs are all of them. Bound by the cache.
#pragma once
#include <bit>
#include <cstdint>

namespace accel {

inline bool only_signs(const float* x, long n) noexcept {
  constexpr long kPiece = 1024;  // looked at whole, without a branch
  for (long first = 0; first < n; first += kPiece) {
    std::uint32_t other = 0;
    const long last = first + kPiece < n ? first + kPiece : n;
    for (long i = first; i < last; ++i)
      other |= (std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffffu) ^ std::bit_cast<std::uint32_t>(1.0f);
    if (other != 0) return false;
  }
  return true;
}

}  // namespace accel
