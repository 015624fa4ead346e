// SPDX-License-Identifier: BSD-3-Clause
// The register tile of tile.h, compiled once per instruction set.
#include "kernels/activation/activation.inl.h"

namespace accel::ACCEL_ISA {
namespace {

constexpr int kPanelVectors = kBlock / f32::lanes;
// Accumulators + one row of weights + one broadcast must fit the registers: 14 x 2 of 32 on AVX-512 (measured best of
// 14x2, 12x2 and 6x4: docs/kernels/conv2d.md), 6 x 2 of 16 on AVX2, 3 x 4 of 16 on SSE2, 6 x 4 of 32 on NEON.
constexpr int kMostPanels = f32::lanes == 16 ? 2 : 1;
constexpr int kMostRows = f32::lanes == 16 ? 14 : kRegisters == 32 || f32::lanes == 8 ? 6 : 3;
// A single panel on AVX-512 takes as many accumulators; strided rows need too many addresses for more than 14.
constexpr int kSingleRows = f32::lanes == 16 ? 28 : kMostRows;
// Few rows: more panels at once, so that each row is read less often and the weights stream through once.
constexpr int kVectorPanels = f32::lanes == 4 && kRegisters == 16 ? 2 : 4;
constexpr int kVectorRows = f32::lanes == 16 ? 4 : 1;
constexpr int kUnroll = kRegisters == 32 ? 4 : 2;  // depth steps written out in a row
// Where a step is short, lines are fetched in every other one: loads are as scarce as multiplications there.
constexpr int kFetchEvery = kRegisters == 32 ? 1 : 2;
// Strided rows are fetched too where they are few. Fourteen would fetch lines of other rows: slower.
constexpr bool kFetchStrided = kRegisters == 16;

// Addresses of the rows of the left operand. x86 scales an index by 1, 2, 4, 8 only, so 14 rows any step apart take two
// bases and four steps; rows one line apart take none.
template <RowStep STEP>
struct Rows {
  long step, step3, step5, step7;
  explicit Rows(long floats) : step(floats * 4), step3(step * 3), step5(step * 5), step7(step * 7) {}
  template <int R>
  ACCEL_FORCE_INLINE const float* at(const char* a, const char* a8) const {
    if constexpr (STEP == RowStep::neighbours)
      return reinterpret_cast<const float*>(a) + R * kBlock;
    else if constexpr (R >= 8)
      return at<R - 8>(a8, a8);
    else if constexpr (R == 0)
      return reinterpret_cast<const float*>(a);
    else if constexpr (R == 3)
      return reinterpret_cast<const float*>(a + step3);
    else if constexpr (R == 5)
      return reinterpret_cast<const float*>(a + step5);
    else if constexpr (R == 6)
      return reinterpret_cast<const float*>(a + step3 * 2);
    else if constexpr (R == 7)
      return reinterpret_cast<const float*>(a + step7);
    else
      return reinterpret_cast<const float*>(a + step * R);
  }
};

// The outputs of one row, or the weights of one step: the vectors of some panels. Of the last one only the first half
// where HALF.
template <int PANELS, bool HALF>
struct Outputs {
  static constexpr int panels = PANELS, whole = (PANELS - HALF) * kPanelVectors,
                       parts = HALF ? kBlock / 2 / f32_part::lanes : 0;
  f32 v[whole > 0 ? whole : 1];
  f32_part p[parts > 0 ? parts : 1];

