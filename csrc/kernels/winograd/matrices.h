// SPDX-License-Identifier: BSD-3-Clause
// The small matrices of Winograd convolution in double: weights to transformed weights and back.
#pragma once
#include "kernels/layout/map.h"

namespace accel {

inline constexpr int kMostWinogradPoints = 8, kMostWinogradTaps = 5;

class WinogradMatrices {
 public:
  WinogradMatrices(int m, int r, int stride);
  // G of u = G g G^T. With a stride of 2, k = 2 r - 1 and n is one more: its last row holds the taps between the
  // others, which are one a side.
  using Forward = double[kMostWinogradPoints][kMostWinogradTaps];
  const Forward& forward() const noexcept { return forward_; }
  // g from u: frequency f, lane l at u[f * step + l]; g[k][k][16].
  void recover(const float* u, long step, float* g) const noexcept;

 private:
  int n_, k_;
  Forward forward_ = {};                                          // G
  double backward_[kMostWinogradTaps][kMostWinogradPoints] = {};  // backward G = 1
};

}  // namespace accel
