// SPDX-License-Identifier: BSD-3-Clause
// The kernels of codebook.h. From 4-bit codes a vector of weights takes a shift, a permutation and the FMA: on Zen 4
// 1.6 cycles where the pipes allow 1.44. Tried there: shifts as loads from one byte further on; FMAs one column behind;
// 6 and 8 panels to a column: no gain. 16 bfloat16 values looked up as words, two columns at once, and spread by shift
// and mask: 1.66.
#include "kernels/activation/activation.inl.h"
// clang-format off
#include ACCEL_ISA_FILE(simd/window_)
// clang-format on

namespace accel::ACCEL_ISA {
namespace {

constexpr int kPanels = kCodebookRows / 16;
constexpr int kParts = 16 / f32::lanes;  // vectors of a panel

// A vector of every panel, in one column of eight.
template <int C>
ACCEL_INLINE void nibble_column(const Book16& book, const Dwords* codes, f32* w) {
  ACCEL_UNROLL(4)
  for (int p = 0; p < kPanels; ++p) w[p] = look_up_nibble<C / 2 + C % 2 * 4>(book, codes[p]);
}

// f(column, its weights) for `count` columns, at most 8, of part `part`.
template <int C = 0, class F>
ACCEL_INLINE void each_nibble(const Book16& book, const Dwords* codes, long count, const F& f) {
  if constexpr (C < 8) {
    if (C >= count) return;
    f32 w[kPanels];
    nibble_column<C>(book, codes, w);
    f(C, w);
    each_nibble<C + 1>(book, codes, count, f);
  }
}

// f(column, its weights: a vector of every panel) for columns begin .. end - 1 of part `part`; f is inlined.
template <class F>
ACCEL_INLINE void each_column(const Book16& book, const std::uint8_t* codes, int part, long begin, long end,
                              const F& f) {
  codes += begin * (kCodebookRows / 2) + part * f32::lanes * 4;
  for (long k = begin; k < end; k += 8, codes += kCodebookRows * 4) {
    Dwords q[kPanels];
    ACCEL_UNROLL(4)
    for (int p = 0; p < kPanels; ++p) {
      q[p] = load_dwords(codes + p * 64);
      prefetch(codes + p * 64 + 4096);
    }
    const auto at = [&](int c, const f32* w) __attribute__((always_inline)) { f(k + c, w); };
    if (end - k >= 8)
      each_nibble(book, q, 8, at);
    else
      each_nibble(book, q, end - k, at);
  }
}
template <class Book, class F>
ACCEL_INLINE void each_column(const Book& book, const std::uint8_t* codes, int part, long begin, long end, const F& f) {
  codes += begin * kCodebookRows + part * kPanels * f32::lanes;
  for (long k = begin; k < end; ++k, codes += kCodebookRows) {
    f32 w[kPanels];
    prefetch(codes + 8192);
    look_up_four(book, codes, w);
    f(k, w);
  }
}

template <class Book>
ACCEL_INLINE Book book_of(const CodebookTable& t) {
  if constexpr (std::is_same_v<Book, Book16>)
    return Book(t.floats);
  else
    return Book(t.floats, t.planes[0]);
}

template <class Book, int ROWS>
void few(const CodebookTile& t) noexcept {
  const Book book = book_of<Book>(*t.book);
  for (int part = 0; part < kParts; ++part) {
    float* sums = t.sums + part * f32::lanes;
    f32 sum[ROWS][kPanels];
    ACCEL_UNROLL(4)
    for (int r = 0; r < ROWS; ++r) ACCEL_UNROLL(4)
    for (int p = 0; p < kPanels; ++p) sum[r][p] = load(sums + r * kCodebookRows + p * 16);
    each_column(book, t.codes, part, 0, t.depth, [&](long k, const f32* w) __attribute__((always_inline)) {
      ACCEL_UNROLL(4)
      for (int r = 0; r < ROWS; ++r) {
        const f32 x = spread_from(t.x + r * t.x_row + k);
        ACCEL_UNROLL(4)
        for (int p = 0; p < kPanels; ++p) sum[r][p] = fma(x, w[p], sum[r][p]);
      }
    });
    ACCEL_UNROLL(4)
    for (int r = 0; r < ROWS; ++r) ACCEL_UNROLL(4)
    for (int p = 0; p < kPanels; ++p) store(sums + r * kCodebookRows + p * 16, sum[r][p]);
  }
}

template <class Book>
void unfold(const CodebookTile& t, long begin, long end, float* to) noexcept {
  const Book book = book_of<Book>(*t.book);
  for (int part = 0; part < kParts; ++part, to += f32::lanes)
    each_column(book, t.codes, part, begin, end, [&](long k, const f32* w) __attribute__((always_inline)) {
      ACCEL_UNROLL(4)
      for (int p = 0; p < kPanels; ++p) store(to + (k - begin) * kCodebookRows + p * 16, w[p]);
    });
}

// Sums, a row of weights and one element of x must fit the registers.
constexpr int kWide = f32::lanes == 16 ? 4 : 2;
template <int ROWS>
void multiply(const float* w, long columns, const float* x, long x_row, float* sums) noexcept {
  for (int v = 0; v < kCodebookRows; v += kWide * f32::lanes) {
    f32 sum[ROWS][kWide];
    ACCEL_UNROLL(5)
    for (int r = 0; r < ROWS; ++r) ACCEL_UNROLL(4)
    for (int i = 0; i < kWide; ++i) sum[r][i] = load(sums + r * kCodebookRows + v + i * f32::lanes);
    for (long k = 0; k < columns; ++k) {
      f32 b[kWide];
      ACCEL_UNROLL(4)
      for (int i = 0; i < kWide; ++i) b[i] = load(w + k * kCodebookRows + v + i * f32::lanes);
      ACCEL_UNROLL(5)
      for (int r = 0; r < ROWS; ++r) {
        const f32 a = spread_from(x + r * x_row + k);
        ACCEL_UNROLL(4)
        for (int i = 0; i < kWide; ++i) sum[r][i] = fma(a, b[i], sum[r][i]);
      }
    }
    ACCEL_UNROLL(5)
    for (int r = 0; r < ROWS; ++r) ACCEL_UNROLL(4)
    for (int i = 0; i < kWide; ++i) store(sums + r * kCodebookRows + v + i * f32::lanes, sum[r][i]);
  }
}

void finish(const Activation& f, const float* sums, float* y, int n) noexcept {
  with_activation(f, [&](const auto& g) __attribute__((always_inline)) {
    int i = 0;
    for (; i + f32::lanes <= n; i += f32::lanes) store(y + i, g(load(sums + i)));
    if (i < n) store_n(y + i, g(load(sums + i)), n - i);
  });
}

constexpr bool kHoldsBook = f32::lanes == 16;  // of 256 values, in registers
using B16 = Book16;
using B64 = ByteBook<64, false>;
using B128 = ByteBook<128, false>;
using B256 = ByteBook<256, false>;
using H64 = ByteBook<64, true>;
using H128 = ByteBook<128, true>;
using H256 = ByteBook<256, true>;
#define ACCEL_CODEBOOK_FEW(B) {&few<B, 1>, &few<B, 2>, &few<B, 3>, &few<B, 4>}
}  // namespace

extern const CodebookKernels kCodebookKernels;
constexpr CodebookKernels kCodebookKernels = {
    {kHoldsBook ? 1 << 20 : 2, 2},
    {ACCEL_CODEBOOK_FEW(B16), ACCEL_CODEBOOK_FEW(B64), ACCEL_CODEBOOK_FEW(B128), ACCEL_CODEBOOK_FEW(B256),
     ACCEL_CODEBOOK_FEW(H64), ACCEL_CODEBOOK_FEW(H128), ACCEL_CODEBOOK_FEW(H256)},
    {&unfold<B16>, &unfold<B64>, &unfold<B128>, &unfold<B256>, &unfold<H64>, &unfold<H128>, &unfold<H256>},
    {&multiply<1>, &multiply<2>, &multiply<3>, &multiply<4>, &multiply<5>},
    &finish};
#undef ACCEL_CODEBOOK_FEW

}  // namespace accel::ACCEL_ISA
