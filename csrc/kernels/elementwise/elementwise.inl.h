// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/activation/activation.inl.h"

namespace accel::ACCEL_ISA {
namespace {

ACCEL_INLINE f32 combine(ElementwiseSpec::Kind kind, f32 a, f32 b) {
  switch (kind) {
    case ElementwiseSpec::Kind::add:
      return a + b;
    case ElementwiseSpec::Kind::subtract:
      return a - b;
    case ElementwiseSpec::Kind::multiply:
      return a * b;
    case ElementwiseSpec::Kind::copy:
      break;
  }
  return a;
}

void elementwise_row(const ElementwiseSpec& s, const float* a, const float* b, long b_step, float* y) noexcept {
  const ElementwiseSpec::Kind kind = s.kind;
  const Activation activation = s.activation;
  for (int i = 0; i < s.y.width; ++i, a += kBlock, b += b_step, y += kBlock)
    for (int lane = 0; lane < kBlock; lane += f32::lanes) {
      const f32 x = load(a + lane);
      store(y + lane, activate(activation, kind == ElementwiseSpec::Kind::copy ? x : combine(kind, x, load(b + lane))));
    }
}

}  // namespace
}  // namespace accel::ACCEL_ISA
