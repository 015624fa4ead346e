// SPDX-License-Identifier: BSD-3-Clause
// Rows of a sparse product; csr_product.h says what and why.
namespace accel::ACCEL_ISA {
namespace {

// Values fetched ahead of narrow tiles. Tried: of wide ones, and where x is one row, line by line too: slower.
constexpr long kAhead = 256;

bool csr_inside(const std::int32_t* indices, long count, std::int32_t columns) noexcept {
  std::uint32_t outside = 0;  // no way out of the loop: the compiler makes vectors of it
  for (long p = 0; p < count; ++p)
    outside |= static_cast<std::uint32_t>(indices[p]) >= static_cast<std::uint32_t>(columns);
  return outside == 0;
}

// How a lane of x lies in the tile: whole vectors, or a quarter of one.
struct Whole {
  using Vector = f32;
  static constexpr int kLanes = f32::lanes;
  static ACCEL_FORCE_INLINE f32 read(const float* p) { return load(p); }
  static ACCEL_FORCE_INLINE f32 all(float w) { return set1(w); }
  static ACCEL_FORCE_INLINE f32 none() { return zero(); }
  static ACCEL_FORCE_INLINE void write(float* p, f32 a) { store(p, a); }
};
struct Quarter {
  using Vector = f32_quarter;
  static constexpr int kLanes = 4;
  static ACCEL_FORCE_INLINE f32_quarter read(const float* p) { return load_quarter(p); }
  static ACCEL_FORCE_INLINE f32_quarter all(float w) { return quarter(set1(w)); }
  static ACCEL_FORCE_INLINE f32_quarter none() { return zero_quarter(); }
  static ACCEL_FORCE_INLINE void write(float* p, f32_quarter a) { store_quarter(p, a); }
};

// Tried against mispredicted short rows: the rows of a chunk in the order of their numbers of values, found on the way,
// a half slower where the loop is all that runs and no faster between other work; a remainder without branches as in
// RowSum, half as fast.
template <class Form, int N>
void csr_rows(const CsrRows& s, const float* x, float* sums) noexcept {
  using Vector = typename Form::Vector;
  constexpr int kWidth = N * Form::kLanes;
  for (long r = 0; r < s.rows; ++r, sums += kWidth) {
    Vector sum[4][N];
    ACCEL_UNROLL(16)
    for (int i = 0; i < 4 * N; ++i) sum[i / N][i % N] = Form::none();
    const auto add = [&](Vector* to, long p) __attribute__((always_inline)) {
      const Vector w = Form::all(s.values[p]);
      const float* from = x + static_cast<long>(s.indices[p]) * kWidth;
      ACCEL_UNROLL(4)
      for (int j = 0; j < N; ++j) to[j] = fma(w, Form::read(from + j * Form::kLanes), to[j]);
    };
    long p = s.at[r];
    const long end = s.at[r + 1];
    for (; p + 4 <= end; p += 4) {
      if constexpr (N == 1) prefetch(s.values + p + kAhead), prefetch(s.indices + p + kAhead);
      add(sum[0], p);
      add(sum[1], p + 1);
      add(sum[2], p + 2);
      add(sum[3], p + 3);
    }
    if (p < end) add(sum[0], p);
    if (p + 1 < end) add(sum[1], p + 1);
    if (p + 2 < end) add(sum[2], p + 2);
    ACCEL_UNROLL(4)
    for (int j = 0; j < N; ++j)
      Form::write(sums + j * Form::kLanes, (sum[0][j] + sum[1][j]) + (sum[2][j] + sum[3][j]) + Form::none());
  }
}

// A row of the matrix times one row of x: the lanes are its four accumulators.
struct RowSum {
  const CsrRows& s;
  const float* x;
  long p, end;
  f32_quarter sum = zero_quarter();

  ACCEL_FORCE_INLINE RowSum(const CsrRows& rows, const float* from, long r)
      : s(rows), x(from), p(rows.at[r]), end(rows.at[r + 1]) {}
  ACCEL_FORCE_INLINE long fours() const { return (end - p) / 4; }
  ACCEL_FORCE_INLINE void add_four() {
    const std::int32_t* k = s.indices + p;
    sum = fma(load_quarter(s.values + p), quarter(x[k[0]], x[k[1]], x[k[2]], x[k[3]]), sum);
    p += 4;
  }
  // Lanes beyond the end add +0, by addresses and not by branches: how many there are cannot be predicted. It changes
  // the sign of a zero at most; every form adds a last +0, so that it does not show.
  ACCEL_FORCE_INLINE void add_last() {
    static constexpr float kNone = 0.f;
    const float *w[4], *of[4];
    ACCEL_UNROLL(4)
    for (int i = 0; i < 4; ++i) {
      const bool there = p + i < end;
      const float* const from = x + s.indices[there ? p + i : end - 1];
      w[i] = there ? s.values + p + i : &kNone;
      of[i] = there ? from : &kNone;
    }
    sum = fma(quarter(*w[0], *w[1], *w[2], *w[3]), quarter(*of[0], *of[1], *of[2], *of[3]), sum);
  }
  ACCEL_FORCE_INLINE float finish() {
    for (long i = fours(); i > 0; --i) add_four();
    if (p < end) add_last();
    float four[4];
    store_quarter(four, sum);
    return (four[0] + four[1]) + (four[2] + four[3]) + 0.f;
  }
};

// Two rows of the matrix at a time: the sums of one alone wait for their own additions.
void csr_row(const CsrRows& s, const float* x, float* sums) noexcept {
  long r = 0;
  for (; r + 2 <= s.rows; r += 2) {
    RowSum a(s, x, r), b(s, x, r + 1);
    for (long i = a.fours() < b.fours() ? a.fours() : b.fours(); i > 0; --i) a.add_four(), b.add_four();
    sums[r] = a.finish();
    sums[r + 1] = b.finish();
  }
  if (r < s.rows) sums[r] = RowSum(s, x, r).finish();
}

constexpr CsrKernels kCsrKernels = {
    f32::lanes,
    kRegisters < 32 ? 3 : 4,
    &csr_inside,
    {&csr_row, &csr_rows<Whole, 1>, &csr_rows<Whole, 2>, &csr_rows<Whole, 3>,
     kRegisters < 32 ? nullptr : &csr_rows<Whole, 4>},
    &csr_rows<Quarter, 1>,
};

}  // namespace
}  // namespace accel::ACCEL_ISA
