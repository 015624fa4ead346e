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

// One step of depth: every row times one row of weights.
template <int ROWS, int VECTORS, int R = 0, class Addresses>
ACCEL_INLINE void multiply(const Addresses& rows, const char* a, const char* a8, int k, const f32* b,
                           f32 (*acc)[VECTORS]) {
  if constexpr (R < ROWS) {
    const f32 x = set1(rows.template at<R>(a, a8)[k]);
    ACCEL_UNROLL(8)
    for (int v = 0; v < VECTORS; ++v) acc[R][v] = fma(x, b[v], acc[R][v]);
    multiply<ROWS, VECTORS, R + 1>(rows, a, a8, k, b, acc);
  }
}

template <int PANELS>
ACCEL_INLINE void load_weights(const float* b, long b_panel, long ahead, f32* out) {
  ACCEL_UNROLL(4)
  for (int p = 0; p < PANELS; ++p) {
    prefetch(b + p * b_panel + ahead);
    ACCEL_UNROLL(4)
    for (int v = 0; v < kPanelVectors; ++v) out[p * kPanelVectors + v] = load(b + p * b_panel + v * f32::lanes);
  }
}

enum class Bounds { none, low, both };

// The common ends of a tile, full panels. What is not asked for is left out: a minimum costs as much as an FMA.
template <int ROWS, int PANELS, Bounds BOUNDS, bool RESIDUAL>
ACCEL_INLINE void store_full(const Tile& t, f32 (*acc)[PANELS * kPanelVectors]) {
  const f32 low = set1(t.low), high = set1(t.high);
  ACCEL_UNROLL(28)
  for (int r = 0; r < ROWS; ++r) {
    float* c = t.c + t.c_at[r];
    ACCEL_UNROLL(8)
    for (int v = 0; v < PANELS * kPanelVectors; ++v) {
      const int p = v / kPanelVectors, lane = v % kPanelVectors * f32::lanes;
      f32 x = acc[r][v];
      if constexpr (RESIDUAL) x = x + load(t.residual + t.residual_at[r] + p * t.residual_panel + lane);
      if constexpr (BOUNDS != Bounds::none) x = max(low, x);
      if constexpr (BOUNDS == Bounds::both) x = min(high, x);
      store(c + p * t.c_panel + lane, x);
    }
  }
}

template <int ROWS, int PANELS, bool RESIDUAL>
ACCEL_INLINE void store_bounded(const Tile& t, f32 (*acc)[PANELS * kPanelVectors]) {
  if (t.high < __builtin_inff())
    store_full<ROWS, PANELS, Bounds::both, RESIDUAL>(t, acc);
  else if (t.low > -__builtin_inff())
    store_full<ROWS, PANELS, Bounds::low, RESIDUAL>(t, acc);
  else
    store_full<ROWS, PANELS, Bounds::none, RESIDUAL>(t, acc);
}

// A last panel with fewer outputs, of the rows of a matrix.
template <int ROWS, int PANELS>
ACCEL_INLINE void store_part(const Tile& t, f32 (*acc)[PANELS * kPanelVectors]) {
  const f32 low = set1(t.low), high = set1(t.high);
  ACCEL_UNROLL(28)
  for (int r = 0; r < ROWS; ++r) {
    ACCEL_UNROLL(8)
    for (int v = 0; v < PANELS * kPanelVectors; ++v) {
      const int p = v / kPanelVectors, lane = v % kPanelVectors * f32::lanes;
      const f32 x = clamp(acc[r][v], low, high);
      float* c = t.c + t.c_at[r] + p * t.c_panel + lane;
      const int valid = p + 1 < PANELS ? f32::lanes : t.lanes - lane;
      if (valid >= f32::lanes)
        store(c, x);
      else if (valid > 0)
        store_n(c, x, valid);
    }
  }
}

template <int ROWS, int PANELS>
ACCEL_INLINE void store_tile(const Tile& t, f32 (*acc)[PANELS * kPanelVectors]) {
  if (t.lanes < kBlock)
    store_part<ROWS, PANELS>(t, acc);
  else if (t.residual)
    store_bounded<ROWS, PANELS, true>(t, acc);
  else
    store_bounded<ROWS, PANELS, false>(t, acc);
}

