// SPDX-License-Identifier: BSD-3-Clause
// Stages of the Walsh-Hadamard transform on vectors in registers, after simd/lanes_<isa>.h.
namespace accel::ACCEL_ISA {
namespace {

template <class T>
struct VectorFor;
template <>
struct VectorFor<float> {
  using V = f32;
};
template <>
struct VectorFor<double> {
  using V = f64;
};
template <>
struct VectorFor<std::int32_t> {
  using V = i32;
};
template <class T>
using VectorOf = typename VectorFor<T>::V;

constexpr int log2_of(int n) { return n == 1 ? 0 : 1 + log2_of(n / 2); }
constexpr int kFwhtBits = kRegisters >= 32 ? 4 : 3;  // 16 or 8 vectors in registers, and room for what is added

template <class T>
ACCEL_INLINE VectorOf<T> splat(T x) {
  T t[VectorOf<T>::lanes];
  for (T& lane : t) lane = x;
  return load(t);
}

// The signs of add_signed for lane distance 2^k. Hidden, or the compiler reads them from memory at every use.
template <class T>
struct Signs {
  using V = VectorOf<T>;
  V at[4];
  ACCEL_FORCE_INLINE Signs() {
    constexpr T kPlus = std::is_integral_v<T> ? 0 : 1, kMinus = -1;
    for (int k = 0; k < log2_of(V::lanes); ++k) {
      T t[V::lanes];
      for (int i = 0; i < V::lanes; ++i) t[i] = i >> k & 1 ? kMinus : kPlus;
      at[k] = load(t);
      hide(at[k]);
    }
  }
  ACCEL_FORCE_INLINE V one() const {
    V a = splat(T(1));
    hide(a);
    return a;
  }
};

// Between vectors i and i + HALF.
template <int ROWS, int HALF, bool BUSY, class V>
ACCEL_INLINE void stage(V* v, V one) {
  ACCEL_UNROLL(16)
  for (int i = 0; i < ROWS; ++i) {
    if (i & HALF) continue;
    const V a = v[i], b = v[i + HALF];
    v[i] = a + b;
    v[i + HALF] = BUSY ? a - b : minus(a, b, one);
  }
}

// Between lanes at distance 2^K.
template <int ROWS, int K, class T, class V>
ACCEL_INLINE void lane_stage(V* v, const Signs<T>& signs) {
  ACCEL_UNROLL(16)
  for (int i = 0; i < ROWS; ++i) v[i] = add_signed(v[i], signs.at[K], exchange<1 << K>(v[i]));
}

// The two kinds in turn: together they keep all pipes busy.
template <int BITS, int LANES, class T, class V>
ACCEL_INLINE void butterflies(V* v, const Signs<T>& signs, V one) {
  constexpr int kRows = 1 << BITS;
  if constexpr (LANES & 8) lane_stage<kRows, 3>(v, signs);
  if constexpr (BITS > 0) stage<kRows, 1, (LANES & 8) != 0>(v, one);
  if constexpr (LANES & 4) lane_stage<kRows, 2>(v, signs);
  if constexpr (BITS > 1) stage<kRows, 2, (LANES & 4) != 0>(v, one);
  if constexpr (LANES & 2) lane_stage<kRows, 1>(v, signs);
  if constexpr (BITS > 2) stage<kRows, 4, (LANES & 2) != 0>(v, one);
  if constexpr (LANES & 1) lane_stage<kRows, 0>(v, signs);
  if constexpr (BITS > 3) stage<kRows, 8, (LANES & 1) != 0>(v, one);
}

}  // namespace
}  // namespace accel::ACCEL_ISA
