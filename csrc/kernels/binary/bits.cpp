// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/binary/bits.h"

#include <algorithm>
#include <cstring>

#include "kernels/binary/binary.h"
#include "runtime/pool.h"

#define ACCEL_KERNEL_FILE "kernels/binary/bits.inl.h"
#include "simd/foreach_isa.h"

namespace accel {

#define ACCEL_TABLE_ENTRY kBitKernels
const BitKernels* const kBits[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kSomePixels = 256;  // a thread's unit: some planes are one image's, and the split must not be per image

// f(first, last) for ranges of `count` items of `size` floats.
template <class F>
void split(long count, double size, int threads, F&& f) {
  parallel(parts_for(static_cast<double>(count) * size, count, threads), [&](int part, int parts) {
    const Range r = part_of(count, part, parts);
    f(r.begin, r.end);
  });
}

// f(image, first pixel, pixels) in units of kSomePixels.
template <class F>
void split_pixels(long images, long pixels, double size, int threads, F&& f) {
  const long units = (pixels + kSomePixels - 1) / kSomePixels;
  split(images * units, size * static_cast<double>(kSomePixels), threads, [&](long first, long last) {
    for (long u = first; u < last; ++u) {
      const long at = u % units * kSomePixels;
      f(u / units, at, std::min(kSomePixels, pixels - at));
    }
  });
}

// The signs of 8 bytes, bit i set where byte i is not negative.
std::uint64_t signs_of(std::uint64_t bytes) noexcept {
  return ((~bytes & 0x8080808080808080u) >> 7) * 0x0102040810204080u >> 56;
}

}  // namespace

void pack_rows(const float* x, long rows, long n, const BitKernels& kernels, std::uint64_t* to, int threads) noexcept {
  split(rows, static_cast<double>(n), threads, [&](long first, long last) {
    for (long r = first; r < last; ++r) kernels.row(x + r * n, n, to + r * words_of(n));
  });
}

void pack_rows(const std::int8_t* x, long rows, long n, std::uint64_t* to, int threads) noexcept {
  split(rows, static_cast<double>(n) / 4, threads, [&](long first, long last) {
    for (long r = first; r < last; ++r)
      for (long k = 0; k < words_of(n); ++k) {
        const long count = std::min(64l, n - k * 64);
        std::uint64_t word = 0, eight;
        for (long i = 0; i < count; i += 8) {
          eight = ~std::uint64_t{0};
          std::memcpy(&eight, x + r * n + k * 64 + i, static_cast<std::size_t>(std::min(8l, count - i)));
          word |= signs_of(eight) << i;
        }
        to[r * words_of(n) + k] = word;
      }
  });
}

void pack_planes(const float* x, long images, int channels, long pixels, const float* at, const std::uint8_t* below,
                 const BitKernels& kernels, std::uint64_t* to, int threads) noexcept {
  const long words = words_of(channels);
  split_pixels(images, pixels, channels, threads, [&](long image, long first, long n) {
    kernels.planes(x + image * channels * pixels + first, pixels, channels, at, below, n,
                   to + (image * pixels + first) * words, words);
  });
}

void pack_map(const Map& map, const float* x, const float* at, const std::uint16_t* below, const BitKernels& kernels,
              std::uint64_t* to, int threads) noexcept {
  const long words = words_of(map.channels), rows = static_cast<long>(map.images) * map.height;
  split(rows, static_cast<double>(map.width) * map.channels, threads, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      std::uint64_t* line = to + r * map.width * words;
      if (map.planes() % 4 != 0) std::fill_n(line, map.width * words, 0u);
      const float* row = x + r / map.height * map.image + map.origin() + r % map.height * map.row;
      for (int b = 0; b < map.planes(); ++b)
        kernels.block(row + b * map.plane, at + b * kBlock, below[b], map.width,
                      reinterpret_cast<std::uint16_t*>(line) + b, words * 4);
    }
  });
}

void channel_means(const float* x, long images, int channels, long pixels, const BitKernels& kernels, float* to,
                   int threads) noexcept {
  split_pixels(images, pixels, channels, threads, [&](long image, long first, long n) {
    kernels.means(x + image * channels * pixels + first, pixels, channels, n, to + image * pixels + first);
  });
}

void pool_bits(const BitPool& p, const std::uint64_t* x, std::uint64_t* y, int threads) noexcept {
  const auto pixel = [&](long image, long i, long j) {
    std::uint64_t* to = y + ((image * p.out_h + i) * p.out_w + j) * p.words;
    std::fill_n(to, p.words, p.minimum ? ~std::uint64_t{0} : 0u);
    // Only where the window meets the image: a kernel may be far larger.
    const long top = i * p.stride_h - p.top, left = j * p.stride_w - p.left;
    const long bottom = std::min<long>(top + p.kernel_h, p.height), right = std::min<long>(left + p.kernel_w, p.width);
    for (long row = std::max(top, 0l); row < bottom; ++row)
      for (long column = std::max(left, 0l); column < right; ++column) {
        const std::uint64_t* from = x + ((image * p.height + row) * p.width + column) * p.words;
        for (long k = 0; k < p.words; ++k) to[k] = p.minimum ? to[k] & from[k] : to[k] | from[k];
      }
  };
  const long rows = static_cast<long>(p.images) * p.out_h;
  split(rows, static_cast<double>(p.out_w * p.words) * p.kernel_h * p.kernel_w, threads, [&](long first, long last) {
    for (long r = first; r < last; ++r)
      for (long j = 0; j < p.out_w; ++j) pixel(r / p.out_h, r % p.out_h, j);
  });
}

bool padding_is_dirty(const std::uint64_t* x, long rows, long n) noexcept {
  if (n % kWordBits == 0) return false;
  std::uint64_t any = 0;
  const long words = words_of(n);
  for (long r = 0; r < rows; ++r) any |= x[r * words + words - 1];
  return any >> n % kWordBits != 0;
}

}  // namespace accel
