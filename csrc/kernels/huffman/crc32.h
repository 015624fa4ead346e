// SPDX-License-Identifier: BSD-3-Clause
// CRC-32 as zlib computes it (reflected polynomial 0xEDB88320, all ones before and after).
#pragma once
#include <cstddef>
#include <cstdint>

namespace accel {

// Continues `crc` (0 at the start) with `n` bytes. `folding` allows carry-less multiplication where the processor has
// it.
std::uint32_t crc32(std::uint32_t crc, const std::uint8_t* data, std::size_t n, bool folding) noexcept;

// Of bytes whose first part has the CRC-32 `crc`, and whose other n bytes have `rest`.
std::uint32_t crc32_joined(std::uint32_t crc, std::uint32_t rest, std::size_t n) noexcept;

constexpr std::uint32_t crc_times_x(std::uint32_t r) { return (r >> 1) ^ (r & 1 ? 0xEDB88320u : 0u); }

// x^n mod P, bit-reflected and shifted by one as the product of two reflected numbers needs it.
constexpr long long crc_power_of_x(int n) {
  std::uint32_t r = 0x80000000u;
  for (int k = 0; k < n; ++k) r = crc_times_x(r);
  return static_cast<long long>(r) << 1;
}

// What the lower and the upper quadword of 16 bytes are multiplied by to stand that many bits further on.
struct CrcFactors {
  long long low, high;
};
constexpr CrcFactors crc_factors(int bits) { return {crc_power_of_x(bits + 32), crc_power_of_x(bits - 32)}; }
inline constexpr CrcFactors kCrcBy128 = crc_factors(128), kCrcBy512 = crc_factors(512), kCrcBy2048 = crc_factors(2048);

}  // namespace accel
