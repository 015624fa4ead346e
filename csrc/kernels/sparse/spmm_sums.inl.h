// SPDX-License-Identifier: BSD-3-Clause
// Values, positions and sums of the rows of a sparse product; spmm.h says what and why.
#include "kernels/planes/pairs.inl.h"

namespace accel::ACCEL_ISA {
namespace {

// Whether float32 values have kernels that broadcast each as it is loaded; spmm_rows.inl.h says what they gain.
constexpr bool kSpmmLoads = f32::lanes == 16;

// Four values, each to be broadcast by its load.
struct FourLoads {
  const float* from;
};
template <int I>
ACCEL_FORCE_INLINE f32 spread(FourLoads values) {
  return set1(values.from[I]);
}

// How each kind lies in memory: four or eight values from p on, and the bytes that n values of a row take.
template <class Values, class Quad = f32>
struct ByFour {
  using Four = Quad;
  ACCEL_FORCE_INLINE void eight(const std::uint8_t* p, Four* two) const {
    const auto& values = static_cast<const Values&>(*this);
    two[0] = values.four(p), two[1] = values.four(p + Values::bytes(4));
  }
};
struct ValuesF32Loads : ByFour<ValuesF32Loads, FourLoads> {
  explicit ACCEL_FORCE_INLINE ValuesF32Loads(const float*) {}
  static constexpr int bytes(int n) { return 4 * n; }
  ACCEL_FORCE_INLINE Four four(const std::uint8_t* p) const { return {reinterpret_cast<const float*>(p)}; }
};
struct ValuesF32 {
  using Four = f32;
  explicit ACCEL_FORCE_INLINE ValuesF32(const float*) {}
  static constexpr int bytes(int n) { return 4 * n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(reinterpret_cast<const float*>(p)); }
  ACCEL_FORCE_INLINE void eight(const std::uint8_t* p, f32* two) const {
    two_quads(reinterpret_cast<const float*>(p), two);
  }
};
struct ValuesBf16 : ByFour<ValuesBf16> {
  explicit ACCEL_FORCE_INLINE ValuesBf16(const float*) {}
  static constexpr int bytes(int n) { return 2 * n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(reinterpret_cast<const std::uint16_t*>(p)); }
};
struct ValuesI8 : ByFour<ValuesI8> {
  explicit ACCEL_FORCE_INLINE ValuesI8(const float*) {}
  static constexpr int bytes(int n) { return n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(reinterpret_cast<const std::int8_t*>(p)); }
};
struct ValuesCode16 : ByFour<ValuesCode16> {
  QuadBook book;
  explicit ACCEL_FORCE_INLINE ValuesCode16(const float* b) : book(b) {}
  static constexpr int bytes(int n) { return (n + 3) / 4 * 2; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(book, p); }
};
struct ValuesCode256 : ByFour<ValuesCode256> {
  const float* book;
  explicit ACCEL_FORCE_INLINE ValuesCode256(const float* b) : book(b) {}
  static constexpr int bytes(int n) { return n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const {
    return quad(book[p[0]], book[p[1]], book[p[2]], book[p[3]]);
  }
};

// N vectors of sums of one row become results. What they share is read once: the compiler cannot know that y, once
// written, leaves it alone.
template <int N>
ACCEL_FORCE_INLINE void add_bias(const SpmmPiece& p, long row, f32* v) {
  const f32 bias = set1(p.bias[row]);
  if (p.scale) {
    const f32 scale = set1(p.scale[row]);
    ACCEL_UNROLL(4)
    for (int j = 0; j < N; ++j) v[j] = fma(v[j], scale, bias);
  } else {
    ACCEL_UNROLL(4)
    for (int j = 0; j < N; ++j) v[j] = v[j] + bias;
  }
}

// The largest of each 2 x 2 results, as the first half of a vector, in the order of kernels/planes: down, then across.
ACCEL_FORCE_INLINE f32 halves(f32 upper, f32 lower) {
  const f32 tall = max_nan(upper, lower);
  return max_nan({even_lanes(tall.v, tall.v)}, {odd_lanes(tall.v, tall.v)});
}

// One row of a strip whose vectors are segments, from its n vectors of sums. Not inlined: each row of W comes here but
// once.
__attribute__((noinline)) void finish_segments(const SpmmPiece& p, long row, int n, const float* sums) {
  const int step = p.halved ? 2 : 1, wide = f32::lanes / step / p.segments;
  const f32 low = set1(p.low), high = set1(p.high);
  for (int j = 0; j < n / step; ++j, sums += step * f32::lanes) {
    float all[f32::lanes];
    const auto each_quad = [&](auto&& f) __attribute__((always_inline)) {
      for (int s = 0; s < p.segments && s * (n / step) + j < p.y_rows; ++s)
        for (int i = 0; i < wide; i += 4) f((s * (n / step) + j) * p.y_line + i, all + s * wide + i);
    };
    f32 v[2] = {load(sums), p.halved ? load(sums + f32::lanes) : zero()};
    add_bias<2>(p, row, v);
    if (p.residual) {
      store(all, zero());
      const float* const residual = p.residual + row * p.residual_row;
      each_quad([&](long at, float* to) { store_quarter(to, load_quarter(residual + at)); });
      v[0] = v[0] + load(all);
    }
    for (f32& result : v) result = min(high, max(low, result));
    store(all, p.halved ? halves(v[0], v[1]) : v[0]);
    float* const y = p.y + row * p.y_row;
    each_quad([&](long at, const float* from) { store_quarter(y + at, load_quarter(from)); });
  }
}

// Of a tail that is one pixel of each of some images; `last` is that of the last.
__attribute__((noinline)) void store_tail(float* last, f32 v, int count, long step) {
  float lanes[f32::lanes];
  store(lanes, v);
  for (int l = 0; l < count; ++l) last[(l + 1 - count) * step] = lanes[l];
}

// The positions of eight values, or of four in strips. A load of any width takes half of what one of a vector of 64
// bytes takes, so 8 bytes are read at once. Where a vector is four floats they are read one by one, and values by four:
// registers are few.
template <class Offset>
struct Offsets {
  static constexpr bool kAtOnce = f32::lanes > 4;
  static constexpr int kBits = 8 * sizeof(Offset);
  const Offset* from;
  std::uint64_t all = 0;
  explicit ACCEL_FORCE_INLINE Offsets(const Offset* p) : from(p) {
    if constexpr (kAtOnce) std::memcpy(&all, p, sizeof all);
  }
  template <int I>
  ACCEL_FORCE_INLINE long at() const {
    return kAtOnce ? static_cast<long>(static_cast<Offset>(all >> kBits * I % 64)) : from[I];
  }
  ACCEL_FORCE_INLINE Offsets upper() const {
    if constexpr (kBits == 16) return Offsets(from + 4);
    Offsets four = *this;
    four.from += 4, four.all >>= 32;
    return four;
  }
};

// Two rows at once need 16 registers for their sums, where a tile has four vectors, and tiles of fewer add up in the
// same order: half of what AVX-512 has, all of AVX2.
constexpr bool kSpmmPairs = f32::lanes == 16;

// The sums of one row: even and odd values of a block apart, so that a product need not wait for the one before.
// As a tail, four more columns after the vectors.
template <int NZ, SpmmForm FORM>
struct RowSums {
  static constexpr bool TAIL = FORM == SpmmForm::tail, kStrip = FORM == SpmmForm::strip;
  static constexpr int kWidth = NZ * f32::lanes;
  static constexpr int kStep = FORM == SpmmForm::strip ? f32::lanes : kWidth;  // floats of an offset
  static constexpr int kLine = FORM == SpmmForm::strip ? f32::lanes : 16;      // of y, fetched at once
  using Offset = std::conditional_t<FORM == SpmmForm::strip, std::uint16_t, std::uint8_t>;
  f32 even[NZ], odd[NZ];
  f32_quarter even_tail, odd_tail;

