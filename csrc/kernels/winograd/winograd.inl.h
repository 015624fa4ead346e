// SPDX-License-Identifier: BSD-3-Clause
// What becomes of a tile's products: its outputs.
#include "kernels/activation/activation.inl.h"
// clang-format off
#include "kernels/winograd/transforms.inl.h"
#include "kernels/winograd/lines.inl.h"
// clang-format on

namespace accel::ACCEL_ISA {
namespace {

// f(row, column, value without bias) for every output of a tile, one vector of channels, from its products.
template <int M, int R, int STRIDE>
struct FromProducts {
  static constexpr int m = M;
  template <class Store>
  static ACCEL_FORCE_INLINE void tile(const WinogradOutput& o, int lane, const Store& store_at) {
    output_parity<M, M + R - 1, STRIDE, 0>(o.m + lane, o.step, store_at);
    output_parity<M, M + R - 1, STRIDE, 1>(o.m + lane, o.step, store_at);
  }
};

// CUT: only some rows and columns of the tile exist.
template <class From, bool RESIDUAL, bool CUT>
ACCEL_INLINE void clamped_tile(const WinogradOutput& o) {
  const f32 low = set1(o.activation->low), high = set1(o.activation->high);
  for (int lane = 0; lane < kBlock; lane += f32::lanes) {
    const f32 bias = load(o.bias + lane);
    From::tile(o, lane, [&](int i, int j, f32 x) {
      if (CUT && (i >= o.rows || j >= o.columns)) return;
      x = x + bias;
      if constexpr (RESIDUAL) x = x + load(o.residual + i * o.residual_row + j * kBlock + lane);
      store(o.y + i * o.y_row + j * kBlock + lane, clamp(x, low, high));
    });
  }
}

// Of each 2 x 2 outputs the largest. A bias and a clamp after it give the same bits as before it.
template <class From>
ACCEL_INLINE void pooled_tile(const WinogradOutput& o) {
  constexpr int M = From::m;
  const f32 low = set1(o.activation->low), high = set1(o.activation->high);
  for (int lane = 0; lane < kBlock; lane += f32::lanes) {
    f32 x[M][M];
    From::tile(o, lane, [&](int i, int j, f32 v) { x[i][j] = v; });
    const f32 bias = load(o.bias + lane);
    ACCEL_UNROLL(3)
    for (int i = 0; i + 1 < M; i += 2) ACCEL_UNROLL(3)
    for (int j = 0; j + 1 < M; j += 2) {
      const f32 most = max_nan(max_nan(x[i][j], x[i][j + 1]), max_nan(x[i + 1][j], x[i + 1][j + 1]));
      store(o.y + i / 2 * o.y_row + j / 2 * kBlock + lane, clamp(most + bias, low, high));
    }
  }
}

// What exists of a tile whose sums without bias stand in `tile`, [m][m][16].
void winograd_finish(const WinogradOutput& o, int m, const float* tile) noexcept {
  const int p = o.pool;
  for (int lane = 0; lane < kBlock; lane += f32::lanes) {
    const f32 bias = load(o.bias + lane);
    for (int i = 0; i + p <= o.rows; i += p)
      for (int j = 0; j + p <= o.columns; j += p) {
        f32 x = load(tile + (i * m + j) * kBlock + lane);
        for (int k = 1; k < p * p; ++k) x = max_nan(x, load(tile + ((i + k / p) * m + j + k % p) * kBlock + lane));
        x = x + bias;
        if (o.residual) x = x + load(o.residual + i * o.residual_row + j * kBlock + lane);
        store(o.y + i / p * o.y_row + j / p * kBlock + lane, activate(*o.activation, x));
      }
  }
}

template <class From, bool RESIDUAL>
ACCEL_INLINE void clamped_tile(const WinogradOutput& o) {
  if (o.rows == From::m && o.columns == From::m)
    clamped_tile<From, RESIDUAL, false>(o);
  else
    clamped_tile<From, RESIDUAL, true>(o);
}

template <class From>
void winograd_output(const WinogradOutput& o) noexcept {
  constexpr int M = From::m;
  if (o.activation->kind == Activation::Kind::clamp) {
    if (o.pool == 1) return o.residual ? clamped_tile<From, true>(o) : clamped_tile<From, false>(o);
    if constexpr (M % 2 == 0)
      if (o.rows == M && o.columns == M) return pooled_tile<From>(o);
  }
  float tile[M * M * kBlock];  // a pooled tile at the edge, and activations other than a clamp
  for (int lane = 0; lane < kBlock; lane += f32::lanes)
    From::tile(o, lane, [&](int i, int j, f32 x) { store(tile + (i * M + j) * kBlock + lane, x); });
  winograd_finish(o, M, tile);
}

// N points a side, K taps a side. Plain loops over the lanes, which compilers turn into vectors of doubles.
template <int N, int K>
void winograd_weights(const WinogradMatrices::Forward& forward, const double* g, float* u, long step) noexcept {
  double half[N * K * kBlock];  // G g
  for (int i = 0; i < N; ++i)
    for (int q = 0; q < K; ++q)
      for (int l = 0; l < kBlock; ++l) {
        double sum = 0.0;
        ACCEL_UNROLL(5)
        for (int p = 0; p < K; ++p) sum += forward[i][p] * g[(p * K + q) * kBlock + l];
        half[(i * K + q) * kBlock + l] = sum;
      }
  for (int i = 0; i < N; ++i)
    for (int j = 0; j < N; ++j)
      for (int l = 0; l < kBlock; ++l) {
        double sum = 0.0;
        ACCEL_UNROLL(5)
        for (int q = 0; q < K; ++q) sum += forward[j][q] * half[(i * K + q) * kBlock + l];
        u[(i * N + j) * step + l] = static_cast<float>(sum);
      }
}

template <int M, int R, int STRIDE = 1>
constexpr WinogradKernels kernels() {
  constexpr int kPoints = M + R - 1 + (STRIDE == 2), kTaps = STRIDE * (R - 1) + 1;
  WinogradKernels k{M,
                    R,
                    STRIDE,
                    &winograd_weights<kPoints, kTaps>,
                    &winograd_input<M, R, STRIDE>,
                    &winograd_output<FromProducts<M, R, STRIDE>>,
                    &winograd_finish,
                    nullptr,
                    nullptr};
  if constexpr (STRIDE == 1 && kRegisters == 32)
    k.lines = &winograd_lines<M, R>, k.output_of_lines = &winograd_output<FromLines<M, R>>;
  return k;
}
constexpr WinogradSet kForms{{kernels<2, 3>(), kernels<4, 3>(), kernels<6, 3>(), kernels<4, 5>(), kernels<3, 4>(),
                              kernels<5, 4>(), kernels<3, 2, 2>(), kernels<5, 2, 2>()}};

}  // namespace
}  // namespace accel::ACCEL_ISA