// `count` steps of depth at one tap: neighbouring floats of every row.
template <int ROWS, int PANELS, RowStep STEP>
ACCEL_INLINE const float* multiply_depth(const Tile& t, const Rows<STEP>& rows, const float* a, const float* next,
                                         const float* far, const float* b, int count,
                                         f32 (*acc)[PANELS * kPanelVectors]) {
  constexpr int kVectors = PANELS * kPanelVectors;
  const long b_panel = t.b_panel, ahead = t.ahead;
  const char* x = reinterpret_cast<const char*>(a);
  f32 w[kVectors];
  for (; count >= kUnroll; count -= kUnroll, x += 4 * kUnroll, b += kUnroll * kBlock) {
    ACCEL_OPAQUE(x);
    ACCEL_OPAQUE(b);
    const char* x8 = x + rows.step * 8;
    ACCEL_UNROLL(kUnroll)
    for (int k = 0; k < kUnroll; ++k) {
      // One line of each a step: more in a burst would wait for each other (16 steps written out were slower).
      if (k % kFetchEvery == 0) prefetch_far(far + k / kFetchEvery * kBlock);
      if (STEP == RowStep::neighbours && (k + 1) % kFetchEvery == 0) prefetch(next + k / kFetchEvery * kBlock);
      load_weights<PANELS>(b + k * kBlock, b_panel, ahead, w);
      multiply<ROWS, kVectors>(rows, x, x8, k, w, acc);
      if (kRegisters == 16) ACCEL_STEP_END;  // or GCC interleaves the steps and spills accumulators
    }
    far += kUnroll / kFetchEvery * kBlock;
    next += kUnroll / kFetchEvery * kBlock;
  }
  for (; count > 0; --count, x += 4, b += kBlock) {
    load_weights<PANELS>(b, b_panel, ahead, w);
    multiply<ROWS, kVectors>(rows, x, x + rows.step * 8, 0, w, acc);
  }
  return b;
}

template <int ROWS, int PANELS, RowStep STEP>
void tile(const Tile& t) noexcept {
  constexpr int kVectors = PANELS * kPanelVectors;
  f32 acc[ROWS][kVectors];
  ACCEL_UNROLL(8)
  for (int v = 0; v < kVectors; ++v) {
    const f32 bias = load(t.bias + v * f32::lanes);
    ACCEL_UNROLL(28)
    for (int r = 0; r < ROWS; ++r) acc[r][v] = bias;
  }
  const Rows<STEP> rows(t.a_row);
  const float *a = t.a, *b = t.b, *next = t.next_a, *far = t.far;
  for (int depth = t.depth; depth > 0; depth -= t.inner, a += t.a_block, next += t.a_block, far += t.far_block)
    for (int i = 0; i < t.tap_count; ++i) {
      const float* x = a + t.taps[i];
      if constexpr (STEP == RowStep::gather) {
        f32 w[kVectors];
        load_weights<PANELS>(b, t.b_panel, t.ahead, w);
        const char* bytes = reinterpret_cast<const char*>(x);
        multiply<ROWS, kVectors>(rows, bytes, bytes + rows.step * 8, 0, w, acc);
        b += kBlock;
      } else {
        b = multiply_depth<ROWS, PANELS>(t, rows, x, next + t.taps[i], far, b, depth < t.inner ? depth : t.inner, acc);
      }
    }
  store_tile<ROWS, PANELS>(t, acc);
}

void activate_all(const Activation& f, const float* x, float* y, long n) noexcept {
  long i = 0;
  for (; i + f32::lanes <= n; i += f32::lanes) store(y + i, activate(f, load(x + i)));
  if (i < n) store_n(y + i, activate(f, load_n(x + i, static_cast<int>(n - i))), static_cast<int>(n - i));
}

template <int PANELS, RowStep STEP, int... ROWS>
constexpr void fill(TileFn* row, std::integer_sequence<int, ROWS...>) {
  ((row[ROWS + 1] = &tile<ROWS + 1, PANELS, STEP>), ...);
}
template <int PANELS, RowStep STEP, int ROWS>
constexpr void fill(TileSet& set) {
  fill<PANELS, STEP>(set.tiles[static_cast<int>(STEP)][PANELS], std::make_integer_sequence<int, ROWS>{});
}

constexpr TileSet make_tiles() {
  TileSet set{kMostPanels,   kMostRows, kSingleRows, kBlock / kFetchEvery, kVectorRows,
              kVectorPanels, {},        {},          &activate_all};
  fill<1, RowStep::neighbours, kSingleRows>(set);
  fill<1, RowStep::strided, kMostRows>(set);
  fill<1, RowStep::gather, kMostRows>(set);
  if constexpr (kMostPanels > 1) {
    fill<2, RowStep::neighbours, kMostRows>(set);
    fill<2, RowStep::strided, kMostRows>(set);
    fill<2, RowStep::gather, kMostRows>(set);
  }
  fill<kVectorPanels, RowStep::strided>(set.vectors, std::make_integer_sequence<int, kVectorRows>{});
  return set;
}
constexpr TileSet kTiles = make_tiles();

}  // namespace
}  // namespace accel::ACCEL_ISA
