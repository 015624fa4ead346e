// SPDX-License-Identifier: BSD-3-Clause
// Transforms of one complex vector; circulant.h says how they fit together.
//
// Tried, no gain or worse (n = 1024, AVX-512): a stage between the halves of vectors, joined from half loads; twiddles
// as vectors instead of broadcast numbers; the first butterflies of blocks, whose twiddles are 1, apart; all of a
// butterfly's loads before its sums (the woven order below keeps adders and multipliers busy).
namespace accel::ACCEL_ISA {
namespace {

constexpr int kColumns = f32::lanes, kPoints = kColumns / 2;  // a row is kPoints pairs of numbers

// (re, im) *= w
ACCEL_INLINE void turn(f32& re, f32& im, f32 w_re, f32 w_im) {
  const f32 t = im * w_im, u = im * w_re;
  im = fma(re, w_im, u);
  re = fms(re, w_re, t);
}

ACCEL_INLINE void dft4(f32* re, f32* im) {
  const f32 ar = re[0] + re[2], ai = im[0] + im[2], br = re[0] - re[2], bi = im[0] - im[2];
  const f32 cr = re[1] + re[3], ci = im[1] + im[3], dr = re[1] - re[3], di = im[1] - im[3];
  re[0] = ar + cr, im[0] = ai + ci, re[2] = ar - cr, im[2] = ai - ci;
  re[1] = br + di, im[1] = bi - dr, re[3] = br - di, im[3] = bi + dr;
}

// get(k, re, im) brings input k with all that comes before it, put(j, re, im) takes output j. Pairs (k, k + 4) pass the
// first stage one by one, then come the even outputs and then the odd ones.
template <class Get, class Put>
ACCEL_INLINE void dft8(const Get& get, const Put& put) {
  const f32 s = set1(0.70710678118654752f);
  f32 ar[4], ai[4], br[4], bi[4];
  ACCEL_UNROLL(4)
  for (int k = 0; k < 4; ++k) {
    f32 r, i, u, v;
    get(k, r, i), get(k + 4, u, v);
    ar[k] = r + u, ai[k] = i + v, br[k] = r - u, bi[k] = i - v;
  }
  dft4(ar, ai);
  ACCEL_UNROLL(4)
  for (int k = 0; k < 4; ++k) put(2 * k, ar[k], ai[k]);
  const f32 pr = br[1] + bi[1], pi = bi[1] - br[1];  // b1 (1 - i)
  const f32 qr = bi[3] - br[3], qi = br[3] + bi[3];  // b3 (-1 - i), its imaginary part negated
  const f32 cr = br[0] + bi[2], ci = bi[0] - br[2], er = br[0] - bi[2], ei = bi[0] + br[2];
  const f32 dr = pr + qr, di = pi - qi, fr = pr - qr, fi = pi + qi;
  put(1, fma(dr, s, cr), fma(di, s, ci)), put(5, fnma(dr, s, cr), fnma(di, s, ci));
  put(3, fma(fi, s, er), fnma(fr, s, ei)), put(7, fnma(fi, s, er), fma(fr, s, ei));
}

// An odd number of points from its definition, by sums and differences of inputs k and R - k.
template <int R>
struct OddRoots;
template <>
struct OddRoots<1> {
  static constexpr float kCos[] = {1.f}, kSin[] = {0.f};
};
template <>
struct OddRoots<3> {
  static constexpr float kCos[] = {1.f, -0.5f, -0.5f}, kSin[] = {0.f, 0.866025403784438647f, -0.866025403784438647f};
};
template <>
struct OddRoots<5> {
  static constexpr float kCos[] = {1.f, 0.309016994374947424f, -0.809016994374947424f, -0.809016994374947424f,
                                   0.309016994374947424f};
  static constexpr float kSin[] = {0.f, 0.951056516295153572f, 0.587785252292473129f, -0.587785252292473129f,
                                   -0.951056516295153572f};
};
template <>
struct OddRoots<7> {
  static constexpr float kCos[] = {1.f,
                                   0.623489801858733530f,
                                   -0.222520933956314405f,
                                   -0.900968867902419126f,
                                   -0.900968867902419126f,
                                   -0.222520933956314405f,
                                   0.623489801858733530f};
  static constexpr float kSin[] = {0.f,
                                   0.781831482468029809f,
                                   0.974927912181823607f,
                                   0.433883739117558120f,
                                   -0.433883739117558120f,
                                   -0.974927912181823607f,
                                   -0.781831482468029809f};
};

template <int R, class Get, class Put>
ACCEL_INLINE void dft_odd(const Get& get, const Put& put) {
  constexpr int kPairs = R / 2;
  f32 re, im, sr[kPairs + 1], si[kPairs + 1], dr[kPairs + 1], di[kPairs + 1];
  get(0, re, im);
  f32 total_re = re, total_im = im;
  ACCEL_UNROLL(4)
  for (int k = 1; k <= kPairs; ++k) {
    f32 r, i, u, v;
    get(k, r, i), get(R - k, u, v);
    sr[k] = r + u, si[k] = i + v, dr[k] = r - u, di[k] = i - v;
    total_re = total_re + sr[k], total_im = total_im + si[k];
  }
  put(0, total_re, total_im);
  ACCEL_UNROLL(4)
  for (int j = 1; j <= kPairs; ++j) {
    f32 ar = re, ai = im, br = set1(0.f), bi = br;
    ACCEL_UNROLL(4)
    for (int k = 1; k <= kPairs; ++k) {
      const f32 c = set1(OddRoots<R>::kCos[j * k % R]), s = set1(OddRoots<R>::kSin[j * k % R]);
      ar = fma(c, sr[k], ar), ai = fma(c, si[k], ai), br = fma(s, dr[k], br), bi = fma(s, di[k], bi);
    }
    put(j, ar + bi, ai - br), put(R - j, ar - bi, ai + br);
  }
}

template <int R, class Get, class Put>
ACCEL_INLINE void dft(const Get& get, const Put& put) {
  if constexpr (R == 8) {
    dft8(get, put);
  } else if constexpr (R == 4) {
    f32 re[4], im[4];
    ACCEL_UNROLL(4)
    for (int k = 0; k < 4; ++k) get(k, re[k], im[k]);
    dft4(re, im);
    ACCEL_UNROLL(4)
    for (int k = 0; k < 4; ++k) put(k, re[k], im[k]);
  } else if constexpr (R == 2) {
    f32 r, i, u, v;
    get(0, r, i), get(1, u, v);
    put(0, r + u, i + v), put(1, r - u, i - v);
  } else {
    dft_odd<R>(get, put);
  }
}

// The rows of a butterfly, in reach of two pointers: with more, integer registers spill.
template <class F>
struct Lines {
  F *near, *far;
  long one, three;  // bytes from row to row
  ACCEL_FORCE_INLINE Lines(F* p, long step) : near(p), far(p + 4 * step), one(step * 4), three(step * 12) {}
  ACCEL_FORCE_INLINE F* at(int j) const {
    using Bytes = std::conditional_t<std::is_const_v<F>, const char, char>;
    const long there[] = {0, one, 2 * one, three};
    return reinterpret_cast<F*>(reinterpret_cast<Bytes*>(j < 4 ? near : far) + there[j % 4]);
  }
  ACCEL_FORCE_INLINE void advance(long floats) {
    near += floats, far += floats;
    ACCEL_OPAQUE(near);
    ACCEL_OPAQUE(far);
  }
};

// Forward: transform, then twiddles; backward: twiddles, then transform. In the last round, where a block is one
// butterfly of rows side by side, they differ from column to column. FIRST adds up the squares of its input.
template <int R, bool LAST, bool FORWARD, bool FIRST>
ACCEL_INLINE void round_here(const CirculantRound& a) {
  const long step = LAST ? kColumns : a.step, to_step = LAST ? kColumns : a.to_step;
  Lines<const float> re(a.re, step), im(a.im, step);
  Lines<float> to_re(a.to_re, to_step), to_im(a.to_im, to_step);
  // In registers: stores of vectors may alias anything.
  const long places = LAST ? 1 : a.length / R, over = a.length * kColumns - places * kColumns;
  const float *t = a.twiddles, *const first = t;
  f32 squares_re[2] = {zero(), zero()}, squares_im[2] = {zero(), zero()};
  for (long block = a.rows / a.length; block > 0; --block) {
    for (long place = 0; place < places; ++place, t += LAST ? 2 * kColumns * R : 2 * R) {
      const auto twiddle = [&](int j, f32& r, f32& i) __attribute__((always_inline)) {
        if constexpr (LAST)
          turn(r, i, load(t + 2 * kColumns * j), load(t + 2 * kColumns * j + kColumns));
        else if (j > 0)
          turn(r, i, set1(t[2 * j]), set1(t[2 * j + 1]));
      };
      dft<R>(
          [&](int j, f32& r, f32& i) __attribute__((always_inline)) {
            r = load(re.at(j)), i = load(im.at(j));
            if (FIRST)
              squares_re[j % 2] = fma(r, r, squares_re[j % 2]), squares_im[j % 2] = fma(i, i, squares_im[j % 2]);
            if (!FORWARD) twiddle(j, r, i);
          },
          [&](int j, f32 r, f32 i) __attribute__((always_inline)) {
            if (FORWARD) twiddle(j, r, i);
            store(to_re.at(j), r), store(to_im.at(j), i);
          });
      re.advance(f32::lanes), im.advance(f32::lanes), to_re.advance(f32::lanes), to_im.advance(f32::lanes);
    }
    re.advance(over), im.advance(over), to_re.advance(over), to_im.advance(over);
    if (!LAST) t = first;
  }
  if constexpr (FIRST) {
    a.squares[0] = sum_lanes(squares_re[0] + squares_re[1]);
    a.squares[1] = sum_lanes(squares_im[0] + squares_im[1]);
  }
}

template <int R, bool LAST, bool FORWARD, bool FIRST>
void run_round(const CirculantRound& a) noexcept {
  round_here<R, LAST, FORWARD, FIRST>(a);
}

using Direction = CirculantRound::Direction;

template <int R>
CirculantRoundFn round_of(bool last, Direction direction) {
  if (direction == Direction::first) return last ? &run_round<R, true, true, true> : &run_round<R, false, true, true>;
  if (direction == Direction::forward)
    return last ? &run_round<R, true, true, false> : &run_round<R, false, true, false>;
  return last ? &run_round<R, true, false, false> : &run_round<R, false, false, false>;
}

CirculantRoundFn circulant_round(int radix, bool last, Direction direction) noexcept {
  switch (radix) {
    case 8:
      return round_of<8>(last, direction);
    case 7:
      return round_of<7>(last, direction);
    case 5:
      return round_of<5>(last, direction);
    case 4:
      return round_of<4>(last, direction);
    case 3:
      return round_of<3>(last, direction);
    case 2:
      return round_of<2>(last, direction);
    default:
      return round_of<1>(last, direction);
  }
}

enum class Middle { product, leaves, forward, backward };

struct CirculantMiddle {
  const float *turns, *twiddles;  // of the last round
  float *re, *im;
  long rows;
  float* w;
  long step;
};

// a0 + a1 z in the even and odd lanes, times b0 + b1 z modulo z^2 - w; b: [b0, b0], and [w b1, b1], re and im each.
ACCEL_INLINE void multiply_leaves(f32& r, f32& i, const float* b) {
  const f32 u = exchange<1>(r), v = exchange<1>(i);
  const f32 b0r = load(b), b0i = load(b + kColumns), b1r = load(b + 2 * kColumns), b1i = load(b + 3 * kColumns);
  const f32 p = fms(u, b1r, v * b1i), q = fma(u, b1i, v * b1r);
  const f32 x = fma(r, b0r, p), y = fma(r, b0i, q);
  r = fnma(i, b0i, x), i = fma(i, b0r, y);
}

// The last stage: sums and differences of neighbouring lanes, the odd ones turned before.
ACCEL_INLINE void part_leaves(f32& r, f32& i, const float* turns, f32 signs) {
  turn(r, i, load(turns), load(turns + kColumns));
  r = add_signed(r, signs, exchange<1>(r)), i = add_signed(i, signs, exchange<1>(i));
}
ACCEL_INLINE void join_leaves(f32& r, f32& i, const float* turns, f32 signs) {
  r = add_signed(r, signs, exchange<1>(r)), i = add_signed(i, signs, exchange<1>(i));
  turn(i, r, load(turns), load(turns + kColumns));
}

// The radix of a last round that the middle does on its way, or 1.
constexpr int joined(int radix) { return radix >= 4 && kPoints % radix == 0 ? radix : 1; }

// The last round, radix R, of kPoints rows from `from` to `to`, both taking (row, re, im): in registers between here
// and what is beside it. R = 1: none, and no twiddles.
template <int R, bool FORWARD, class Get, class Put>
ACCEL_INLINE void last_round(const float* twiddles, const Get& from, const Put& to) {
  ACCEL_UNROLL(8)
  for (int row = 0; row < kPoints; row += R) {
    const auto twiddle = [&](int j, f32& r, f32& i) __attribute__((always_inline)) {
      const float* const t = twiddles + 2 * kColumns * (row + j);
      if constexpr (R > 1) turn(r, i, load(t), load(t + kColumns));
    };
    dft<R>(
        [&](int j, f32& r, f32& i) __attribute__((always_inline)) {
          from(row + j, r, i);
          if (!FORWARD) twiddle(j, r, i);
        },
        [&](int j, f32 r, f32 i) __attribute__((always_inline)) {
          if (FORWARD) twiddle(j, r, i);
          to(row + j, r, i);
        });
  }
}

// kPoints points along the pairs of numbers of kPoints rows, between transposes, and the last round, radix R; w: their
// part of the spectrum, `step` from chunk to chunk. A product ends there, at polynomials of two numbers; spectra to be
// kept are parted once more.
template <Middle MODE, int R>
void run_middle(const CirculantMiddle& a) noexcept {
  constexpr int kLeaf = 2 * kColumns;
  const f32 signs = load(a.turns + kPoints * kLeaf);
  float *re = a.re, *im = a.im, *w = a.w;
  const float* twiddles = a.twiddles;
  for (long row = 0; row < a.rows; row += kPoints, re += kPoints * kColumns, im += kPoints * kColumns) {
    f32 r[kPoints], i[kPoints], pr[kPoints], pi[kPoints];
    if constexpr (MODE == Middle::backward) {
      ACCEL_UNROLL(8)
      for (int k = 0; k < kPoints; ++k, w += a.step) {
        pr[k] = load(w), pi[k] = load(w + kColumns);
        join_leaves(pr[k], pi[k], a.turns + k * kLeaf, signs);
      }
    } else {
      last_round<R, true>(
          twiddles,
          [&](int k, f32& u, f32& v)
              __attribute__((always_inline)) { u = load(re + k * kColumns), v = load(im + k * kColumns); },
          [&](int k, f32 u, f32 v) __attribute__((always_inline)) { r[k] = u, i[k] = v; });
      transpose_pairs(r), transpose_pairs(i);
      dft<kPoints>([&](int k, f32& u, f32& v) __attribute__((always_inline)) { u = r[k], v = i[k]; },
                   [&](int k, f32 u, f32 v) __attribute__((always_inline)) {
                     float* const at = w + k * a.step;
                     if constexpr (MODE == Middle::product) {
                       multiply_leaves(u, v, at);
                       pr[k] = u, pi[k] = v;
                     } else {
                       if constexpr (MODE == Middle::forward) part_leaves(u, v, a.turns + k * kLeaf, signs);
                       store(at, u), store(at + kColumns, v);
                     }
                   });
      w += kPoints * a.step;
    }
    if constexpr (MODE == Middle::product || MODE == Middle::backward) {
      dft<kPoints>([&](int k, f32& u, f32& v) __attribute__((always_inline)) { u = pi[k], v = pr[k]; },
                   [&](int k, f32 u, f32 v) __attribute__((always_inline)) { i[k] = u, r[k] = v; });
      transpose_pairs(r), transpose_pairs(i);
      last_round<R, false>(
          twiddles, [&](int k, f32& u, f32& v) __attribute__((always_inline)) { u = i[k], v = r[k]; },
          [&](int k, f32 u, f32 v)
              __attribute__((always_inline)) { store(im + k * kColumns, u), store(re + k * kColumns, v); });
    }
    twiddles += R > 1 ? kPoints * kLeaf : 0;
  }
}

}  // namespace
}  // namespace accel::ACCEL_ISA
