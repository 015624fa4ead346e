// SPDX-License-Identifier: BSD-3-Clause
// The kernels of bits.h.
// clang-format off
#include ACCEL_ISA_FILE(simd/bits_)
// clang-format on

namespace accel::ACCEL_ISA {
namespace {

ACCEL_INLINE f32 load_some(const float* p, long n) {
  return n >= f32::lanes ? load(p) : load_n(p, static_cast<int>(n));
}

void bits_row(const float* x, long n, std::uint64_t* to) noexcept {
  for (; n > 0; n -= 64, x += 64, ++to) {
    const long count = n < 64 ? n : 64;
    std::uint64_t word = 0;
    for (long i = 0; i < count; i += f32::lanes)
      word |= static_cast<std::uint64_t>(bits_at_least(load_some(x + i, count - i), zero())) << i;
    *to = count < 64 ? word & ((std::uint64_t{1} << count) - 1) : word;
  }
}

// Bit c of lane i for up to 32 channels.
ACCEL_INLINE i32 bits_of_pixels(const float* x, long plane, int channels, const float* at, const std::uint8_t* below,
                                long left) {
  i32 word = set1(0);
  for (int c = 0; c < channels; ++c) {
    const i32 bit = set1(static_cast<std::int32_t>(std::uint32_t{1} << c));
    const f32 v = load_some(x + c * plane, left), a = set1(at[c]);
    word = below[c] ? or_where_at_least(word, bit, a, v) : or_where_at_least(word, bit, v, a);
  }
  return word;
}

void bits_planes(const float* x, long plane, int channels, const float* at, const std::uint8_t* below, long n,
                 std::uint64_t* to, long words) noexcept {
  std::int32_t lanes[2][i32::lanes];
  for (long i = 0; i < n; i += i32::lanes)
    for (long k = 0; k < words; ++k) {
      for (int half = 0; half < 2; ++half) {
        const int c = static_cast<int>(k * 64) + half * 32, left = channels - c;
        const int count = left < 0 ? 0 : left < 32 ? left : 32;
        store(lanes[half], bits_of_pixels(x + c * plane + i, plane, count, at + c, below + c, n - i));
      }
      for (int j = 0; j < i32::lanes && i + j < n; ++j)
        to[(i + j) * words + k] = static_cast<std::uint32_t>(lanes[0][j]) |
                                  static_cast<std::uint64_t>(static_cast<std::uint32_t>(lanes[1][j])) << 32;
    }
}

void bits_block(const float* x, const float* at, std::uint32_t below, long n, std::uint16_t* to, long step) noexcept {
  for (; n > 0; --n, x += 16, to += step) {
    std::uint32_t least = 0, most = 0;
    ACCEL_UNROLL(4)
    for (int i = 0; i < 16; i += f32::lanes) {
      const f32 v = load(x + i), a = load(at + i);
      least |= bits_at_least(v, a) << i;
      most |= bits_at_least(a, v) << i;
    }
    *to = static_cast<std::uint16_t>((least & ~below) | (most & below));
  }
}

void bits_means(const float* x, long plane, int channels, long n, float* to) noexcept {
  for (long i = 0; i < n; i += f32::lanes) {
    f32 sum = zero();
    for (int c = 0; c < channels; ++c) sum = sum + absolute(load_some(x + c * plane + i, n - i));
    const f32 mean = sum / set1(static_cast<float>(channels));
    if (n - i >= f32::lanes)
      store(to + i, mean);
    else
      store_n(to + i, mean, static_cast<int>(n - i));
  }
}

}  // namespace

extern const BitKernels kBitKernels;
const BitKernels kBitKernels = {&bits_row, &bits_planes, &bits_block, &bits_means};

}  // namespace accel::ACCEL_ISA
