// SPDX-License-Identifier: BSD-3-Clause
// The transforms of fft.h: complex transforms of 16 numbers, 4 x 4 (Cooley-Tukey), two real lines at a time as the real
// and imaginary part of one. Without its factors 1/2, which the weights take on: z = a + i b gives
//   2 a_k = z_k + conj z_-k,  2 b_k = (z_k - conj z_-k) / i.
// The spectrum: rows first. Column c of 1 .. 7 is complex; columns 0 and 8 are real before the transform along them and
// go through it as one. Frequency 16 c + k; in column 0 the frequencies 1 .. 7 are those of column 0, 9 .. 15 those of
// column 8, and 0 and 8 hold the two real numbers at k = 0 and k = 8.
#include "kernels/activation/activation.inl.h"

namespace accel::ACCEL_ISA {
namespace {

constexpr int kSide = kFftSide;
// Where number n of a transform's result stands: after 4 x 4 steps in place the digits are exchanged.
constexpr int place(int n) { return 4 * (n % 4) + n / 4; }

// By exp(-2 pi i K / 16).
template <int K>
ACCEL_INLINE void twiddle(f32& re, f32& im) {
  constexpr float kCos[] = {1.f, 0.92387953251f, 0.70710678119f, 0.38268343236f, 0.f, 0.f, -0.70710678119f, 0.f,
                            0.f, -0.92387953251f};
  constexpr float kSin[] = {0.f, 0.38268343236f, 0.70710678119f, 0.92387953251f, 1.f, 0.f, 0.70710678119f, 0.f,
                            0.f, -0.38268343236f};
  if constexpr (K == 4) {
    const f32 old = re;
    re = im;
    im = zero() - old;
  } else if constexpr (K != 0) {
    const f32 c = set1(kCos[K]), s = set1(kSin[K]), old = re;
    re = fma(s, im, c * old);
    im = fma(c, im, zero() - s * old);
  }
}

// Four numbers FIRST, FIRST + STEP, ..; results in their order.
template <int FIRST, int STEP>
ACCEL_INLINE void butterfly(f32* re, f32* im) {
  constexpr int a = FIRST, b = a + STEP, c = b + STEP, d = c + STEP;
  const f32 sr = re[a] + re[c], si = im[a] + im[c], dr = re[a] - re[c], di = im[a] - im[c];
  const f32 tr = re[b] + re[d], ti = im[b] + im[d], er = re[b] - re[d], ei = im[b] - im[d];
  re[a] = sr + tr, im[a] = si + ti;
  re[b] = dr + ei, im[b] = di - er;
  re[c] = sr - tr, im[c] = si - ti;
  re[d] = dr - ei, im[d] = di + er;
}

template <int J>
ACCEL_INLINE void first_step(f32* re, f32* im) {
  butterfly<J, 4>(re, im);
  twiddle<J>(re[J + 4], im[J + 4]);
  twiddle<2 * J>(re[J + 8], im[J + 8]);
  twiddle<3 * J>(re[J + 12], im[J + 12]);
}

// The transform of 16 complex numbers in place, number n of the result at place(n). With re and im exchanged it is the
// inverse, times 16.
ACCEL_INLINE void fft16(f32* re, f32* im) {
  first_step<0>(re, im), first_step<1>(re, im), first_step<2>(re, im), first_step<3>(re, im);
  butterfly<0, 1>(re, im), butterfly<4, 1>(re, im), butterfly<8, 1>(re, im), butterfly<12, 1>(re, im);
}

// The spectra of two real lines, doubled, from that of a + i b; of numbers 1 .. 7.
ACCEL_INLINE void separate(const f32* re, const f32* im, int k, f32* a, f32* b) {
  const int p = place(k), n = place(kSide - k);
  a[0] = re[p] + re[n], a[1] = im[p] - im[n];
  b[0] = im[p] + im[n], b[1] = re[n] - re[p];
}

// And back: numbers k and -k of a + i b.
ACCEL_INLINE void join(const f32* a, const f32* b, int k, f32* re, f32* im) {
  re[k] = a[0] - b[1], im[k] = a[1] + b[0];
  re[kSide - k] = a[0] + b[1], im[kSide - k] = b[0] - a[1];
}

// Half-way: column c as complex numbers [row]; columns 0 and 8 are the two parts of c = 0.
struct Columns {
  f32 re[8][kSide], im[8][kSide];
};

ACCEL_INLINE void rows_forward(const float* x, long row, Columns& half) {
  for (int i = 0; i < kSide; i += 2, x += 2 * row) {
    f32 re[kSide], im[kSide];
    ACCEL_UNROLL(16)
    for (int j = 0; j < kSide; ++j) re[j] = load(x + j * kBlock), im[j] = load(x + row + j * kBlock);
    fft16(re, im);
    half.re[0][i] = re[place(0)], half.im[0][i] = re[place(8)];
    half.re[0][i + 1] = im[place(0)], half.im[0][i + 1] = im[place(8)];
    ACCEL_UNROLL(8)
    for (int k = 1; k < 8; ++k) {
      f32 a[2], b[2];
      separate(re, im, k, a, b);
      half.re[k][i] = a[0], half.im[k][i] = a[1], half.re[k][i + 1] = b[0], half.im[k][i + 1] = b[1];
    }
  }
}

ACCEL_INLINE void store_frequency(const FftInput& t, int lane, int f, f32 re, f32 im, f32& sum) {
  float* v = t.v + f * t.step + lane;
  store(v, re);
  store(v + t.half, im);
  store(v + t.row, im);
  store(v + t.half + t.row, zero() - re);
  sum = sum + (re + im);
}

// Two real numbers: each has a row and a weight of its own.
ACCEL_INLINE void store_pair(const FftInput& t, int lane, int f, f32 first, f32 second, f32& sum) {
  float* v = t.v + f * t.step + lane;
  store(v, first);
  store(v + t.half, zero());
  store(v + t.row, zero());
  store(v + t.half + t.row, second);
  sum = sum + (first + second);
}

ACCEL_INLINE void columns_forward(const Columns& half, const FftInput& t, int lane, f32& sum) {
  for (int c = 0; c < 8; ++c) {
    f32 re[kSide], im[kSide];
    ACCEL_UNROLL(16)
    for (int i = 0; i < kSide; ++i) re[i] = half.re[c][i], im[i] = half.im[c][i];
    fft16(re, im);
    if (c > 0) {
      ACCEL_UNROLL(16)
      for (int k = 0; k < kSide; ++k) store_frequency(t, lane, c * kSide + k, re[place(k)], im[place(k)], sum);
      continue;
    }
    store_pair(t, lane, 0, re[place(0)], im[place(0)], sum);
    store_pair(t, lane, 8, re[place(8)], im[place(8)], sum);
    ACCEL_UNROLL(8)
    for (int k = 1; k < 8; ++k) {
      f32 a[2], b[2];
      separate(re, im, k, a, b);
      store_frequency(t, lane, k, a[0], a[1], sum);
      store_frequency(t, lane, 8 + k, b[0], b[1], sum);
    }
  }
}

// A sum of the whole spectrum tells whether anything in the window is not finite.
bool fft_input(const FftInput& t) noexcept {
  bool finite = true;
  for (int lane = 0; lane < kBlock; lane += f32::lanes) {
    Columns half;
    f32 sum = zero();
    rows_forward(t.x + lane, t.x_row, half);
    columns_forward(half, t, lane, sum);
    finite = finite && !has_nan(sum - sum);
  }
  return finite;
}

ACCEL_INLINE void columns_backward(const FftOutput& o, int lane, Columns& half) {
  for (int c = 0; c < 8; ++c) {
    const float* m = o.m + c * kSide * o.step + lane;
    f32 re[kSide], im[kSide];
    if (c > 0) {
      ACCEL_UNROLL(16)
      for (int k = 0; k < kSide; ++k) re[k] = load(m + k * o.step), im[k] = load(m + k * o.step + o.row);
    } else {
      re[0] = load(m), im[0] = load(m + o.row);
      re[8] = load(m + 8 * o.step), im[8] = load(m + 8 * o.step + o.row);
      ACCEL_UNROLL(8)
      for (int k = 1; k < 8; ++k) {
        const f32 a[2] = {load(m + k * o.step), load(m + k * o.step + o.row)};
        const f32 b[2] = {load(m + (8 + k) * o.step), load(m + (8 + k) * o.step + o.row)};
        join(a, b, k, re, im);
      }
    }
    fft16(im, re);
    ACCEL_UNROLL(16)
    for (int i = 0; i < kSide; ++i) half.re[c][i] = re[place(i)], half.im[c][i] = im[place(i)];
  }
}

ACCEL_INLINE void finish_pixel(const FftOutput& o, int i, int j, int lane, f32 x) {
  x = x + load(o.bias + lane);
  if (o.residual) x = x + load(o.residual + i * o.residual_row + j * kBlock + lane);
  store(o.y + i * o.y_row + j * kBlock + lane, activate(*o.activation, x));
}

void fft_output(const FftOutput& o) noexcept {
  for (int lane = 0; lane < kBlock; lane += f32::lanes) {
    Columns half;
    columns_backward(o, lane, half);
    for (int i = 0; i < o.rows; i += 2) {
      f32 re[kSide], im[kSide];
      re[0] = half.re[0][i], im[0] = half.re[0][i + 1];
      re[8] = half.im[0][i], im[8] = half.im[0][i + 1];
      ACCEL_UNROLL(8)
      for (int k = 1; k < 8; ++k) {
        const f32 a[2] = {half.re[k][i], half.im[k][i]}, b[2] = {half.re[k][i + 1], half.im[k][i + 1]};
        join(a, b, k, re, im);
      }
      fft16(im, re);
      f32 line[2][kSide];
      ACCEL_UNROLL(16)
      for (int j = 0; j < kSide; ++j) line[0][j] = re[place(j)], line[1][j] = im[place(j)];
      for (int r = i; r < o.rows && r < i + 2; ++r)
        for (int j = 0; j < o.columns; ++j) finish_pixel(o, r, j, lane, line[r - i][j]);
    }
  }
}

void fft_finish(const FftOutput& o, int width, const float* tile) noexcept {
  for (int lane = 0; lane < kBlock; lane += f32::lanes)
    for (int i = 0; i < o.rows; ++i)
      for (int j = 0; j < o.columns; ++j) finish_pixel(o, i, j, lane, load(tile + (i * width + j) * kBlock + lane));
}

constexpr FftKernels kKernels{&fft_input, &fft_output, &fft_finish};

}  // namespace
}  // namespace accel::ACCEL_ISA
