// SPDX-License-Identifier: BSD-3-Clause
// What is done to 16 (8, 4) elements of one row at the end, after simd/lanes_<isa>.h; see fastfood.h.
namespace accel::ACCEL_ISA {
namespace {

// amplitude cos(2 pi x) and amplitude sin(2 pi x), both within 3e-7 amplitude: x = k + t exactly, |t| <= 1/2, and both
// are sines of no more than a quarter turn, by an odd polynomial of degree 9, off by less than 4e-9. In turns, because
// the multiplications of a reduction by 2 pi are what these lines would wait for; s and offset are divided once.
struct Waves {
  f32 c[5], quarter;
  explicit ACCEL_FORCE_INLINE Waves(float amplitude) : quarter(set1(0.25f)) {
    constexpr float kSine[] = {6.283185f, -41.341656f, 81.601006f, -76.54975f, 39.53648f};
    ACCEL_UNROLL(5)
    for (int i = 0; i < 5; ++i) c[i] = set1(amplitude * kSine[i]);
  }
  // Of four vectors in step: one chain of dependent steps is 80 cycles long.
  ACCEL_FORCE_INLINE void sines(const f32* u, f32* to) const {
    f32 q[4], p[4];
    for_four([&](int i) { q[i] = u[i] * u[i]; });
    for_four([&](int i) { p[i] = fma(c[4], q[i], c[3]); });
    for_four([&](int i) { p[i] = fma(p[i], q[i], c[2]); });
    for_four([&](int i) { p[i] = fma(p[i], q[i], c[1]); });
    for_four([&](int i) { p[i] = fma(p[i], q[i], c[0]); });
    for_four([&](int i) { to[i] = p[i] * u[i]; });
  }
  ACCEL_FORCE_INLINE void operator()(const f32* x, f32* cos, f32* sin) const {
    f32 t[4], u[4];
    for_four([&](int i) { t[i] = x[i] - round_any(x[i]); });
    for_four([&](int i) { u[i] = quarter - magnitude(t[i]); });
    sines(u, cos);
    for_four([&](int i) { u[i] = quarter - magnitude(u[i]); });
    sines(u, sin);
    for_four([&](int i) { sin[i] = signed_as(sin[i], t[i]); });
  }
  template <class F>
  static ACCEL_FORCE_INLINE void for_four(const F& f) {
    ACCEL_UNROLL(4)
    for (int i = 0; i < 4; ++i) f(i);
  }
};

ACCEL_INLINE f32 load_up_to(const float* p, long left) {
  return left >= f32::lanes ? load(p) : left > 0 ? load_n(p, static_cast<int>(left)) : zero();
}
ACCEL_INLINE void store_up_to(float* p, f32 a, long left) {
  if (left >= f32::lanes)
    store(p, a);
  else
    store_n(p, a, static_cast<int>(left));
}

// Of elements `at` and on: what there is of them in the rows.
template <FastfoodFinish::Kind KIND>
struct Finish {
  using Kind = FastfoodFinish::Kind;
  const FastfoodRows& rows;
  const FastfoodBlock& a;
  Waves waves;
  ACCEL_FORCE_INLINE Finish(const FastfoodRows& r, const FastfoodBlock& b) : rows(r), a(b), waves(b.amplitude) {}
  template <int ROWS>
  ACCEL_FORCE_INLINE void put(const f32* v, long at) const {
    const long left = a.out - at;
    const f32 s = load(a.s + at), offset = KIND == Kind::none ? zero() : load(a.offset + at);
    ACCEL_UNROLL(4)
    for (int first = 0; first < ROWS; first += 4) {
      f32 y[4], cos[4], sin[4];
      ACCEL_UNROLL(4)
      for (int i = 0; i < 4; ++i) y[i] = KIND == Kind::none ? v[first + i] * s : fma(v[first + i], s, offset);
      if constexpr (KIND == Kind::waves) {
        waves(y, cos, sin);
        store_rows(first, at, left, cos), store_rows(first, rows.sines + at, left, sin);
      } else {
        store_rows(first, at, left, y);
      }
    }
  }

 private:
  ACCEL_FORCE_INLINE void store_rows(int first, long at, long left, const f32* y) const {
    if (left >= f32::lanes && first + 4 <= rows.rows) {
      ACCEL_UNROLL(4)
      for (int i = 0; i < 4; ++i) store(rows.y[first + i] + at, y[i]);
      return;
    }
    for (int i = 0; i < 4 && first + i < rows.rows; ++i) store_up_to(rows.y[first + i] + at, y[i], left);
  }
};

}  // namespace
}  // namespace accel::ACCEL_ISA
