// SPDX-License-Identifier: BSD-3-Clause
// Two ways through a plane: `strip` for the usual square kernels, some output rows at once, and `any_rows` for the
// rest. Both add the taps in the same order, so they give the same bits.
#include "kernels/activation/activation.inl.h"

namespace accel::ACCEL_ISA {
namespace {

// -- square kernels ------------------------------------------------------------------------------------------------

// The output pixels that strip() keeps in registers. Where all weights fit beside them, one column of four rows: a
// loaded input feeds up to K of the rows. Where not (5x5 with 16 registers) a weight is loaded once for three columns.
template <int K>
struct StripShape {
  static constexpr bool held = K * K + 5 <= kRegisters;
  static constexpr int rows = held ? 4 : f32::lanes == 4 ? 2 : 3, columns = held ? 1 : 3;  // measured on each ISA
};
// Pixels that one slice of channels walks before the next slice takes its turn at the same cache lines, or that the
// activation then passes over: all rows of them stay in the L1 cache. Tried: fetching the next turn ahead, no gain.
template <int S>
constexpr int kWalk = f32::lanes == kBlock ? 64
                      : S == 1             ? 24
                                           : 6;

template <int K>
struct Weights {
  static constexpr int held = StripShape<K>::held ? K * K : 1;
  const float* from;
  f32 kept[held];
  explicit ACCEL_FORCE_INLINE Weights(const float* w) : from(w) {
    ACCEL_UNROLL(32)
    for (int t = 0; t < held; ++t) kept[t] = load(w + t * kBlock);
  }
  ACCEL_FORCE_INLINE f32 at(int tap) const { return StripShape<K>::held ? kept[tap] : load(from + tap * kBlock); }
};

// ROWS x COLUMNS output pixels, one slice of channels. x, residual and y point at that slice of the first one.
template <int K, int S, int ROWS, int COLUMNS, class F>
ACCEL_INLINE void strip(const DepthwiseRow& d, const Weights<K>& w, f32 bias, const F& f, const float* x,
                        const float* residual, float* y) {
  f32 acc[ROWS][COLUMNS];
  ACCEL_UNROLL(16)
  for (int j = 0; j < ROWS * COLUMNS; ++j) acc[j / COLUMNS][j % COLUMNS] = bias;
  ACCEL_UNROLL(16)
  for (int i = 0; i < (ROWS - 1) * S + K; ++i, x += d.x_line) {
    ACCEL_UNROLL(8)
    for (int q = 0; q < K; ++q) {
      f32 in[COLUMNS];
      ACCEL_UNROLL(4)
      for (int c = 0; c < COLUMNS; ++c) in[c] = load(x + (c * S + q) * kBlock);
      ACCEL_UNROLL(4)
      for (int r = 0; r < ROWS; ++r) {
        if (i - r * S < 0 || i - r * S >= K) continue;
        const f32 tap = w.at((i - r * S) * K + q);
        ACCEL_UNROLL(4)
        for (int c = 0; c < COLUMNS; ++c) {
          acc[r][c] = fma(in[c], tap, acc[r][c]);
          pin(acc[r][c]);
        }
      }
    }
  }
  ACCEL_UNROLL(4)
  for (int r = 0; r < ROWS; ++r, y += d.y_row) {
    ACCEL_UNROLL(4)
    for (int c = 0; c < COLUMNS; ++c) {
      if (residual) acc[r][c] = acc[r][c] + load(residual + r * d.residual_row + c * kBlock);
      store(y + c * kBlock, f(acc[r][c]));
    }
  }
}

// y = f(y) on `rows` rows of n pixels.
void activate_pixels(const Activation& activation, float* y, long y_row, int rows, int n) {
  with_activation(activation, [=](const auto& f) __attribute__((always_inline)) {
    for (int r = 0; r < rows; ++r)
      for (long i = 0; i < static_cast<long>(n) * kBlock; i += kBlock) {
        ACCEL_UNROLL(4)
        for (int lane = 0; lane < kBlock; lane += f32::lanes) {
          float* at = y + r * y_row + i + lane;
          store(at, f(load(at)));
        }
      }
  });
}

// ROWS output rows from row `first` of d on, pixels begin .. end-1.
template <int K, int S, int ROWS, class F>
void strip_rows(const DepthwiseRow& d, const F& activation, int first, int begin, int end) {
  const F f = activation;  // its constants in registers: for all GCC knows, y might overlap them
  constexpr int kColumns = StripShape<K>::columns;
  const float* x = d.x + d.taps[0] + first * d.x_row;
  const float* residual = d.residual ? d.residual + first * d.residual_row : nullptr;
  float* y = d.y + first * d.y_row;
  for (int lane = 0; lane < kBlock; lane += f32::lanes) {
    const Weights<K> w(d.weights + lane);
    const f32 bias = load(d.bias + lane);
    int i = begin;
    const auto walk = [&]<int COLUMNS>(std::integral_constant<int, COLUMNS>) __attribute__((always_inline)) {
      for (; i + COLUMNS <= end; i += COLUMNS)
        strip<K, S, ROWS, COLUMNS>(d, w, bias, f, x + i * S * kBlock + lane,
                                   residual ? residual + i * kBlock + lane : nullptr, y + i * kBlock + lane);
    };
    walk(std::integral_constant<int, kColumns>{});
    if constexpr (kColumns > 1) walk(std::integral_constant<int, 1>{});
  }
}

template <int K, int S, class F>
ACCEL_INLINE void square_rows(const DepthwiseRow& d, const F& f, bool activate_after) {
  constexpr int kRows = StripShape<K>::rows;
  using Strip = void (*)(const DepthwiseRow&, const F&, int, int, int);
  constexpr Strip kStrips[] = {&strip_rows<K, S, 1, F>, &strip_rows<K, S, 2, F>,
                               &strip_rows<K, S, (kRows > 3 ? 3 : 2), F>, &strip_rows<K, S, kRows, F>};
  // Of nearly equal height: 5 = 3 + 2 rather than 4 + 1.
  const int strips = (d.rows + kRows - 1) / kRows;
  for (int i = 0; i < strips; ++i) {
    const int first = d.rows * i / strips, rows = d.rows * (i + 1) / strips - first;
    for (int begin = 0; begin < d.width; begin += kWalk<S>) {
      const int end = d.width - begin > kWalk<S> ? begin + kWalk<S> : d.width;
      kStrips[rows == kRows ? 3 : rows - 1](d, f, first, begin, end);
      if (activate_after)
        activate_pixels(d.activation, d.y + first * d.y_row + begin * kBlock, d.y_row, rows, end - begin);
    }
  }
}

// The two usual activations on the sums in registers; the others afterwards, so that there are not six of each strip.
template <int K, int S>
void square_rows(const DepthwiseRow& d) {
  using Kind = Activation::Kind;
  if (d.activation.kind == Kind::hard_swish)
    return square_rows<K, S>(d, Activate<Kind::hard_swish>(d.activation), false);
  const bool clamped = d.activation.kind == Kind::clamp;
  square_rows<K, S>(d, Activate<Kind::clamp>(clamped ? d.activation : Activation{}), !clamped);
}

// -- any kernel ----------------------------------------------------------------------------------------------------

// N neighbouring pixels of one row, one slice of channels.
template <int N, class F>
ACCEL_INLINE void pixels(const DepthwiseRow& d, const F& f, const float* x, const float* residual, float* y, int lane) {
  f32 acc[N];
  const f32 bias = load(d.bias + lane);
  ACCEL_UNROLL(16)
  for (int i = 0; i < N; ++i) acc[i] = bias;
  const long step = d.x_step;
  for (int t = 0; t < d.tap_count; ++t) {
    const f32 w = load(d.weights + t * kBlock + lane);
    const float* in = x + d.taps[t] + lane;
    ACCEL_UNROLL(16)
    for (int i = 0; i < N; ++i) acc[i] = fma(load(in + i * step), w, acc[i]);
  }
  ACCEL_UNROLL(16)
  for (int i = 0; i < N; ++i) {
    if (residual) acc[i] = acc[i] + load(residual + i * kBlock + lane);
    store(y + i * kBlock + lane, f(acc[i]));
  }
}

// Not inlined: six of it in one function leave GCC without registers for the addresses.
template <class F>
__attribute__((noinline)) void any_rows(const DepthwiseRow& d, const F& activation) {
  constexpr int kMost = kRegisters / 2 - 2;  // enough chains to hide the FMA's latency, and no spills
  const F f = activation;
  for (int r = 0; r < d.rows; ++r) {
    const float* x = d.x + r * d.x_row;
    const float* residual = d.residual ? d.residual + r * d.residual_row : nullptr;
    float* y = d.y + r * d.y_row;
    for (int begin = 0; begin < d.width; begin += kWalk<1>) {
      const int end = d.width - begin > kWalk<1> ? begin + kWalk<1> : d.width;
      for (int lane = 0; lane < kBlock; lane += f32::lanes) {
        int i = begin;
        for (; i + kMost <= end; i += kMost)
          pixels<kMost>(d, f, x + i * d.x_step, residual ? residual + i * kBlock : nullptr, y + i * kBlock, lane);
        for (; i + 4 <= end; i += 4)
          pixels<4>(d, f, x + i * d.x_step, residual ? residual + i * kBlock : nullptr, y + i * kBlock, lane);
        for (; i < end; ++i)
          pixels<1>(d, f, x + i * d.x_step, residual ? residual + i * kBlock : nullptr, y + i * kBlock, lane);
      }
    }
  }
}

void depthwise_rows(const DepthwiseRow& d) noexcept {
  if (d.kernel == 3 && d.stride == 1) return square_rows<3, 1>(d);
  if (d.kernel == 3 && d.stride == 2) return square_rows<3, 2>(d);
  if (d.kernel == 5 && d.stride == 1) return square_rows<5, 1>(d);
  if (d.kernel == 5 && d.stride == 2) return square_rows<5, 2>(d);
  with_activation(d.activation, [&](const auto& f) { any_rows(d, f); });
}

}  // namespace
}  // namespace accel::ACCEL_ISA
