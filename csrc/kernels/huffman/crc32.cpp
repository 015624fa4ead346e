// SPDX-License-Identifier: BSD-3-Clause
// CRC-32 by folding with PCLMULQDQ (Gopal et al., "Fast CRC computation for generic polynomials using PCLMULQDQ",
// Intel, 2009), else eight bytes at a time by tables (Kounavis & Berry, "Novel table lookup-based algorithms for
// high-performance CRC generation", 2008).
#include "kernels/huffman/crc32.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace accel {
namespace {

constexpr auto kTables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> t{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t r = byte;
    for (int k = 0; k < 8; ++k) r = crc_times_x(r);
    t[0][byte] = r;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t byte = 0; byte < 256; ++byte) t[k][byte] = t[k - 1][byte] >> 8 ^ t[0][t[k - 1][byte] & 255];
  return t;
}();

// `state` is the register itself: inverted before and after by the caller.
std::uint32_t by_tables(std::uint32_t state, const std::uint8_t* p, std::size_t n) noexcept {
  const auto& t = kTables;
  for (; n >= 8; n -= 8, p += 8) {
    const std::uint32_t low = state ^ (p[0] | p[1] << 8 | p[2] << 16 | static_cast<std::uint32_t>(p[3]) << 24);
    state = t[7][low & 255] ^ t[6][low >> 8 & 255] ^ t[5][low >> 16 & 255] ^ t[4][low >> 24] ^ t[3][p[4]] ^ t[2][p[5]] ^
            t[1][p[6]] ^ t[0][p[7]];
  }
  for (; n; --n, ++p) state = state >> 8 ^ t[0][(state ^ *p) & 255];
  return state;
}

#if defined(__x86_64__)
__attribute__((target("pclmul,sse4.1"))) inline __m128i fold(__m128i a, __m128i by, __m128i next) noexcept {
  return _mm_xor_si128(next, _mm_xor_si128(_mm_clmulepi64_si128(a, by, 0x00), _mm_clmulepi64_si128(a, by, 0x11)));
}

// Four 16-byte accumulators folded over 64 bytes a step; what they leave is a message of 16 bytes with the same CRC.
__attribute__((target("pclmul,sse4.1"))) std::uint32_t by_folding(std::uint32_t state, const std::uint8_t* p,
                                                                  std::size_t n) noexcept {
  const __m128i by512 = _mm_set_epi64x(kCrcBy512.high, kCrcBy512.low),
                by128 = _mm_set_epi64x(kCrcBy128.high, kCrcBy128.low);
  const auto load = [](const std::uint8_t* q) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(q)); };
  __m128i a = _mm_xor_si128(load(p), _mm_cvtsi32_si128(static_cast<int>(state)));
  __m128i b = load(p + 16), c = load(p + 32), d = load(p + 48);
  for (p += 64, n -= 64; n >= 64; p += 64, n -= 64) {
    a = fold(a, by512, load(p));
    b = fold(b, by512, load(p + 16));
    c = fold(c, by512, load(p + 32));
    d = fold(d, by512, load(p + 48));
  }
  a = fold(fold(fold(a, by128, b), by128, c), by128, d);
  for (; n >= 16; p += 16, n -= 16) a = fold(a, by128, load(p));
  std::uint8_t rest[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(rest), a);
  return by_tables(by_tables(0, rest, 16), p, n);
}

#define ACCEL_WIDE __attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.1")))
ACCEL_WIDE inline __m512i fold_wide(__m512i a, __m512i by, __m512i next) noexcept {
  const __m512i low = _mm512_clmulepi64_epi128(a, by, 0x00), high = _mm512_clmulepi64_epi128(a, by, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}

// The same with four accumulators of 64 bytes, folded over 256 bytes a step; n >= 256.
ACCEL_WIDE std::uint32_t by_wide_folding(std::uint32_t state, const std::uint8_t* p, std::size_t n) noexcept {
  const __m512i by512 = _mm512_set4_epi64(kCrcBy512.high, kCrcBy512.low, kCrcBy512.high, kCrcBy512.low);
  const __m512i by2048 = _mm512_set4_epi64(kCrcBy2048.high, kCrcBy2048.low, kCrcBy2048.high, kCrcBy2048.low);
  __m512i a =
      _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(state))));
  __m512i b = _mm512_loadu_si512(p + 64), c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);
  for (p += 256, n -= 256; n >= 256; p += 256, n -= 256) {
    a = fold_wide(a, by2048, _mm512_loadu_si512(p));
    b = fold_wide(b, by2048, _mm512_loadu_si512(p + 64));
    c = fold_wide(c, by2048, _mm512_loadu_si512(p + 128));
    d = fold_wide(d, by2048, _mm512_loadu_si512(p + 192));
  }
  std::uint8_t rest[64];  // with the CRC of all that was folded
  _mm512_storeu_si512(rest, fold_wide(fold_wide(fold_wide(a, by512, b), by512, c), by512, d));
  state = by_folding(0, rest, sizeof rest);
  return n >= 64 ? by_folding(state, p, n) : by_tables(state, p, n);
}
#undef ACCEL_WIDE

bool can_fold() noexcept {
  static const bool yes = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  return yes;
}
bool can_fold_wide() noexcept {
  static const bool yes = can_fold() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("vpclmulqdq");
  return yes;
}
#endif

// The product of two polynomials modulo P, bit-reflected: bit 31 is 1, bit 30 is x.
std::uint32_t product(std::uint32_t a, std::uint32_t b) noexcept {
  std::uint32_t sum = 0;
  for (; a; a <<= 1, b = crc_times_x(b)) sum ^= b & (0 - (a >> 31));
  return sum;
}

}  // namespace

std::uint32_t crc32_joined(std::uint32_t crc, std::uint32_t rest, std::size_t n) noexcept {
  for (std::uint32_t by = 0x00800000; n; n >>= 1, by = product(by, by))  // x^8, squared for each bit of n
    if (n & 1) crc = product(crc, by);
  return crc ^ rest;
}

std::uint32_t crc32(std::uint32_t crc, const std::uint8_t* data, std::size_t n, bool folding) noexcept {
#if defined(__x86_64__)
  if (folding && n >= 256 && can_fold_wide()) return ~by_wide_folding(~crc, data, n);
  if (folding && n >= 64 && can_fold()) return ~by_folding(~crc, data, n);
#endif
  (void)folding;
  return ~by_tables(~crc, data, n);
}

}  // namespace accel
