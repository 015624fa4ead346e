// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/activation/activation.inl.h"
#include "kernels/planes/pairs.inl.h"

namespace accel::ACCEL_ISA {
namespace {

struct Convolve {
  static ACCEL_FORCE_INLINE f32 begin(const PlaneWindow& p) { return set1(p.bias); }
  static ACCEL_FORCE_INLINE f32 weight(const PlaneWindow& p, int tap) { return set1(p.weights[tap]); }
  static ACCEL_FORCE_INLINE f32 add(f32 sum, f32 weight, f32 x) { return fma(weight, x, sum); }
  template <class Body>
  static ACCEL_FORCE_INLINE void finish(const PlaneWindow& p, const Body& body) {
    with_activation(p.activation, body);
  }
};
struct Maximum {
  static ACCEL_FORCE_INLINE f32 begin(const PlaneWindow&) { return set1(-std::numeric_limits<float>::infinity()); }
  static ACCEL_FORCE_INLINE f32 weight(const PlaneWindow&, int) { return zero(); }
  static ACCEL_FORCE_INLINE f32 add(f32 most, f32, f32 x) { return max_nan(most, x); }
  template <class Body>
  static ACCEL_FORCE_INLINE void finish(const PlaneWindow&, const Body& body) {
    body([](f32 x) __attribute__((always_inline)) { return x; });
  }
};

constexpr int kRowsAtOnce = 4;

// Taps of N rows of one vector: column by column, so that with TALL, three rows of taps one row apart, each row that is
// loaded serves three.
template <class Op, int N, bool TALL>
ACCEL_INLINE void add_taps(const PlaneWindow& p, const float* x, f32* sum) {
  for (int q = 0; q < p.kernel_w; ++q) {
    if constexpr (TALL) {
      const f32 w[3] = {Op::weight(p, q), Op::weight(p, p.kernel_w + q), Op::weight(p, 2 * p.kernel_w + q)};
      ACCEL_UNROLL(6)
      for (int r = 0; r < N + 2; ++r) {
        const f32 v = load(x + p.at[q] + r * p.row);
        ACCEL_UNROLL(3)
        for (int t = 0; t < 3; ++t)
          if (r - t >= 0 && r - t < N) sum[r - t] = Op::add(sum[r - t], w[t], v);
      }
    } else {
      for (int t = q; t < p.kernel_h * p.kernel_w; t += p.kernel_w) {
        const f32 w = Op::weight(p, t);
        ACCEL_UNROLL(4)
        for (int j = 0; j < N; ++j) sum[j] = Op::add(sum[j], w, load(x + p.at[t] + j * p.row));
      }
    }
  }
}

template <class Op, int N, bool TALL, class F>
ACCEL_INLINE void some_rows(const PlaneWindow& p, long row, const F& f) {
  for (long column = 0; column < p.width; column += f32::lanes) {
    f32 sum[N];
    for (int j = 0; j < N; ++j) sum[j] = Op::begin(p);
    add_taps<Op, N, TALL>(p, p.x + row * p.row + column, sum);
    const int n = p.width - column < f32::lanes ? static_cast<int>(p.width - column) : f32::lanes;
    for (int j = 0; j < N; ++j) {
      const long at = (row + j) * p.width + column;
      if (p.residual) sum[j] = sum[j] + (n == f32::lanes ? load(p.residual + at) : load_n(p.residual + at, n));
      if (n == f32::lanes)
        store(p.y + at, f(sum[j]));
      else
        store_n(p.y + at, f(sum[j]), n);
    }
  }
}

template <class Op, bool TALL>
void all_rows(const PlaneWindow& p) noexcept {
  Op::finish(p, [&](const auto& f) __attribute__((always_inline)) {
    long row = 0;
    for (; row + kRowsAtOnce <= p.height; row += kRowsAtOnce) some_rows<Op, kRowsAtOnce, TALL>(p, row, f);
    for (; row + 2 <= p.height; row += 2) some_rows<Op, 2, TALL>(p, row, f);
    for (; row < p.height; ++row) some_rows<Op, 1, TALL>(p, row, f);
  });
}

template <class Op>
void plane_window(const PlaneWindow& p) noexcept {
  if (p.shared && p.kernel_h == 3)
    all_rows<Op, true>(p);
  else
    all_rows<Op, false>(p);
}

ACCEL_FORCE_INLINE void copy_row(const float* from, long count, float* to) {
  constexpr long kLanes = f32::lanes;
  long i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, load(from + i));
  const int left = static_cast<int>(count - i);
  if (left > 0) store_n(to + i, load_n(from + i, left), left);
}

ACCEL_FORCE_INLINE void copy_every_second(const float* from, long count, float* to) {
  constexpr long kLanes = f32::lanes;
  long i = 0;
  for (; i + kLanes < count; i += kLanes)  // behind the last of count there may be nothing
    store(to + i, {even_lanes(load(from + 2 * i).v, load(from + 2 * i + kLanes).v)});
  const int left = static_cast<int>(2 * (count - i) - 1), low = left < kLanes ? left : kLanes;
  store_n(to + i, {even_lanes(load_n(from + 2 * i, low).v, load_n(from + 2 * i + low, left - low).v)},
          static_cast<int>(count - i));
}

void copy_every(const float* from, long from_row, long step, long rows, long columns, float* to, long to_row) noexcept {
  for (long r = 0; r < rows; ++r, from += from_row, to += to_row)
    if (step == 1)
      copy_row(from, columns, to);
    else if (step == 2)
      copy_every_second(from, columns, to);
    else
      for (long i = 0; i < columns; ++i) to[i] = from[i * step];
}

// Down and then across, which gives the bits of plane_window.
ACCEL_FORCE_INLINE f32 largest(f32 left_upper, f32 left_lower, f32 right_upper, f32 right_lower) {
  const f32 left = max_nan(left_upper, left_lower), right = max_nan(right_upper, right_lower);
  return max_nan({even_lanes(left.v, right.v)}, {odd_lanes(left.v, right.v)});
}

void plane_halves(const float* x, long row, long rows, long columns, float* y) noexcept {
  constexpr long kLanes = f32::lanes;
  for (long r = 0; r < rows; ++r, x += 2 * row, y += columns) {
    long i = 0;
    for (; i + kLanes <= columns; i += kLanes) {
      const float *upper = x + 2 * i, *lower = upper + row;
      store(y + i, largest(load(upper), load(lower), load(upper + kLanes), load(lower + kLanes)));
    }
    const int left = static_cast<int>(columns - i), low = 2 * left < kLanes ? 2 * left : kLanes, high = 2 * left - low;
    if (left == 0) continue;
    const float *upper = x + 2 * i, *lower = upper + row;
    store_n(y + i,
            largest(load_n(upper, low), load_n(lower, low), load_n(upper + low, high), load_n(lower + low, high)),
            left);
  }
}

constexpr PlaneKernels kPlaneKernels{f32::lanes, &plane_window<Convolve>, &plane_window<Maximum>, &plane_halves,
                                     &copy_every};

}  // namespace
}  // namespace accel::ACCEL_ISA
