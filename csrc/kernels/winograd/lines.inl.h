// SPDX-License-Identifier: BSD-3-Clause
// Products of few channels. Storing one and loading it again would cost as much as making it, so the register tile is a
// whole line of n frequencies times some tiles, and its sums go through half of the output transform before they leave
// the registers. Needs 32 of them. Tried: lines of fewer tiles or of half the frequencies, slower.
namespace accel::ACCEL_ISA {
namespace {

constexpr int kLineSums = 24;  // 8 x 3, 6 x 4 or 4 x 6: frequencies times tiles

// One channel of the first COUNT frequencies of a line.
template <int COUNT, int TILES>
ACCEL_INLINE void line_channel(const float* v, const float* w, f32 (*sums)[TILES]) {
  ACCEL_UNROLL(8)
  for (int j = 0; j < COUNT; ++j) {
    const f32 weight = load_once(w + j * kLineWeights);
    ACCEL_UNROLL(6)
    for (int t = 0; t < TILES; ++t) sums[j][t] = fma(set1(v[j * kLineInputs + t * kBlock]), weight, sums[j][t]);
  }
}

// All channels. Where they are the phases of an odd kernel folded by two, (channel, row, column), those of odd rows and
// columns lack the last tap, so that their weights at infinity are zero.
template <int N, int TILES>
ACCEL_INLINE void line_sums(const WinogradLines& s, const float* v, const float* w, bool last, f32 (*sums)[TILES]) {
  if (!s.odd_fold) {
    for (int k = 0; k < s.depth; ++k, w += kBlock) line_channel<N, TILES>(v + k, w, sums);
    return;
  }
  for (int k = 0; k < s.depth; k += 4, v += 4, w += 4 * kBlock) {
    line_channel<N, TILES>(v, w, sums);
    line_channel<N - 1, TILES>(v + 1, w + kBlock, sums);
    if (last) continue;
    line_channel<N, TILES>(v + 2, w + 2 * kBlock, sums);
    line_channel<N - 1, TILES>(v + 3, w + 3 * kBlock, sums);
  }
}

// Line i of some tiles, from `tile` on.
template <int M, int R, int TILES>
void line(const WinogradLines& s, int i, int tile) noexcept {
  constexpr int N = M + R - 1;
  const float* v = s.v + i * N * kLineInputs + tile * kBlock;
  const float* w = s.weights + i * N * kLineWeights;
  float* to = s.lines + (tile * N + i) * M * kBlock;
  for (int lane = 0; lane < kBlock; lane += f32::lanes) {
    f32 sums[N][TILES];
    ACCEL_UNROLL(8)
    for (int j = 0; j < N; ++j) ACCEL_UNROLL(6)
    for (int t = 0; t < TILES; ++t) sums[j][t] = zero();
    line_sums<N, TILES>(s, v, w + lane, i == N - 1, sums);
    ACCEL_UNROLL(6)
    for (int t = 0; t < TILES; ++t) {
      f32 even[(M + 1) / 2], odd[M / 2];
      output_half<M, N, 1, 0>([&](int k) { return sums[k][t]; }, even);
      output_half<M, N, 1, 1>([&](int k) { return sums[k][t]; }, odd);
      ACCEL_UNROLL(6)
      for (int j = 0; j < M; ++j) store(to + (t * N * M + j) * kBlock + lane, j % 2 ? odd[j / 2] : even[j / 2]);
    }
  }
}

template <int M, int R, int TILES>
ACCEL_INLINE void last_tiles(const WinogradLines& s, int i, int tile) {
  if constexpr (TILES > 0) {
    if (s.tiles - tile == TILES) return line<M, R, TILES>(s, i, tile);
    last_tiles<M, R, TILES - 1>(s, i, tile);
  }
}

template <int M, int R>
void winograd_lines(const WinogradLines& s) noexcept {
  constexpr int N = M + R - 1, kTiles = kLineSums / N;
  for (int i = 0; i < N; ++i) {
    int tile = 0;
    for (; s.tiles - tile >= kTiles; tile += kTiles) line<M, R, kTiles>(s, i, tile);
    last_tiles<M, R, kTiles - 1>(s, i, tile);
  }
}

// As FromProducts, from lines.
template <int M, int R>
struct FromLines {
  static constexpr int m = M;
  template <class Store>
  static ACCEL_FORCE_INLINE void tile(const WinogradOutput& o, int lane, const Store& store_at) {
    constexpr int N = M + R - 1;
    ACCEL_UNROLL(6)
    for (int j = 0; j < M; ++j) {
      f32 sums[N], even[(M + 1) / 2], odd[M / 2];
      ACCEL_UNROLL(8)
      for (int i = 0; i < N; ++i) sums[i] = load(o.m + (i * M + j) * kBlock + lane);
      output_half<M, N, 1, 0>([&](int k) { return sums[k]; }, even);
      output_half<M, N, 1, 1>([&](int k) { return sums[k]; }, odd);
      ACCEL_UNROLL(6)
      for (int i = 0; i < M; ++i) store_at(i, j, i % 2 ? odd[i / 2] : even[i / 2]);
    }
  }
};

}  // namespace
}  // namespace accel::ACCEL_ISA
