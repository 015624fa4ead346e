// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/activation/activation.inl.h"

namespace accel::ACCEL_ISA {
namespace {

template <Arithmetic KIND>
ACCEL_INLINE f32 apply(f32 a, f32 b) {
  if constexpr (KIND == Arithmetic::add) return a + b;
  if constexpr (KIND == Arithmetic::subtract) return a - b;
  if constexpr (KIND == Arithmetic::multiply) return a * b;
  return a / b;
}

template <Arithmetic KIND>
ACCEL_INLINE void arithmetic_row(const float* a, long a_step, const float* b, long b_step, float* y, long n) {
  constexpr long lanes = f32::lanes;
  const f32 one_a = set1(a[0]), one_b = set1(b[0]);
  long i = 0;
  for (; i + lanes <= n; i += lanes)
    store(y + i, apply<KIND>(a_step ? load(a + i) : one_a, b_step ? load(b + i) : one_b));
  if (const int rest = static_cast<int>(n - i))
    store_n(y + i, apply<KIND>(a_step ? load_n(a + i, rest) : one_a, b_step ? load_n(b + i, rest) : one_b), rest);
}

void broadcast_row(Arithmetic kind, const float* a, long a_step, const float* b, long b_step, float* y,
                   long n) noexcept {
  switch (kind) {
    case Arithmetic::add:
      return arithmetic_row<Arithmetic::add>(a, a_step, b, b_step, y, n);
    case Arithmetic::subtract:
      return arithmetic_row<Arithmetic::subtract>(a, a_step, b, b_step, y, n);
    case Arithmetic::multiply:
      return arithmetic_row<Arithmetic::multiply>(a, a_step, b, b_step, y, n);
    case Arithmetic::divide:
      return arithmetic_row<Arithmetic::divide>(a, a_step, b, b_step, y, n);
  }
}

void exponential_row(const float* x, float* y, long n) noexcept {
  long i = 0;
  for (; i + f32::lanes <= n; i += f32::lanes) store(y + i, exp_whole(load(x + i)));
  if (const int rest = static_cast<int>(n - i)) store_n(y + i, exp_whole(load_n(x + i, rest)), rest);
}

constexpr BroadcastKernels kKernels{&broadcast_row, &exponential_row};

}  // namespace
}  // namespace accel::ACCEL_ISA
