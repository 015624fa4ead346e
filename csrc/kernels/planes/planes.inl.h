// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/activation/activation.inl.h"

namespace accel::ACCEL_ISA {
namespace {

struct Convolve {
  static ACCEL_FORCE_INLINE f32 begin(const PlaneWindow& p) { return set1(p.bias); }
  static ACCEL_FORCE_INLINE f32 outside() { return zero(); }
  static ACCEL_FORCE_INLINE f32 add(const PlaneWindow& p, int tap, f32 sum, f32 x) {
    return fma(set1(p.weights[tap]), x, sum);
  }
};
struct Maximum {
  static ACCEL_FORCE_INLINE f32 begin(const PlaneWindow&) { return outside(); }
  static ACCEL_FORCE_INLINE f32 outside() { return set1(-std::numeric_limits<float>::infinity()); }
  static ACCEL_FORCE_INLINE f32 add(const PlaneWindow&, int, f32 most, f32 x) { return max_nan(most, x); }
};

// N vectors: a tap's weight and address serve all, and their sums do not wait for each other.
template <class Op, int N, class F>
ACCEL_INLINE void some_vectors(const PlaneWindow& p, long v, const F& f) {
  f32 sum[N];
  for (int j = 0; j < N; ++j) sum[j] = Op::begin(p);
  for (int t = 0; t < p.taps; ++t) {
    const float* x = p.x + p.at[t] + v * f32::lanes;
    const std::uint16_t* bits = p.bits + t * p.vectors + v;
    ACCEL_UNROLL(4)
    for (int j = 0; j < N; ++j) sum[j] = Op::add(p, t, sum[j], load_bits(x + j * f32::lanes, bits[j], Op::outside()));
  }
  for (int j = 0; j < N; ++j) {
    const long at = (v + j) * f32::lanes;
    const int n = v + j + 1 < p.vectors ? f32::lanes : p.last_lanes;
    if (p.residual) sum[j] = sum[j] + (n == f32::lanes ? load(p.residual + at) : load_n(p.residual + at, n));
    if (n == f32::lanes)
      store(p.y + at, f(sum[j]));
    else
      store_n(p.y + at, f(sum[j]), n);
  }
}

template <class Op>
void plane_window(const PlaneWindow& p) noexcept {
  with_activation(p.activation, [&](const auto& f) __attribute__((always_inline)) {
    long v = 0;
    for (; v + 4 <= p.vectors; v += 4) some_vectors<Op, 4>(p, v, f);
    for (; v < p.vectors; ++v) some_vectors<Op, 1>(p, v, f);
  });
}

void copy_every(const float* from, long step, long count, float* to) noexcept {
  if (step == 2)  // for the compiler to take two vectors apart
    for (long i = 0; i < count; ++i) to[i] = from[2 * i];
  else
    for (long i = 0; i < count; ++i) to[i] = from[i * step];
}

constexpr PlaneKernels kPlaneKernels{f32::lanes, &plane_window<Convolve>, &plane_window<Maximum>, &copy_every};

}  // namespace
}  // namespace accel::ACCEL_ISA
