// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/activation/activation.inl.h"

namespace accel::ACCEL_ISA {
namespace {

using Kind = ElementwiseSpec::Kind;

template <Kind KIND>
ACCEL_INLINE f32 combine(const float* a, const float* b) {
  if constexpr (KIND == Kind::add) return load(a) + load(b);
  if constexpr (KIND == Kind::subtract) return load(a) - load(b);
  if constexpr (KIND == Kind::multiply) return load(a) * load(b);
  return load(a);
}

// n pixels; PER_CHANNEL: b holds one pixel for all of them.
template <Kind KIND, bool PER_CHANNEL, class F>
void pixels(const F& activation, const float* a, const float* b, float* y, long n) {
  const F f = activation;  // its constants in registers: for all GCC knows, y might overlap them
  for (; n > 0; --n, a += kBlock, b += PER_CHANNEL ? 0 : kBlock, y += kBlock) {
    f32 v[kBlock / f32::lanes];
    ACCEL_UNROLL(4)
    for (int i = 0; i < kBlock / f32::lanes; ++i) v[i] = combine<KIND>(a + i * f32::lanes, b + i * f32::lanes);
    ACCEL_UNROLL(4)
    for (int i = 0; i < kBlock / f32::lanes; ++i) store(y + i * f32::lanes, f(v[i]));
  }
}

template <class F>
void choose(const ElementwiseSpec& s, const F& f, const float* a, const float* b, float* y, long n) {
  switch (s.kind) {
    case Kind::copy:
      return pixels<Kind::copy, true>(f, a, a, y, n);
    case Kind::add:
      return s.b_per_channel ? pixels<Kind::add, true>(f, a, b, y, n) : pixels<Kind::add, false>(f, a, b, y, n);
    case Kind::subtract:
      return s.b_per_channel ? pixels<Kind::subtract, true>(f, a, b, y, n)
                             : pixels<Kind::subtract, false>(f, a, b, y, n);
    case Kind::multiply:
      return s.b_per_channel ? pixels<Kind::multiply, true>(f, a, b, y, n)
                             : pixels<Kind::multiply, false>(f, a, b, y, n);
  }
}

void elementwise_pixels(const ElementwiseSpec& s, const float* a, const float* b, float* y, long n) noexcept {
  with_activation(s.activation, [=, &s](const auto& f) { choose(s, f, a, b, y, n); });
}

}  // namespace
}  // namespace accel::ACCEL_ISA
