// SPDX-License-Identifier: BSD-3-Clause
// Whole transforms, products of spectra, and what is done to vectors before and after; see circulant.h.
#include "kernels/activation/activation.inl.h"
// clang-format off
#include ACCEL_ISA_FILE(simd/lanes_)
// clang-format on
#include "kernels/circulant/transform.inl.h"

namespace accel::ACCEL_ISA {
namespace {

constexpr long kFirstCache = 16 * 1024;  // bytes of a part that goes through all of its rounds at once: half of 32 KB

constexpr long kLeaf = 4 * kColumns;  // floats of a chunk of a spectrum of leaves, as a product takes it

struct Part {  // of the vector, after the rounds before `round`
  float *re, *im;
  long row, rows;
  int round;
};

template <Middle MODE>
struct Transform {
  const CirculantTables& t;
  Spectrum spectrum;

  static constexpr bool kThere = MODE != Middle::backward, kBack = MODE == Middle::product || !kThere;

  void turn_round(const Part& p, int round, Direction direction) const {
    const long step = t.length[round + 1] * kColumns;
    const bool last = round + 1 == t.rounds;
    float *re = p.re, *im = p.im;
    if (direction == Direction::backward) std::swap(re, im);
    t.run[round][static_cast<int>(direction)]({re, im, step, re, im, step, p.rows, t.length[round],
                                               t.twiddles[round] + (last ? 2 * kColumns * p.row : 0), nullptr});
  }

  // All that is left to do for a part, round by round.
  ACCEL_FORCE_INLINE void all_rounds(const Part& p) const {
    const int radix = p.round < t.rounds && p.rows % kPoints == 0 ? joined(t.radix[t.rounds - 1]) : 1;
    const int end = t.rounds - (radix > 1 ? 1 : 0);
    if (kThere)
      for (int i = p.round; i < end; ++i) turn_round(p, i, Direction::forward);
    if (p.rows % kPoints != 0) {
      const std::size_t over = static_cast<std::size_t>((kPoints - p.rows % kPoints) * kColumns) * sizeof(float);
      std::memset(p.re + p.rows * kColumns, 0, over), std::memset(p.im + p.rows * kColumns, 0, over);
    }
    const float* const twiddles = t.twiddles[t.rounds - 1] + 2 * kColumns * p.row;
    const CirculantMiddle middle{t.turns,      twiddles, p.re, p.im, p.rows, spectrum.data + p.row * spectrum.step,
                                 spectrum.step};
    if (radix == 8)
      run_middle<MODE, joined(8)>(middle);
    else if (radix == 4)
      run_middle<MODE, joined(4)>(middle);
    else
      run_middle<MODE, 1>(middle);
    if (kBack)
      for (int i = end - 1; i >= p.round; --i) turn_round(p, i, Direction::backward);
  }

  // The same, where a part is large, part by part of it.
  void by_parts(const Part& p) const {
    const long inner = p.round < t.rounds ? t.length[p.round + 1] : 0;
    if (inner < 2 || inner % kPoints != 0 || p.rows * kColumns * 8 <= kFirstCache) return all_rounds(p);
    if (kThere) turn_round(p, p.round, Direction::forward);
    for (long row = 0; row < p.rows; row += inner)
      by_parts({p.re + row * kColumns, p.im + row * kColumns, p.row + row, inner, p.round + 1});
    if (kBack) turn_round(p, p.round, Direction::backward);
  }

  // Where more than four parts of the first round lie a multiple of 4 KB apart in the vectors, it would draw on one
  // cache set, and on two where they are not aligned: the vectors pass by way of the planes, whose parts stand further
  // apart.
  bool apart() const { return t.radix[0] > 4 && t.piece != inner(); }
  long inner() const { return t.length[1] * kColumns; }

