// SPDX-License-Identifier: BSD-3-Clause
// What becomes of the counts of a tile; the tiles are in tile_words.inl.h and tile_avx2.h.
#include "kernels/activation/activation.inl.h"
// clang-format off
#include ACCEL_ISA_FILE(simd/bits_)
#include ACCEL_ISA_FILE(kernels/binary/tile_)
// clang-format on

namespace accel::ACCEL_ISA {
namespace {

struct ToBits {
  explicit ToBits(const BinaryPanel& panel, const BinaryBits& to)
      : y(to.y), pixel(to.pixel), flip(to.flip), rows(panel.rows), row_at(panel.row_at) {}
  template <int P, int V, bool CLAMPED>
  ACCEL_FORCE_INLINE void operator()(const BitTile<P, V, CLAMPED>& t) const {
    ACCEL_UNROLL(8)
    for (int p = 0; p < P; ++p) {
      const std::int32_t* limit = rows + row_at[t.at(p)] + t.first;
      std::uint64_t bits = 0;
      ACCEL_UNROLL(2)
      for (int i = 0; i < V / 2; ++i)
        bits |= std::uint64_t{bits_at_most(t.get(p, i), load_i32(limit + i * i32::lanes))} << i * i32::lanes;
      bits ^= flip >> t.first;
      std::memcpy(y + t.at(p) * pixel + t.first / 8, &bits, V * u64w::lanes / 8);
    }
  }
  std::uint8_t* y;
  long pixel;
  std::uint64_t flip;
  const std::int32_t *rows, *row_at;
};

// The same of a panel whose filters take turns in four vectors. ONE_ROW: all pixels are held against the same.
template <bool ONE_ROW>
struct QuadsToBits {
  explicit QuadsToBits(const BinaryPanel& panel, const BinaryBits& to)
      : y(to.y),
        pixel(to.pixel),
        flip(static_cast<std::uint32_t>(to.flip)),
        limits(panel.limits),
        row_at(panel.row_at) {}
  template <int P, int V, bool CLAMPED>
  ACCEL_FORCE_INLINE void operator()(const BitTile<P, V, CLAMPED>& t) const {
    if constexpr (V == kBitVectors) {
      ACCEL_UNROLL(8)
      for (int p = 0; p < P; ++p) {
        const std::uint32_t bits = t.below(p, ONE_ROW ? limits : limits + row_at[t.at(p)]) ^ flip;
        std::memcpy(y + t.at(p) * pixel, &bits, sizeof bits);
      }
    }
  }
  std::uint8_t* y;
  long pixel;
  std::uint32_t flip;
  const std::uint16_t* limits;
  const std::int32_t* row_at;
};

struct ToCounts {
  explicit ToCounts(const BinaryPanel& panel, const BinaryCounts& to)
      : y(to.y), pixel(to.pixel), filters(panel.filters), rows(panel.rows), row_at(panel.row_at) {}
  template <int P, int V, bool CLAMPED>
  ACCEL_FORCE_INLINE void operator()(const BitTile<P, V, CLAMPED>& t) const {
    ACCEL_UNROLL(2)
    for (int i = 0; i < V / 2; ++i) {
      const int filter = t.first + i * i32::lanes, left = filters - filter;
      if (left <= 0) return;
      ACCEL_UNROLL(8)
      for (int p = 0; p < P; ++p) {
        const i32 count = minus_twice(load_i32(rows + row_at[t.at(p)] + filter), t.get(p, i));
        std::int32_t* to = y + t.at(p) * pixel + filter;
        if (left >= i32::lanes)
          store(to, count);
        else
          store_n(to, count, left);
      }
    }
  }
  std::int32_t* y;
  long pixel;
  int filters;
  const std::int32_t *rows, *row_at;
};

bool is_identity(const Activation& f) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return f.kind == Activation::Kind::clamp && f.low == -kInfinity && f.high == kInfinity;
}

struct Identity {
  ACCEL_FORCE_INLINE f32 operator()(f32 x) const { return x; }
};

// What may come between a count and its float. Tried: calling the residual into the cache while the tile counts, no
// gain.
struct Nothing {
  static constexpr bool residual(const BinaryReals&) { return false; }
  static constexpr bool pixel_scale(const BinaryReals&) { return false; }
  static constexpr bool signs(const BinaryReals&) { return false; }
  static constexpr bool whole(int left) { return left >= f32::lanes; }  // of the filters from here on
};
// The same, and what residual networks want, of filters that fill blocks: nothing is asked for every pixel.
struct NothingInBlocks : Nothing {
  static constexpr bool whole(int) { return true; }
};
struct ResidualAndSigns : NothingInBlocks {
  static constexpr bool residual(const BinaryReals&) { return true; }
  static constexpr bool signs(const BinaryReals&) { return true; }
};
struct Anything : Nothing {
  static ACCEL_FORCE_INLINE bool residual(const BinaryReals& to) { return to.residual; }
  static ACCEL_FORCE_INLINE bool pixel_scale(const BinaryReals& to) { return to.pixel_scale; }
  static ACCEL_FORCE_INLINE bool signs(const BinaryReals& to) { return to.signs; }
};

template <class Extra, class Function>
struct ToReals {
  ToReals(const BinaryPanel& panel, const BinaryReals& reals, const Function& function)
      : to(reals), f(function), filters(panel.filters), rows(panel.rows), row_at(panel.row_at) {}
  template <int P, int V, bool CLAMPED>
  ACCEL_FORCE_INLINE void operator()(const BitTile<P, V, CLAMPED>& t) const {
    ACCEL_UNROLL(2)
    for (int i = 0; i < V / 2; ++i) {
      const int filter = t.first + i * i32::lanes, left = filters - filter;
      if (left <= 0) return;
      const bool whole = Extra::whole(left), signs = Extra::signs(to);
      const f32 scale = load(to.scale + filter), bias = load(to.bias + filter);
      float* y = to.y + filter / 16 * to.y_block + filter % 16;
      const float* residual = to.residual + filter / 16 * to.residual_block + filter % 16;
      const f32 turn = signs ? load(to.turn + filter) : scale, limit = signs ? load(to.limit + filter) : scale;
      unsigned bits[P] = {};
      ACCEL_UNROLL(8)
      for (int p = 0; p < P; ++p) {
        if (t.again(p)) break;  // a residual that is y must not be added twice
        const long pixel = t.at(p);
        const f32 count = to_f32(minus_twice(load_i32(rows + row_at[pixel] + filter), t.get(p, i)));
        f32 r =
            Extra::pixel_scale(to) ? fma(scale * set1(to.pixel_scale[pixel]), count, bias) : fma(scale, count, bias);
        if (Extra::residual(to)) {
          const float* more = residual + to.residual_at[pixel];
          r = r + (whole ? load(more) : load_n(more, left));
        }
        r = f(r);
        if (whole)
          store(y + to.y_at[pixel], r);
        else
          store_n(y + to.y_at[pixel], r, left);
        if (signs) bits[p] = bits_at_least(r * turn, limit);
      }
      if (signs) put_signs<P>(t, to.signs + filter / 8, filter, bits);
    }
  }
  // Bits filter .. filter + lanes - 1 of each pixel; the lower half of a byte comes first.
  template <int P, class Tile>
  ACCEL_FORCE_INLINE void put_signs(const Tile& t, std::uint8_t* to_bits, int filter, const unsigned* bits) const {
    const long step = to.signs_pixel;
    ACCEL_UNROLL(8)
    for (int p = 0; p < P; ++p) {
      if (t.again(p)) break;
      std::uint8_t* at = to_bits + t.at(p) * step;
      if constexpr (f32::lanes >= 8)
        std::memcpy(at, bits + p, f32::lanes / 8);
      else
        *at = static_cast<std::uint8_t>(filter % 8 ? *at | bits[p] << 4 : bits[p]);
    }
  }
  BinaryReals to;
  Function f;
  int filters;
  const std::int32_t *rows, *row_at;
};

template <int P, int V, bool CLAMPED, class To>
ACCEL_INLINE void tile(const BinaryPanel& panel, long pixel, int first, const To& to) {
  BitTile<P, V, CLAMPED> t;
  t.pixel = pixel, t.last = panel.last, t.first = first;
  count_differing(panel, t);
  to(t);
}

// All pixels, V vectors of filters.
template <int V, class To>
ACCEL_INLINE void tiles(const BinaryPanel& panel, int first, const To& to) {
  constexpr int kFew = (kBitPixels + 1) / 2;
  long pixel = panel.first;
  for (; panel.last - pixel >= kBitPixels; pixel += kBitPixels) tile<kBitPixels, V, false>(panel, pixel, first, to);
  if (panel.last - pixel > kFew)
    tile<kBitPixels, V, true>(panel, pixel, first, to);
  else if (panel.last - pixel > 1)
    tile<kFew, V, true>(panel, pixel, first, to);
  else if (panel.last - pixel == 1)
    tile<1, V, false>(panel, pixel, first, to);
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

void binary_bits(const BinaryPanel& panel, const BinaryBits& to) noexcept {
  if constexpr (kBitQuads) {
    if (panel.limits && panel.one_row) return all_filters(panel, QuadsToBits<true>(panel, to));
    if (panel.limits) return all_filters(panel, QuadsToBits<false>(panel, to));
  }
  all_filters(panel, ToBits(panel, to));
}

void binary_counts(const BinaryPanel& panel, const BinaryCounts& to) noexcept {
  all_filters(panel, ToCounts(panel, to));
}

template <class Extra>
void reals(const BinaryPanel& panel, const BinaryReals& to) {
  const Activation& f = to.activation;
  const auto any = [&](f32 x) __attribute__((always_inline)) { return activate(f, x); };
  if (is_identity(f))
    all_filters(panel, ToReals<Extra, Identity>(panel, to, {}));
  else  // one tile for all other activations, which would be made six times over otherwise
    all_filters(panel, ToReals<Extra, decltype(any)>(panel, to, any));
}

void binary_reals(const BinaryPanel& panel, const BinaryReals& to) noexcept {
  const bool nothing = !to.residual && !to.pixel_scale && !to.signs;
  const bool blocks = is_identity(to.activation) && panel.filters % kBlock == 0;
  if (blocks && nothing)
    all_filters(panel, ToReals<NothingInBlocks, Identity>(panel, to, {}));
  else if (blocks && to.residual && to.signs && !to.pixel_scale)
    all_filters(panel, ToReals<ResidualAndSigns, Identity>(panel, to, {}));
  else if (nothing)
    reals<Nothing>(panel, to);
  else
    reals<Anything>(panel, to);
}

}  // namespace

extern const BinaryKernels kBinaryKernels;
const BinaryKernels kBinaryKernels = {u64w::lanes, kBitPixels,   kBitPanel,      kBitNibbles,
                                      kBitQuads,   &binary_bits, &binary_counts, &binary_reals};

}  // namespace accel::ACCEL_ISA
