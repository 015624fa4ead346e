// SPDX-License-Identifier: BSD-3-Clause
// The small matrices of Winograd convolution in double: weights to transformed weights and back.
#pragma once
#include "kernels/layout/map.h"

namespace accel {

inline constexpr int kMostWinogradPoints = 8, kMostWinogradTaps = 5;

class WinogradMatrices {
 public:
  WinogradMatrices(int m, int r);
  // u[n][n] = G g G^T for 16 filters at once; g[r][r][16], u in double, [n][n][16].
  void transform(const double* g, double* u) const noexcept;
  // g from u: frequency f, lane l at u[f * step + l]; g[r][r][16].
  void recover(const float* u, long step, float* g) const noexcept;

 private:
  int n_, r_;
  double forward_[kMostWinogradPoints][kMostWinogradTaps] = {};   // G
  double backward_[kMostWinogradTaps][kMostWinogradPoints] = {};  // backward G = 1
};

}  // namespace accel