  ACCEL_FORCE_INLINE void begin(const float* sum, bool first) {
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) {
      even[j] = first ? zero() : load(sum + j * f32::lanes);
      odd[j] = zero();
    }
    if constexpr (TAIL) even_tail = first ? zero_quarter() : load_quarter(sum + kWidth), odd_tail = zero_quarter();
  }
  template <int I, class Four>
  ACCEL_FORCE_INLINE void add(Four values, const float* x, const float* tails, Offsets<Offset> offsets) {
    const f32 w = spread<I>(values);
    const long k = offsets.template at<I>();
    const float* row = x + k * kStep;
    f32* to = I % 2 ? odd : even;
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) to[j] = fma(w, load(row + j * f32::lanes), to[j]);
    if constexpr (TAIL) {
      f32_quarter& tail = I % 2 ? odd_tail : even_tail;
      tail = fma(quarter(w), load_quarter(tails + k * 4), tail);
    }
  }
  template <class Four>
  ACCEL_FORCE_INLINE void add_four(Four values, const float* x, const float* tails, Offsets<Offset> offsets) {
    add<0>(values, x, tails, offsets);
    add<1>(values, x, tails, offsets);
    add<2>(values, x, tails, offsets);
    add<3>(values, x, tails, offsets);
  }
  // One column that two rows have, whose values are wa and wb.
  template <int I>
  static ACCEL_FORCE_INLINE void add_both(f32 wa, f32 wb, const float* x, const float* tails, Offsets<Offset> offsets,
                                          RowSums& a, RowSums& b) {
    const long k = offsets.template at<I>();
    const float* row = x + k * kStep;
    f32 *to = I % 2 ? a.odd : a.even, *other = I % 2 ? b.odd : b.even;
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) {
      const f32 v = load_once(row + j * f32::lanes);
      to[j] = fma(wa, v, to[j]), other[j] = fma(wb, v, other[j]);
    }
    if constexpr (TAIL) {
      const f32_quarter v = load_quarter(tails + k * 4);
      f32_quarter &tail = I % 2 ? a.odd_tail : a.even_tail, &other_tail = I % 2 ? b.odd_tail : b.even_tail;
      tail = fma(quarter(wa), v, tail), other_tail = fma(quarter(wb), v, other_tail);
    }
  }
  ACCEL_FORCE_INLINE void store_to(float* sum) const {
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) store(sum + j * f32::lanes, even[j] + odd[j]);
    if constexpr (TAIL) store_quarter(sum + kWidth, even_tail + odd_tail);
  }
  ACCEL_FORCE_INLINE void finish_halved(const SpmmPiece& p, float* y, const f32* v) const {
    for (int j = 0; j + 1 < NZ; j += 2, y += p.y_line) store_n(y, halves(v[j], v[j + 1]), f32::lanes / 2);
  }
  ACCEL_FORCE_INLINE void finish(const SpmmPiece& p, long row) const {
    constexpr bool kPartial = FORM == SpmmForm::plain;  // the last vector's pixels may be fewer
    const f32 low = set1(p.low), high = set1(p.high);
    const long step = FORM == SpmmForm::strip ? p.y_line : f32::lanes;
    const int last = p.last_lanes;
    float* const y = p.y + row * p.y_row;
    if (FORM == SpmmForm::strip && p.segments > 1) {
      float sums[kWidth];
      store_to(sums);
      return finish_segments(p, row, NZ, sums);
    }
    f32 v[NZ + 1];
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) v[j] = even[j] + odd[j];
    if constexpr (TAIL) {
      float four[4];  // read as they are written, or the load would wait for the store to reach the cache
      store_quarter(four, even_tail + odd_tail);
      v[NZ] = quad(four);
    }
    constexpr int kAll = NZ + (TAIL ? 1 : 0), kWhole = TAIL ? NZ : kPartial ? NZ - 1 : NZ;
    add_bias<kAll>(p, row, v);
    if (p.residual) {
      const float* const residual = p.residual + row * p.residual_row;
      ACCEL_UNROLL(4)
      for (int j = 0; j < kWhole; ++j) v[j] = v[j] + load(residual + j * step);
      if constexpr (kWhole < kAll)
        v[kWhole] =
            v[kWhole] + (last == f32::lanes ? load(residual + kWhole * step) : load_n(residual + kWhole * step, last));
    }
    ACCEL_UNROLL(4)
    for (int j = 0; j < kAll; ++j) v[j] = min(high, max(low, v[j]));
    if (FORM == SpmmForm::strip && p.halved) return finish_halved(p, y, v);
    ACCEL_UNROLL(4)
    for (int j = 0; j < kWhole; ++j) store(y + j * step, v[j]);
    if constexpr (kWhole < kAll) {
      if (TAIL && p.tail_step > 0)
        store_tail(y + kWhole * step, v[kWhole], last, p.tail_step);
      else if (last == f32::lanes)
        store(y + kWhole * step, v[kWhole]);
      else
        store_n(y + kWhole * step, v[kWhole], last);
    }
  }
};

}  // namespace
}  // namespace accel::ACCEL_ISA
