// SPDX-License-Identifier: BSD-3-Clause
// The register tile of binary.h, and what becomes of its counts.
#include "kernels/activation/activation.inl.h"
// clang-format off
#define ACCEL_BITS_FILE_(isa) ACCEL_BITS_STRING_(simd/bits_##isa.h)
#define ACCEL_BITS_STRING_(path) #path
#define ACCEL_BITS_FILE(isa) ACCEL_BITS_FILE_(isa)
#include ACCEL_BITS_FILE(ACCEL_ISA)
#undef ACCEL_BITS_FILE
#undef ACCEL_BITS_FILE_
#undef ACCEL_BITS_STRING_
// clang-format on

namespace accel::ACCEL_ISA {
namespace {

// Filters first .. first + V * lanes - 1 of a panel.
template <int P, int V>
struct BitSums {
  u64w v[P][V];
  // Vector i of dwords: filters i * i32::lanes and on, in order.
  ACCEL_FORCE_INLINE i32 get(int p, int i) const { return interleave(v[p][2 * i], v[p][2 * i + 1]); }
};

template <int P, int V>
ACCEL_INLINE void count_differing(const BinaryPanel& panel, const long* pixels, int first, BitSums<P, V>& sums) {
  const std::uint64_t* a[P];
  ACCEL_UNROLL(8)
  for (int p = 0; p < P; ++p) a[p] = panel.image + panel.pixel_at[pixels[p]];
  ACCEL_UNROLL(8)
  for (int p = 0; p < P; ++p) ACCEL_UNROLL(4)
  for (int v = 0; v < V; ++v) sums.v[p][v] = zero_words();
  const std::uint64_t* w = panel.weights + first;
  const std::int32_t* at = panel.word_at;
  ACCEL_UNROLL(1)
  for (const std::int32_t* end = at + panel.words; at != end; ++at, w += kBitPanel) {
    const long k = *at;
    ACCEL_UNROLL(8)
    for (int p = 0; p < P; ++p) {
      const u64w word = spread_word(a[p] + k);
      ACCEL_UNROLL(4)
      for (int v = 0; v < V; ++v) sums.v[p][v] = add_differing(sums.v[p][v], word, w + v * u64w::lanes);
    }
  }
}

struct ToBits {
  const BinaryPanel& panel;
  const BinaryBits& to;
  template <int P, int V>
  ACCEL_FORCE_INLINE void operator()(const long* pixels, int first, const BitSums<P, V>& sums) const {
    ACCEL_UNROLL(8)
    for (int p = 0; p < P; ++p) {
      const std::int32_t* limit = panel.rows + panel.border[pixels[p]] * panel.row + first;
      std::uint32_t bits = 0;
      ACCEL_UNROLL(2)
      for (int i = 0; i < V / 2; ++i)
        bits |= bits_at_most(sums.get(p, i), load_i32(limit + i * i32::lanes)) << i * i32::lanes;
      bits ^= to.flip >> first;
      std::memcpy(to.y + pixels[p] * to.pixel + first / 8, &bits, V * u64w::lanes / 8);
    }
  }
};

struct ToCounts {
  const BinaryPanel& panel;
  const BinaryCounts& to;
  template <int P, int V>
  ACCEL_FORCE_INLINE void operator()(const long* pixels, int first, const BitSums<P, V>& sums) const {
    ACCEL_UNROLL(8)
    for (int p = 0; p < P; ++p) {
      const std::int32_t* base = panel.rows + panel.border[pixels[p]] * panel.row;
      ACCEL_UNROLL(2)
      for (int i = 0; i < V / 2; ++i) {
        const int filter = first + i * i32::lanes, left = panel.filters - filter;
        const i32 count = minus_twice(load_i32(base + filter), sums.get(p, i));
        std::int32_t* y = to.y + pixels[p] * to.pixel + filter;
        if (left >= i32::lanes)
          store(y, count);
        else if (left > 0)
          store_n(y, count, left);
      }
    }
  }
};

template <class Function>
struct ToReals {
  const BinaryPanel& panel;
  const BinaryReals& to;
  const Function& f;
  template <int P, int V>
  ACCEL_FORCE_INLINE void operator()(const long* pixels, int first, const BitSums<P, V>& sums) const {
    ACCEL_UNROLL(8)
    for (int p = 0; p < P; ++p) {
      if (p > 0 && pixels[p] == pixels[p - 1]) return;  // a residual that is y must not be added twice
      const std::int32_t* base = panel.rows + panel.border[pixels[p]] * panel.row;
      ACCEL_UNROLL(2)
      for (int i = 0; i < V / 2; ++i) {
        const int filter = first + i * i32::lanes;
        write(pixels[p], filter, to_f32(minus_twice(load_i32(base + filter), sums.get(p, i))));
      }
    }
  }
  ACCEL_FORCE_INLINE void write(long pixel, int filter, f32 count) const {
    const int left = panel.filters - filter;
    if (left <= 0) return;
    f32 scale = load(to.scale + filter);
    if (to.pixel_scale) scale = scale * set1(to.pixel_scale[pixel]);
    f32 r = fma(scale, count, load(to.bias + filter));
    if (to.residual) {
      const float* more = to.residual + to.residual_at[pixel] + filter / 16 * to.residual_block + filter % 16;
      r = r + (left >= f32::lanes ? load(more) : load_n(more, left));
    }
    float* y = to.y + to.y_at[pixel] + filter / 16 * to.y_block + filter % 16;
    if (left >= f32::lanes)
      store(y, f(r));
    else
      store_n(y, f(r), left);
  }
};

template <int P, int V, class To>
ACCEL_INLINE void tile(const BinaryPanel& panel, long pixel, int first, const To& to) {
  long pixels[P];
  ACCEL_UNROLL(8)
  for (int p = 0; p < P; ++p) pixels[p] = pixel + p < panel.last ? pixel + p : panel.last - 1;
  BitSums<P, V> sums;
  count_differing(panel, pixels, first, sums);
  to(pixels, first, sums);
}

// All pixels, V vectors of filters; the last ones in a smaller tile, some perhaps twice.
template <int V, class To>
ACCEL_INLINE void tiles(const BinaryPanel& panel, int first, const To& to) {
  constexpr int kFew = kBitPixels / 2;
  long pixel = panel.first;
  for (; panel.last - pixel > kFew; pixel += kBitPixels) tile<kBitPixels, V>(panel, pixel, first, to);
  if (panel.last - pixel > 1)
    tile<kFew, V>(panel, pixel, first, to);
  else if (panel.last - pixel == 1)
    tile<1, V>(panel, pixel, first, to);
}

template <class To>
ACCEL_INLINE void all_filters(const BinaryPanel& panel, const To& to) {
  constexpr int kStep = kBitVectors * u64w::lanes;
  for (int first = 0; first < panel.filters; first += kStep) {
    if constexpr (kStep > 16) {
      if (panel.filters - first <= kStep / 2) return tiles<kBitVectors / 2>(panel, first, to);
    }
    tiles<kBitVectors>(panel, first, to);
  }
}

void binary_bits(const BinaryPanel& panel, const BinaryBits& to) noexcept { all_filters(panel, ToBits{panel, to}); }

void binary_counts(const BinaryPanel& panel, const BinaryCounts& to) noexcept {
  all_filters(panel, ToCounts{panel, to});
}

void binary_reals(const BinaryPanel& panel, const BinaryReals& to) noexcept {
  // One tile for all activations but the clamp, which would be made six times over otherwise.
  const auto any = [&](f32 x) __attribute__((always_inline)) { return activate(to.activation, x); };
  const Activate<Activation::Kind::clamp> clamped(to.activation);
  if (to.activation.kind == Activation::Kind::clamp)
    all_filters(panel, ToReals<Activate<Activation::Kind::clamp>>{panel, to, clamped});
  else
    all_filters(panel, ToReals<decltype(any)>{panel, to, any});
}

}  // namespace

extern const BinaryKernels kBinaryKernels;
const BinaryKernels kBinaryKernels = {u64w::lanes, kBitPixels, &binary_bits, &binary_counts, &binary_reals};

}  // namespace accel::ACCEL_ISA
