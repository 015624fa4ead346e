// SPDX-License-Identifier: BSD-3-Clause
// The points where F(m x m, r x r) evaluates its polynomials, and what follows from them at compile time.
#pragma once

namespace accel::winograd {

// 0, infinity and +- each of these. 1/sqrt2 and sqrt2 halve the error of the usual 1 and 2, at the same cost
// (docs/kernels/winograd.md); their product is 1, which saves a multiplication.
template <int N>
struct Points;
template <>
struct Points<4> {
  static constexpr int pairs = 1;
  static constexpr double p[] = {1.0};
};
template <>
struct Points<6> {
  static constexpr int pairs = 2;
  static constexpr double p[] = {0.70710678118654752440, 1.41421356237309504880};
};
template <>
struct Points<8> {
  static constexpr int pairs = 3;
  static constexpr double p[] = {1.0, 0.5, 2.0};
};

// Coefficients in x^2 of prod (x^2 - p_j^2) over all pairs but `skip` (-1: over all).
template <int N>
struct Even {
  double c[N / 2] = {};
  constexpr explicit Even(int skip) {
    c[0] = 1.0;
    int degree = 0;
    for (int j = 0; j < Points<N>::pairs; ++j) {
      if (j == skip) continue;
      const double q = Points<N>::p[j] * Points<N>::p[j];
      ++degree;
      for (int k = degree; k >= 0; --k) c[k] = (k > 0 ? c[k - 1] : 0.0) - q * (k < degree ? c[k] : 0.0);
    }
  }
};

// prod (a - a_j) over the finite points but a itself: 0 for -1, else of the pair, whose two have the same.
template <int N>
constexpr double scale(int pair) {
  double product = 1.0;
  const double p = pair < 0 ? 0.0 : Points<N>::p[pair];
  for (int j = 0; j < Points<N>::pairs; ++j)
    if (j != pair) product *= p * p - Points<N>::p[j] * Points<N>::p[j];
  return pair < 0 ? product : 2 * p * p * product;
}

constexpr double power(double x, int n) { return n == 0 ? 1.0 : x * power(x, n - 1); }
// Products of rounded points that should be 1.
constexpr float rounded(double x) {
  constexpr double kNoise = 1e-12;
  const double whole =
      x < 0 ? static_cast<double>(static_cast<long>(x - 0.5)) : static_cast<double>(static_cast<long>(x + 0.5));
  return static_cast<float>(x - whole < kNoise && whole - x < kNoise ? whole : x);
}

}  // namespace accel::winograd
