// SPDX-License-Identifier: BSD-3-Clause
// The transforms of winograd.h for any m, r with n = m + r - 1 even, from their points alone (Toom-Cook):
// for finite points a_i, row i of B^T holds the coefficients of prod_{j != i} (x - a_j), the last row those of
// prod_j (x - a_j); column i of A^T the powers of a_i. With points 0 and +-p the two rows of a pair share all products:
// t +- p u, where t and u are the even and odd part.
#include "kernels/winograd/points.h"

namespace accel::ACCEL_ISA {
namespace {

// sum_{k < TERMS} c[k] load(2 k) by Horner-like chains from the leading term, whose coefficient is 1.
template <int N, int SKIP, int TERMS, int K, class Load>
ACCEL_INLINE f32 even_sum(f32 acc, const Load& load_at) {
  if constexpr (K < 0) {
    return acc;
  } else {
    constexpr float c = winograd::rounded(winograd::Even<N>(SKIP).c[K]);
    const f32 x = load_at(2 * K);
    if constexpr (c == 1.f)
      acc = acc + x;
    else if constexpr (c == -1.f)
      acc = acc - x;
    else
      acc = fma(set1(c), x, acc);
    return even_sum<N, SKIP, TERMS, K - 1>(acc, load_at);
  }
}
template <int N, int SKIP, int TERMS, class Load>
ACCEL_INLINE f32 even_sum(const Load& load_at) {
  return even_sum<N, SKIP, TERMS, TERMS - 2>(load_at(2 * (TERMS - 1)), load_at);
}

// Two rows of B^T times d: GROUP 0 those of the points 0 and infinity, GROUP i those of the i-th pair.
template <int N, int GROUP, class Load>
ACCEL_INLINE void input_pair(const Load& d, f32& first, f32& second) {
  constexpr int kPairs = winograd::Points<N>::pairs;
  if constexpr (GROUP == 0) {
    first = even_sum<N, -1, kPairs + 1>(d);
    second = even_sum<N, -1, kPairs + 1>([&](int k) { return d(k + 1); });
  } else {
    constexpr float p = static_cast<float>(winograd::Points<N>::p[GROUP - 1]);
    const f32 t = even_sum<N, GROUP - 1, kPairs>([&](int k) { return d(k + 2); });
    const f32 u = even_sum<N, GROUP - 1, kPairs>([&](int k) { return d(k + 1); });
    if constexpr (p == 1.f) {
      first = t + u;
      second = t - u;
    } else {
      first = fma(set1(p), u, t);
      second = fma(set1(-p), u, t);
    }
  }
}

// Where the two rows of a group stand among the n frequencies of a line.
template <int N, int GROUP>
constexpr int kFirst = GROUP == 0 ? 0 : 2 * GROUP - 1;
template <int N, int GROUP>
constexpr int kSecond = GROUP == 0 ? N - 1 : 2 * GROUP;

template <int N, int GROUP = 0>
ACCEL_INLINE void input_line(const f32* d, float* v, long step, f32& sum) {
  if constexpr (GROUP < N / 2) {
    f32 a, b;
    input_pair<N, GROUP>([&](int k) { return d[k]; }, a, b);
    sum = sum + (a + b);
    store(v + kFirst<N, GROUP> * step, a);
    store(v + kSecond<N, GROUP> * step, b);
    input_line<N, GROUP + 1>(d, v, step, sum);
  }
}

// Two lines of frequencies at a time: all of them would not fit the registers, and loads from L1 cost less than spills.
template <int N, int STRIDE, int GROUP = 0>
ACCEL_INLINE void input_groups(const float* x, long row, float* v, long step, f32& sum) {
  if constexpr (GROUP < N / 2) {
    f32 a[N], b[N];
    ACCEL_UNROLL(8)
    for (int i = 0; i < N; ++i)
      input_pair<N, GROUP>([&](int k) { return load(x + k * row + i * STRIDE * kBlock); }, a[i], b[i]);
    input_line<N>(a, v + kFirst<N, GROUP> * N * step, step, sum);
    input_line<N>(b, v + kSecond<N, GROUP> * N * step, step, sum);
    input_groups<N, STRIDE, GROUP + 1>(x, row, v, step, sum);
  }
}

// A sum of all frequencies tells whether anything in the window is not finite: additions are free beside the FMAs.
template <int M, int R, int STRIDE>
bool winograd_input(const float* x, long row, float* v, long step) noexcept {
  bool finite = true;
  for (int lane = 0; lane < kBlock; lane += f32::lanes) {
    f32 sum = zero();
    input_groups<M + R - 1, STRIDE>(x + lane, row, v + lane, step, sum);
    finite = finite && !has_nan(sum - sum);
  }
  return finite;
}

// What a frequency is multiplied by besides the powers of its point; the scale of the point 0 is that of pair -1.
template <int N, int STRIDE, int PAIR>
constexpr double kScale = STRIDE == 1 ? 1.0 : 1.0 / winograd::scale<N>(PAIR);

// y[K] = sum over the pairs of p^K (m+ + m-) or, for odd K, p^K (m+ - m-).
template <int N, int STRIDE, int K, int PAIR = 0>
ACCEL_INLINE f32 pair_sum(const f32* pairs, f32 acc, bool started) {
  if constexpr (PAIR == winograd::Points<N>::pairs) {
    return acc;
  } else {
    constexpr float c = winograd::rounded(winograd::power(winograd::Points<N>::p[PAIR], K) * kScale<N, STRIDE, PAIR>);
    f32 next;
    if constexpr (c == 1.f)
      next = started ? acc + pairs[PAIR] : pairs[PAIR];
    else
      next = started ? fma(set1(c), pairs[PAIR], acc) : set1(c) * pairs[PAIR];
    return pair_sum<N, STRIDE, K, PAIR + 1>(pairs, next, true);
  }
}

// Rows PARITY, PARITY + 2, .. of A^T times m.
template <int M, int N, int STRIDE, int PARITY, int K, class Load>
ACCEL_INLINE void output_rows(const Load& m, const f32* pairs, f32* y) {
  if constexpr (K < M) {
    constexpr float c = winograd::rounded(kScale<N, STRIDE, -1>);
    if constexpr (K == 0)
      y[0] = pair_sum<N, STRIDE, 0>(pairs, c == 1.f ? m(0) : set1(c) * m(0), true);
    else if constexpr (K == M - 1)
      y[K / 2] = pair_sum<N, STRIDE, K>(pairs, m(N - 1), true);
    else
      y[K / 2] = pair_sum<N, STRIDE, K>(pairs, zero(), false);
    output_rows<M, N, STRIDE, PARITY, K + 2>(m, pairs, y);
  }
}
template <int M, int N, int STRIDE, int PARITY, class Load>
ACCEL_INLINE void output_half(const Load& m, f32* y) {
  constexpr int kPairs = winograd::Points<N>::pairs;
  f32 pairs[kPairs];
  ACCEL_UNROLL(4)
  for (int i = 0; i < kPairs; ++i) pairs[i] = PARITY ? m(2 * i + 1) - m(2 * i + 2) : m(2 * i + 1) + m(2 * i + 2);
  output_rows<M, N, STRIDE, PARITY, PARITY>(m, pairs, y);
}

template <int M, int N, int STRIDE, int PARITY, class Store>
ACCEL_INLINE void output_parity(const float* m, long step, const Store& store_at) {
  constexpr int kEven = (M + 1) / 2, kOdd = M / 2, kRows = PARITY ? kOdd : kEven;
  f32 half[N][kRows];
  ACCEL_UNROLL(8)
  for (int i = 0; i < N; ++i)
    output_half<M, N, STRIDE, PARITY>([&](int k) { return load(m + (k * N + i) * step); }, half[i]);
  ACCEL_UNROLL(4)
  for (int i = 0; i < kRows; ++i) {
    f32 even[kEven], odd[kOdd];
    output_half<M, N, STRIDE, 0>([&](int k) { return half[k][i]; }, even);
    output_half<M, N, STRIDE, 1>([&](int k) { return half[k][i]; }, odd);
    ACCEL_UNROLL(4)
    for (int j = 0; j < kEven; ++j) store_at(2 * i + PARITY, 2 * j, even[j]);
    ACCEL_UNROLL(4)
    for (int j = 0; j < kOdd; ++j) store_at(2 * i + PARITY, 2 * j + 1, odd[j]);
  }
}

}  // namespace
}  // namespace accel::ACCEL_ISA
