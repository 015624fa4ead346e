// SPDX-License-Identifier: BSD-3-Clause
// The activations of activation.h on one vector; included by the bodies that apply them.
#ifndef ACCEL_KERNELS_ACTIVATION_SHARED
#define ACCEL_KERNELS_ACTIVATION_SHARED
#include "kernels/activation/activation.h"
#endif

namespace accel::ACCEL_ISA {
namespace {

ACCEL_INLINE f32 clamp(f32 x, f32 low, f32 high) { return min(high, max(low, x)); }

// exp(x) = p 2**k for |x| <= 110: 2**k by the exponent bits, the rest by the Taylor polynomial of degree 7 on
// |r| <= ln(2) / 2, whose error there is below 5e-9.
struct Power {
  f32 p, k;
};
ACCEL_INLINE Power power(f32 x) {
  const f32 k = round_even(x * set1(1.44269504f));
  // ln(2) in two parts, so that k ln(2) is exact enough
  const f32 r = fma(k, set1(-1.42860677e-6f), fma(k, set1(-0.693145752f), x));
  f32 p = set1(1.f / 5040);
  p = fma(p, r, set1(1.f / 720));
  p = fma(p, r, set1(1.f / 120));
  p = fma(p, r, set1(1.f / 24));
  p = fma(p, r, set1(1.f / 6));
  p = fma(p, r, set1(0.5f));
  p = fma(p, r, set1(1.f));
  p = fma(p, r, set1(1.f));
  return {p, k};
}

// exp(x) within 2 ulp for -87 <= x <= 88, infinite above 88.4, exp(-87) below.
ACCEL_INLINE f32 exp(f32 x) {
  const Power y = power(clamp(x, set1(-87.f), set1(89.f)));
  return y.p * exp2_integer(y.k);
}

// exp(x) within 3 ulp, NaN, infinite and 0 where it should be: 2**k in two factors, so that neither leaves the normal
// numbers where the product is one.
ACCEL_INLINE f32 exp_whole(f32 x) {
  const Power y = power(clamp(x, set1(-110.f), set1(89.f)));
  const f32 half = round_even(y.k * set1(0.5f));
  return y.p * exp2_integer(half) * exp2_integer(y.k - half);
}

ACCEL_INLINE f32 sigmoid(f32 x) { return set1(1.f) / (set1(1.f) + exp(zero() - x)); }

// One kind for loops: the constants stay in registers, and the choice stands outside.
template <Activation::Kind KIND>
struct Activate {
  f32 a, b;
  explicit ACCEL_FORCE_INLINE Activate(const Activation& f)
      : a(set1(KIND == Activation::Kind::clamp ? f.low : f.a)),
        b(set1(KIND == Activation::Kind::clamp ? f.high : f.b)) {}
  ACCEL_FORCE_INLINE f32 operator()(f32 x) const {
    if constexpr (KIND == Activation::Kind::clamp) return clamp(x, a, b);
    if constexpr (KIND == Activation::Kind::leaky_relu) return select_negative(x, a * x, x);
    if constexpr (KIND == Activation::Kind::hard_sigmoid) return clamp(fma(a, x, b), zero(), set1(1.f));
    if constexpr (KIND == Activation::Kind::hard_swish)
      return x * clamp(fma(x, set1(1.f / 6), set1(0.5f)), zero(), set1(1.f));
    if constexpr (KIND == Activation::Kind::sigmoid) return sigmoid(x);
    if constexpr (KIND == Activation::Kind::swish) return x * sigmoid(x);
    return x;
  }
};

// body(g) with the Activate of f's kind.
template <class Body>
ACCEL_INLINE void with_activation(const Activation& f, Body&& body) {
  using Kind = Activation::Kind;
  switch (f.kind) {
    case Kind::clamp:
      return body(Activate<Kind::clamp>(f));
    case Kind::leaky_relu:
      return body(Activate<Kind::leaky_relu>(f));
    case Kind::hard_sigmoid:
      return body(Activate<Kind::hard_sigmoid>(f));
    case Kind::hard_swish:
      return body(Activate<Kind::hard_swish>(f));
    case Kind::sigmoid:
      return body(Activate<Kind::sigmoid>(f));
    case Kind::swish:
      return body(Activate<Kind::swish>(f));
  }
}

ACCEL_INLINE f32 activate(const Activation& f, f32 x) {
  with_activation(f, [&](const auto& g) __attribute__((always_inline)) { x = g(x); });
  return x;
}

}  // namespace
}  // namespace accel::ACCEL_ISA