  // f(vector, its first output) for all of them.
  template <class F>
  ACCEL_FORCE_INLINE void each(const F& f) {
    ACCEL_UNROLL(8)
    for (int i = 0; i < whole; ++i) f(v[i], i * f32::lanes);
    ACCEL_UNROLL(2)
    for (int i = 0; i < parts; ++i) f(p[i], whole * f32::lanes + i * f32_part::lanes);
  }
};

template <class V>
ACCEL_INLINE V narrowed(f32 x) {
  if constexpr (V::lanes == f32::lanes)
    return x;
  else
    return first_lanes(x);
}
template <class V>
ACCEL_INLINE V load_as(const float* p) {
  if constexpr (V::lanes == f32::lanes)
    return load(p);
  else
    return load_part(p);
}

// One step of depth: every row times one row of weights.
template <int ROWS, int R = 0, class Addresses, class Out>
ACCEL_INLINE void multiply(const Addresses& rows, const char* a, const char* a8, int k, const Out& b, Out* acc) {
  if constexpr (R < ROWS) {
    const f32 x = set1(rows.template at<R>(a, a8)[k]);
    ACCEL_UNROLL(8)
    for (int i = 0; i < Out::whole; ++i) acc[R].v[i] = fma(x, b.v[i], acc[R].v[i]);
    ACCEL_UNROLL(2)
    for (int i = 0; i < Out::parts; ++i) acc[R].p[i] = fma(narrowed<f32_part>(x), b.p[i], acc[R].p[i]);
    multiply<ROWS, R + 1>(rows, a, a8, k, b, acc);
  }
}

template <class Out>
ACCEL_INLINE void load_weights(const float* b, long b_panel, long ahead, Out& out) {
  ACCEL_UNROLL(4)
  for (int p = 0; p < Out::panels; ++p) prefetch(b + p * b_panel + ahead);
  out.each([&](auto& w, int o) __attribute__((always_inline)) {
    w = load_as<std::remove_reference_t<decltype(w)>>(b + o / kBlock * b_panel + o % kBlock);
  });
}

// The ends of a tile, each in a loop of its own over all accumulators: one copy of each instead of one for every
// combination, which took most of the compiler's time, and what is not asked for costs a branch.
template <int ROWS, class Out>
ACCEL_INLINE void add_residual(const Tile& t, Out* acc) {
  ACCEL_UNROLL(28)
  for (int r = 0; r < ROWS; ++r)
    acc[r].each([&](auto& x, int o) __attribute__((always_inline)) {
      x = x + load_as<std::remove_reference_t<decltype(x)>>(t.residual + t.residual_at[r] +
                                                            o / kBlock * t.residual_panel + o % kBlock);
    });
}

template <int ROWS, class Out>
ACCEL_INLINE void bound(const Tile& t, Out* acc) {
  const bool above = t.high < __builtin_inff();
  if (!above && !(t.low > -__builtin_inff())) return;
  const f32 low = set1(t.low), high = set1(t.high);
  ACCEL_UNROLL(28)
  for (int r = 0; r < ROWS; ++r)
    acc[r].each([&](auto& x, int) __attribute__((always_inline)) {
      x = max(narrowed<std::remove_reference_t<decltype(x)>>(low), x);
    });
  if (!above) return;
  ACCEL_UNROLL(28)
  for (int r = 0; r < ROWS; ++r)
    acc[r].each([&](auto& x, int) __attribute__((always_inline)) {
      x = min(narrowed<std::remove_reference_t<decltype(x)>>(high), x);
    });
}

template <int ROWS, class Out>
ACCEL_INLINE void store_full(const Tile& t, Out* acc) {
  ACCEL_UNROLL(28)
  for (int r = 0; r < ROWS; ++r) {
    float* c = t.c + t.c_at[r];
    acc[r].each([&](auto x, int o)
                    __attribute__((always_inline)) { store(c + o / kBlock * t.c_panel + o % kBlock, x); });
    ACCEL_UNROLL(2)
    for (int i = 0; i < Out::parts; ++i)  // lanes of no meaning must be finite
      store(c + (Out::panels - 1) * t.c_panel + kBlock / 2 + i * f32_part::lanes, narrowed<f32_part>(zero()));
  }
}

// A last panel with fewer outputs, of the rows of a matrix.
template <int ROWS, int PANELS>
ACCEL_INLINE void store_part(const Tile& t, const Outputs<PANELS, false>* acc) {
  ACCEL_UNROLL(28)
  for (int r = 0; r < ROWS; ++r) {
    ACCEL_UNROLL(8)
    for (int v = 0; v < PANELS * kPanelVectors; ++v) {
      const int p = v / kPanelVectors, lane = v % kPanelVectors * f32::lanes;
      float* c = t.c + t.c_at[r] + p * t.c_panel + lane;
      const int valid = p + 1 < PANELS ? f32::lanes : t.lanes - lane;
      if (valid >= f32::lanes)
        store(c, acc[r].v[v]);
      else if (valid > 0)
        store_n(c, acc[r].v[v], valid);
    }
  }
}

template <int ROWS, int PANELS, bool HALF>
ACCEL_INLINE void store_tile(const Tile& t, Outputs<PANELS, HALF>* acc) {
  if (t.residual) add_residual<ROWS>(t, acc);
  bound<ROWS>(t, acc);
  if constexpr (!HALF)
    if (t.lanes < kBlock) return store_part<ROWS, PANELS>(t, acc);
  store_full<ROWS>(t, acc);
}

// `count` steps of depth at one tap: neighbouring floats of every row.
template <int ROWS, RowStep STEP, class Out>
ACCEL_INLINE const float* multiply_depth(const Tile& t, const Rows<STEP>& rows, const float* a, const float* next,
                                         const float* far, const float* b, int count, Out* acc) {
  constexpr bool kFetchNext = STEP == RowStep::neighbours || kFetchStrided;
  const long b_panel = t.b_panel, ahead = t.ahead;
  const long next_row = STEP == RowStep::neighbours ? kBlock : t.inner == kBlock ? t.a_row : 0;
  const char* x = reinterpret_cast<const char*>(a);
  Out w;
  for (; count >= kUnroll; count -= kUnroll, x += 4 * kUnroll, b += kUnroll * kBlock) {
    ACCEL_OPAQUE(x);
    ACCEL_OPAQUE(b);
    const char* x8 = x + rows.step * 8;
    ACCEL_UNROLL(kUnroll)
    for (int k = 0; k < kUnroll; ++k) {
      // One line of each a step: more in a burst would wait for each other (16 steps written out were slower).
      if (k % kFetchEvery == 0) prefetch_far(far + k / kFetchEvery * kBlock);
      if (kFetchNext && (k + 1) % kFetchEvery == 0) prefetch(next + k / kFetchEvery * next_row);
      load_weights(b + k * kBlock, b_panel, ahead, w);
      multiply<ROWS>(rows, x, x8, k, w, acc);
      if (kRegisters == 16) ACCEL_STEP_END;  // or GCC interleaves the steps and spills accumulators
    }
    far += kUnroll / kFetchEvery * kBlock;
    next += kUnroll / kFetchEvery * next_row;
  }
  for (; count > 0; --count, x += 4, b += kBlock) {
    load_weights(b, b_panel, ahead, w);
    multiply<ROWS>(rows, x, x + rows.step * 8, 0, w, acc);
  }
  return b;
}

template <int ROWS, int PANELS, RowStep STEP, bool HALF = false>
void tile(const Tile& t) noexcept {
  using Out = Outputs<PANELS, HALF>;
  Out acc[ROWS], bias;
  bias.each([&](auto& x, int o)
                __attribute__((always_inline)) { x = load_as<std::remove_reference_t<decltype(x)>>(t.bias + o); });
  ACCEL_UNROLL(28)
  for (int r = 0; r < ROWS; ++r) acc[r] = bias;
  const Rows<STEP> rows(t.a_row);
  const float *a = t.a, *b = t.b, *far = t.far;
  for (int depth = t.depth; depth > 0; depth -= t.inner, a += t.a_block, far += t.far_block) {
    const float* next = depth > t.inner ? a + t.own_ahead : t.next_a;
    for (int i = 0; i < t.tap_count; ++i) {
      const float* x = a + t.taps[i];
      if constexpr (STEP == RowStep::gather) {
        Out w;
        load_weights(b, t.b_panel, t.ahead, w);
        const char* bytes = reinterpret_cast<const char*>(x);
        multiply<ROWS>(rows, bytes, bytes + rows.step * 8, 0, w, acc);
        b += kBlock;
      } else {
        b = multiply_depth<ROWS>(t, rows, x, next + t.taps[i], far, b, depth < t.inner ? depth : t.inner, acc);
      }
    }
  }
  store_tile<ROWS>(t, acc);
}

void activate_all(const Activation& f, const float* x, float* y, long n) noexcept {
  long i = 0;
  for (; i + f32::lanes <= n; i += f32::lanes) store(y + i, activate(f, load(x + i)));
  if (i < n) store_n(y + i, activate(f, load_n(x + i, static_cast<int>(n - i))), static_cast<int>(n - i));
}

template <int PANELS, RowStep STEP, bool HALF = false, int... ROWS>
constexpr void fill(TileFn* row, std::integer_sequence<int, ROWS...>) {
  ((row[ROWS + 1] = &tile<ROWS + 1, PANELS, STEP, HALF>), ...);
}
template <int PANELS, RowStep STEP, int ROWS>
constexpr void fill(TileSet& set) {
  fill<PANELS, STEP>(set.tiles[static_cast<int>(STEP)][PANELS], std::make_integer_sequence<int, ROWS>{});
}

constexpr TileSet make_tiles() {
  TileSet set{kMostPanels, kMostRows, kSingleRows, kBlock / kFetchEvery, kVectorRows, kVectorPanels,
              {},          {},        {},          &activate_all};
  fill<1, RowStep::neighbours, kSingleRows>(set);
  fill<1, RowStep::strided, kMostRows>(set);
  fill<1, RowStep::gather, kMostRows>(set);
  fill<1, RowStep::neighbours, true>(set.halved[1], std::make_integer_sequence<int, kSingleRows>{});
  if constexpr (kMostPanels > 1) {
    fill<2, RowStep::neighbours, kMostRows>(set);
    fill<2, RowStep::strided, kMostRows>(set);
    fill<2, RowStep::gather, kMostRows>(set);
    fill<2, RowStep::neighbours, true>(set.halved[2], std::make_integer_sequence<int, kMostRows>{});
  }
  fill<kVectorPanels, RowStep::strided>(set.vectors, std::make_integer_sequence<int, kVectorRows>{});
  return set;
}
constexpr TileSet kTiles = make_tiles();

}  // namespace
}  // namespace accel::ACCEL_ISA