  void forward_first(const float* re, const float* im, float* work, float* squares) const {
    const bool copied = apart();
    if (copied) {
      const float first = copy_in(re, work), second = copy_in(im, work + t.plane);
      if (squares) squares[0] = first, squares[1] = second;
      re = work, im = work + t.plane;
    }
    const Direction direction = squares && !copied ? Direction::first : Direction::forward;
    t.run[0][static_cast<int>(direction)](
        {re, im, copied ? t.piece : inner(), work, work + t.plane, t.piece, t.rows, t.rows, t.twiddles[0], squares});
  }
  float copy_in(const float* from, float* to) const {
    const long part = t.length[1] * kColumns;
    f32 squares[2] = {zero(), zero()};
    for (int i = 0; i < t.radix[0]; ++i, from += part, to += t.piece)
      for (long j = 0; j < part; j += 2 * f32::lanes) {
        const f32 a = load(from + j), b = load(from + j + f32::lanes);
        squares[0] = fma(a, a, squares[0]), squares[1] = fma(b, b, squares[1]);
        store(to + j, a), store(to + j + f32::lanes, b);
      }
    return sum_lanes(squares[0] + squares[1]);
  }
  void copy_out(const float* from, float* to) const {
    const long part = t.length[1] * kColumns;
    for (int i = 0; i < t.radix[0]; ++i, from += t.piece, to += part)
      std::memcpy(to, from, static_cast<std::size_t>(part) * sizeof(float));
  }
  void rest(float* work) const {
    float *const re = work, *const im = work + t.plane;
    const long inner = t.length[1];
    const bool small = t.rows * kColumns * 8 <= kFirstCache || inner % kPoints != 0;
    if (small && t.piece == inner * kColumns) return all_rounds({re, im, 0, t.rows, 1});
    for (int i = 0; i < t.radix[0]; ++i) by_parts({re + i * t.piece, im + i * t.piece, i * inner, inner, 1});
  }
  void backward_first(float* to_re, float* to_im, float* work) const {
    float *const re = work, *const im = work + t.plane;
    const bool copied = apart();
    t.run[0][static_cast<int>(Direction::backward)]({im, re, t.piece, copied ? im : to_im, copied ? re : to_re,
                                                     copied ? t.piece : inner(), t.rows, t.rows, t.twiddles[0],
                                                     nullptr});
    if (copied) copy_out(re, to_re), copy_out(im, to_im);
  }
};

// Finite, of squared norms within kCirculantRatio of each other, and large enough for squares to tell.
ACCEL_INLINE bool alike(const float* squares) {
  constexpr float kLeast = 1e-30f;
  const float least = squares[0] < squares[1] ? squares[0] : squares[1];
  return squares[0] + squares[1] <= std::numeric_limits<float>::max() && least >= kLeast &&
         squares[0] + squares[1] <= (kCirculantRatio + 1) * least;
}

// Two rounds of radix 4 in one function: 5 % faster than by the table; with radix 8 calls cost nothing that shows.
bool apply_fours(const CirculantTables& t, const CirculantInput& from, const float* spectrum, float* to_re,
                 float* to_im, float* work) noexcept {
  constexpr long kRows = 16, kStep = 4 * kColumns;
  float *const re = work, *const im = work + t.plane;
  float squares[2];
  round_here<4, false, true, true>({from.re, from.im, kStep, re, im, kStep, kRows, kRows, t.twiddles[0], squares});
  if (from.pair && !alike(squares)) return false;
  run_middle<Middle::product, joined(4)>({t.turns, t.twiddles[1], re, im, kRows, const_cast<float*>(spectrum), kLeaf});
  round_here<4, false, false, false>({im, re, kStep, to_im, to_re, kStep, kRows, kRows, t.twiddles[0], nullptr});
  return true;
}

bool circulant_apply(const CirculantTables& t, const CirculantInput& from, const float* spectrum, float* to_re,
                     float* to_im, float* work) noexcept {
  if (joined(4) == 4 && t.rounds == 2 && t.radix[0] == 4 && t.radix[1] == 4)
    return apply_fours(t, from, spectrum, to_re, to_im, work);
  const Transform<Middle::product> transform{t, {const_cast<float*>(spectrum), kLeaf}};
  float squares[2];
  transform.forward_first(from.re, from.im, work, from.pair ? squares : nullptr);
  if (from.pair && !alike(squares)) return false;
  transform.rest(work);
  transform.backward_first(to_re, to_im, work);
  return true;
}

void circulant_leaves(const CirculantTables& t, const CirculantInput& from, float* to, float* work) noexcept {
  const Transform<Middle::leaves> transform{t, {to, 2 * kColumns}};
  transform.forward_first(from.re, from.im, work, nullptr);
  transform.rest(work);
}

void circulant_forward(const CirculantTables& t, const CirculantInput& from, const Spectrum& to, float* work) noexcept {
  const Transform<Middle::forward> transform{t, to};
  transform.forward_first(from.re, from.im, work, nullptr);
  transform.rest(work);
}

void circulant_backward(const CirculantTables& t, const Spectrum& from, float* to_re, float* to_im,
                        float* work) noexcept {
  const Transform<Middle::backward> transform{t, from};
  transform.rest(work);
  transform.backward_first(to_re, to_im, work);
}

// P rows of w times T vectors, both complex.
template <int P, int T>
ACCEL_INLINE void multiply_rows(const float* w, long w_row, const float* x, float* y, long q) {
  constexpr int kPair = 2 * f32::lanes;
  f32 re[P][T], im[P][T];
  ACCEL_UNROLL(16)
  for (int i = 0; i < P * T; ++i) re[i / T][i % T] = zero(), im[i / T][i % T] = zero();
  for (long j = 0; j < q; ++j, w += kPair, x += T * kPair) {
    f32 wr[P], wi[P];
    ACCEL_UNROLL(4)
    for (int u = 0; u < P; ++u) wr[u] = load(w + u * w_row), wi[u] = load(w + u * w_row + f32::lanes);
    ACCEL_UNROLL(4)
    for (int v = 0; v < T; ++v) {
      const f32 xr = load(x + v * kPair), xi = load(x + v * kPair + f32::lanes);
      ACCEL_UNROLL(4)
      for (int u = 0; u < P; ++u) {
        re[u][v] = fnma(wi[u], xi, fma(wr[u], xr, re[u][v]));
        im[u][v] = fma(wi[u], xr, fma(wr[u], xi, im[u][v]));
      }
    }
  }
  ACCEL_UNROLL(16)
  for (int i = 0; i < P * T; ++i) {
    store(y + i * kPair, re[i / T][i % T]);
    store(y + i * kPair + f32::lanes, im[i / T][i % T]);
  }
}

template <int T>
void circulant_multiply(const SpectralProduct& a) noexcept {
  constexpr int kPair = 2 * f32::lanes, kRows = kRegisters < 32 ? 1 : T > 2 ? 2 : 4;
  const long w_row = a.q * kPair;
  for (long c = 0; c < a.chunks; ++c) {
    const float *w = a.w + c * a.p * w_row, *x = a.x + c * a.x_step;
    float* const y = a.y + c * a.y_step;
    long p = a.first;
    for (; p + kRows <= a.last; p += kRows) multiply_rows<kRows, T>(w + p * w_row, w_row, x, y + p * T * kPair, a.q);
    for (; p < a.last; ++p) multiply_rows<1, T>(w + p * w_row, w_row, x, y + p * T * kPair, a.q);
  }
}

ACCEL_INLINE float squares_of(const float* x, long n) {
  f32 sum[4] = {zero(), zero(), zero(), zero()};
  long i = 0;
  for (; i + 4 * f32::lanes <= n; i += 4 * f32::lanes) {
    ACCEL_UNROLL(4)
    for (int k = 0; k < 4; ++k) {
      const f32 v = load(x + i + k * f32::lanes);
      sum[k] = fma(v, v, sum[k]);
    }
  }
  for (; i < n; i += f32::lanes) {
    const f32 v = load_n(x + i, static_cast<int>(n - i < f32::lanes ? n - i : f32::lanes));
    sum[0] = fma(v, v, sum[0]);
  }
  return sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

bool circulant_alike(const float* x1, const float* x2, long n) noexcept {
  const float squares[] = {squares_of(x1, n), squares_of(x2, n)};
  return alike(squares);
}

void circulant_scale(const float* x, const float* by, float* y, long n) noexcept {
  long i = 0;
  for (; i + f32::lanes <= n; i += f32::lanes) store(y + i, load(x + i) * load(by + i));
  if (i < n) {
    const int rest = static_cast<int>(n - i);
    store_n(y + i, load_n(x + i, rest) * load_n(by + i, rest), rest);
  }
}

void circulant_finish(float* y, const float* bias, long n, const Activation& f) noexcept {
  for (long i = 0; i < n; i += f32::lanes) {
    const int count = static_cast<int>(n - i < f32::lanes ? n - i : f32::lanes);
    f32 v = load_n(y + i, count);
    if (bias) v = v + load_n(bias + i, count);
    store_n(y + i, activate(f, v), count);
  }
}

void circulant_split(const float* x, long m, const float* turns, float* sum, float* re, float* im) noexcept {
  for (long j = 0; j < m; j += f32::lanes) {
    const f32 a = load(x + j), b = load(x + m + j), c = load(x + 2 * m + j), d = load(x + 3 * m + j);
    store(sum + j, a + c), store(sum + m + j, b + d);
    f32 r = a - c, i = b - d;
    turn(r, i, load(turns + j), load(turns + m + j));
    store(re + j, r), store(im + j, i);
  }
}

void circulant_join(const float* sum, const float* re, const float* im, long m, const float* turns, float* y) noexcept {
  for (long j = 0; j < m; j += f32::lanes) {
    const f32 a = load(sum + j), b = load(sum + m + j);
    f32 r = load(re + j), i = load(im + j);
    turn(i, r, load(turns + j), load(turns + m + j));
    store(y + j, a + r), store(y + m + j, b + i), store(y + 2 * m + j, a - r), store(y + 3 * m + j, b - i);
  }
}

constexpr CirculantKernels kCirculantKernels{
    f32::lanes,
    kPoints,
    &circulant_round,
    &circulant_apply,
    &circulant_leaves,
    &circulant_forward,
    &circulant_backward,
    {&circulant_multiply<1>, &circulant_multiply<2>, &circulant_multiply<3>, &circulant_multiply<4>},
    &circulant_alike,
    &circulant_scale,
    &circulant_finish,
    &circulant_split,
    &circulant_join};

}  // namespace
}  // namespace accel::ACCEL_ISA
