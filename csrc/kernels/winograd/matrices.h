// SPDX-License-Identifier: BSD-3-Clause
// The small matrices of Winograd convolution in double: weights to transformed weights and back.
#pragma once
#include "kernels/layout/map.h"

namespace accel {

inline constexpr int kMostWinogradPoints = 8, kMostWinogradTaps = 5;

class WinogradMatrices {
 public:
  WinogradMatrices(int m, int r, int stride);
  // u = G g G^T for 16 filters at once; g[k][k][16], u in double, [n][n][16]. With a stride of 2, k = 2 r - 1 and n is
  // one more: its last row holds the taps between the others, which are one a side.
  void transform(const double* g, double* u) const noexcept;
  // g from u: frequency f, lane l at u[f * step + l]; g[k][k][16].
  void recover(const float* u, long step, float* g) const noexcept;

 private:
  int n_, k_;
  double forward_[kMostWinogradPoints][kMostWinogradTaps] = {};   // G
  double backward_[kMostWinogradTaps][kMostWinogradPoints] = {};  // backward G = 1
};

}  // namespace accel
