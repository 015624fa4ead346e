// SPDX-License-Identifier: BSD-3-Clause
// Tiles of a sparse product; spmm.h says what and why.
#include "kernels/planes/pairs.inl.h"

namespace accel::ACCEL_ISA {
namespace {

// How each kind lies in memory: four or eight values from p on, and the bytes that n values of a row take.
template <class Values>
struct ByFour {
  ACCEL_FORCE_INLINE void eight(const std::uint8_t* p, f32* two) const {
    const auto& values = static_cast<const Values&>(*this);
    two[0] = values.four(p), two[1] = values.four(p + Values::bytes(4));
  }
};
struct ValuesF32 {
  explicit ACCEL_FORCE_INLINE ValuesF32(const float*) {}
  static constexpr int bytes(int n) { return 4 * n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(reinterpret_cast<const float*>(p)); }
  ACCEL_FORCE_INLINE void eight(const std::uint8_t* p, f32* two) const {
    two_quads(reinterpret_cast<const float*>(p), two);
  }
};
struct ValuesBf16 : ByFour<ValuesBf16> {
  explicit ACCEL_FORCE_INLINE ValuesBf16(const float*) {}
  static constexpr int bytes(int n) { return 2 * n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(reinterpret_cast<const std::uint16_t*>(p)); }
};
struct ValuesI8 : ByFour<ValuesI8> {
  explicit ACCEL_FORCE_INLINE ValuesI8(const float*) {}
  static constexpr int bytes(int n) { return n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(reinterpret_cast<const std::int8_t*>(p)); }
};
struct ValuesCode16 : ByFour<ValuesCode16> {
  QuadBook book;
  explicit ACCEL_FORCE_INLINE ValuesCode16(const float* b) : book(b) {}
  static constexpr int bytes(int n) { return (n + 3) / 4 * 2; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(book, p); }
};
struct ValuesCode256 : ByFour<ValuesCode256> {
  const float* book;
  explicit ACCEL_FORCE_INLINE ValuesCode256(const float* b) : book(b) {}
  static constexpr int bytes(int n) { return n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const {
    return quad(book[p[0]], book[p[1]], book[p[2]], book[p[3]]);
  }
};

// N vectors of sums of one row become results. What they share is read once: the compiler cannot know that y, once
// written, leaves it alone.
template <int N>
ACCEL_FORCE_INLINE void add_bias(const SpmmPiece& p, long row, f32* v) {
  const f32 bias = set1(p.bias[row]);
  if (p.scale) {
    const f32 scale = set1(p.scale[row]);
    ACCEL_UNROLL(4)
    for (int j = 0; j < N; ++j) v[j] = fma(v[j], scale, bias);
  } else {
    ACCEL_UNROLL(4)
    for (int j = 0; j < N; ++j) v[j] = v[j] + bias;
  }
}
// The positions of eight values. A load of any width takes half of what one of a vector of 64 bytes takes, so bytes are
// read at once. Where a vector is four floats they are read one by one, and values by four: registers are few. Those of
// two bytes, of strips, are read one by one too.
template <class Offset>
struct Offsets {
  static constexpr bool kAtOnce = sizeof(Offset) == 1 && f32::lanes > 4;
  const Offset* from;
  std::uint64_t all = 0;
  explicit ACCEL_FORCE_INLINE Offsets(const Offset* p) : from(p) {
    if constexpr (kAtOnce) std::memcpy(&all, p, sizeof all);
  }
  template <int I>
  ACCEL_FORCE_INLINE long at() const {
    return kAtOnce ? static_cast<long>(all >> 8 * I & 255) : from[I];
  }
  ACCEL_FORCE_INLINE Offsets upper() const {
    Offsets four = *this;
    four.from += 4, four.all >>= 32;
    return four;
  }
};

// The sums of one row: even and odd values of a block apart, so that a product need not wait for the one before.
// As a tail, four more columns after the vectors.
template <int NZ, SpmmForm FORM>
struct RowSums {
  static constexpr bool TAIL = FORM == SpmmForm::tail;
  static constexpr int kWidth = NZ * f32::lanes;
  static constexpr int kStep = FORM == SpmmForm::strip ? f32::lanes : kWidth;  // floats of an offset
  static constexpr int kLine = FORM == SpmmForm::strip ? f32::lanes : 16;      // of y, fetched at once
  using Offset = std::conditional_t<FORM == SpmmForm::strip, std::uint16_t, std::uint8_t>;
  f32 even[NZ], odd[NZ];
  f32_quarter even_tail, odd_tail;

  ACCEL_FORCE_INLINE void begin(const float* sum, bool first) {
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) {
      even[j] = first ? zero() : load(sum + j * f32::lanes);
      odd[j] = zero();
    }
    if constexpr (TAIL) even_tail = first ? zero_quarter() : load_quarter(sum + kWidth), odd_tail = zero_quarter();
  }
  template <int I>
  ACCEL_FORCE_INLINE void add(f32 values, const float* x, const float* tails, Offsets<Offset> offsets) {
    const f32 w = spread<I>(values);
    const long k = offsets.template at<I>();
    const float* row = x + k * kStep;
    f32* to = I % 2 ? odd : even;
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) to[j] = fma(w, load(row + j * f32::lanes), to[j]);
    if constexpr (TAIL) {
      f32_quarter& tail = I % 2 ? odd_tail : even_tail;
      tail = fma(quarter(w), load_quarter(tails + k * 4), tail);
    }
  }
  ACCEL_FORCE_INLINE void add_four(f32 values, const float* x, const float* tails, Offsets<Offset> offsets) {
    add<0>(values, x, tails, offsets);
    add<1>(values, x, tails, offsets);
    add<2>(values, x, tails, offsets);
    add<3>(values, x, tails, offsets);
  }
  ACCEL_FORCE_INLINE void store_to(float* sum) const {
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) store(sum + j * f32::lanes, even[j] + odd[j]);
    if constexpr (TAIL) store_quarter(sum + kWidth, even_tail + odd_tail);
  }
  // The largest of each 2 x 2 results in the order of kernels/planes, down and then across.
  ACCEL_FORCE_INLINE void finish_halved(const SpmmPiece& p, float* y, const f32* v) const {
    for (int j = 0; j + 1 < NZ; j += 2, y += p.y_line) {
      const f32 tall = max_nan(v[j], v[j + 1]);
      store_n(y, max_nan({even_lanes(tall.v, tall.v)}, {odd_lanes(tall.v, tall.v)}), f32::lanes / 2);
    }
  }
  ACCEL_FORCE_INLINE void finish(const SpmmPiece& p, long row) const {
    constexpr bool kPartial = FORM == SpmmForm::plain;  // the last vector's pixels may be fewer
    const f32 low = set1(p.low), high = set1(p.high);
    const long step = FORM == SpmmForm::strip ? p.y_line : f32::lanes;
    const int last = p.last_lanes;
    float* const y = p.y + row * p.y_row;
    f32 v[NZ + 1];
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) v[j] = even[j] + odd[j];
    if constexpr (TAIL) {
      float four[f32::lanes] = {};
      store_quarter(four, even_tail + odd_tail);
      v[NZ] = load(four);
    }
    constexpr int kAll = NZ + (TAIL ? 1 : 0), kWhole = TAIL ? NZ : kPartial ? NZ - 1 : NZ;
    add_bias<kAll>(p, row, v);
    if (p.residual) {
      const float* const residual = p.residual + row * p.residual_row;
      ACCEL_UNROLL(4)
      for (int j = 0; j < kWhole; ++j) v[j] = v[j] + load(residual + j * step);
      if constexpr (kWhole < kAll)
        v[kWhole] =
            v[kWhole] + (last == f32::lanes ? load(residual + kWhole * step) : load_n(residual + kWhole * step, last));
    }
    ACCEL_UNROLL(4)
    for (int j = 0; j < kAll; ++j) v[j] = min(high, max(low, v[j]));
    if (FORM == SpmmForm::strip && p.halved) return finish_halved(p, y, v);
    ACCEL_UNROLL(4)
    for (int j = 0; j < kWhole; ++j) store(y + j * step, v[j]);
    if constexpr (kWhole < kAll) {
      if (last == f32::lanes)
        store(y + kWhole * step, v[kWhole]);
      else
        store_n(y + kWhole * step, v[kWhole], last);
    }
  }
};

constexpr int kAheadRows = 6;      // of y and residual fetched ahead
constexpr int kAheadBytes = 1024;  // of values, for which 2 KB are too far; of positions: no gain
constexpr int kAheadChannels = 8;

// Calls for the lines of the next block, some at a time.
struct AheadLines {
  SpmmAhead left;
  const float* line;
  int at = 0;
  explicit ACCEL_FORCE_INLINE AheadLines(const SpmmAhead& all) : left(all), line(all.from) {}
  ACCEL_FORCE_INLINE void call(long n) {
    n = n < left.count ? n : left.count, left.count -= n;
    for (; n > 0; --n, ++at, line += left.line) {
      if (at == left.lines) at = 0, line = left.from += left.plane;
      prefetch(line);
    }
  }
};

// On Zen 4, two vectors and all in the L2 cache: 2.36 cycles a value and 5 a row, 3 to 4 more where the count is no
// multiple of 4; values from the L3 cache add 3 to 5 a row. Multiply-adds of lines in the L1 cache alone take 2.24. Any
// other load costs about half a cycle, a permutation nothing: without them it is as slow.
//
// Tried on Zen 4:
// - no gain: fetching partial sums ahead, or adding those of earlier blocks last; tails at an eighth of a tile's
//   offsets; code unrolled for every count; four sets of sums; X loaded before the multiply-add, not by it; values of
//   the remainder broadcast, its three cases apart; values fetched 512 or 1536 bytes ahead, or into the L2 cache only;
//   positions fetched ahead;
// - fetching partial sums to be written: 1-10 % slower but in long strips;
// - VPBROADCASTD of 1, 2 or all of every four values: 1-9, 2-12, 5-19 % slower;
// - two loads of four values, not one of eight: 1-11 % slower; VPERMPS, not VPERMILPS: 8-18 %;
// - positions of two bytes that need no shift: slower than bytes read together; those of strips by two loads of
//   8 bytes: no change in long rows, up to 8 % slower in short ones;
// - tiles of 24 or 28 KB, not 32: 2-12 % slower;
// - the remainder first, by a jump table, first and last blocks apart: 3-10 % slower; a loop of rows for each: 2-4 %;
// - the remainder by one load of eight: 3 % slower; in strips, without fetching values ahead, 1-4 % faster from the
//   cache but not in layers, AVX2 and codes 0-4 % slower;
// - values fetched with NTA: 1-2 % slower; in the loop of eight: 8 %;
// - results not fetched before they are written: 2-3 % faster where they come from the L3 cache, slower in networks;
// - the next tile's lines fetched while this one is packed, or those of 16 or 24 channels further: no gain.
template <class Values, int NZ, SpmmForm FORM>
void spmm_rows(const SpmmPiece& p) noexcept {
  using Sums = RowSums<NZ, FORM>;
  constexpr int kPitch = Sums::kWidth + (Sums::TAIL ? f32::lanes : 0);
  const Values from(p.book);
  const std::uint16_t* row = p.row;
  const auto* offset = static_cast<const typename Sums::Offset*>(p.offset);
  const std::uint8_t* values = p.values;
  const float *x = p.x, *tails = p.tails;
  float* const base = p.sums;
  const bool first = p.first, last = p.last;
  const long line = FORM == SpmmForm::strip ? p.y_line : Sums::kLine;
  AheadLines ahead(p.ahead);
  for (const SpmmRun *run = p.runs, *end = run + p.run_count; run != end; ++run) {
    const int count = run->count, rest = count % 4, rows = run->rows;
    if constexpr (FORM == SpmmForm::strip) ahead.call(rows * p.ahead_per_row);
    for (int r = 0; r < rows; ++r, ++row) {
      float* sum = base + static_cast<long>(*row) * kPitch;
      prefetch(values + kAheadBytes);
      if constexpr (Values::bytes(4) == 16) prefetch(values + kAheadBytes + 64);
      if (last) {
        ACCEL_UNROLL(4)
        for (int j = 0; j < Sums::kWidth; j += Sums::kLine)
          prefetch(p.y + row[kAheadRows] * p.y_row + j / Sums::kLine * line);
        if (p.residual) {
          ACCEL_UNROLL(4)
          for (int j = 0; j < Sums::kWidth; j += Sums::kLine)
            prefetch(p.residual + row[kAheadRows] * p.residual_row + j / Sums::kLine * line);
        }
      }
      Sums sums;
      sums.begin(sum, first);
      int left = count;
      if constexpr (f32::lanes > 4)
        for (; left >= 8; left -= 8, offset += 8, values += Values::bytes(8)) {
          f32 two[2];
          from.eight(values, two);
          const Offsets<typename Sums::Offset> offsets(offset);
          sums.add_four(two[0], x, tails, offsets);
          sums.add_four(two[1], x, tails, offsets.upper());
        }
      for (; left >= 4; left -= 4, offset += 4, values += Values::bytes(4))
        sums.add_four(from.four(values), x, tails, Offsets<typename Sums::Offset>(offset));
      if (rest) {
        const f32 four = from.four(values);
        const Offsets<typename Sums::Offset> offsets(offset);
        sums.template add<0>(four, x, tails, offsets);
        if (rest > 1) sums.template add<1>(four, x, tails, offsets);
        if (rest > 2) sums.template add<2>(four, x, tails, offsets);
        offset += rest, values += Values::bytes(rest);
      }
      if (last)
        sums.finish(p, *row);
      else
        sums.store_to(sum);
    }
  }
}

// One tap of `count` channels, whose tiles are `step` rows of X apart; fetches that of later channels too where `ahead`
// is not 0.
template <int N, bool MASKED>
ACCEL_INLINE void pack_tap(const SpmmImage& s, const float* from, const std::uint16_t* bits, long count, long ahead,
                           float* tile, float* tail) {
  const long step = static_cast<long>(s.taps) * N * f32::lanes;
  unsigned inside[N + 1] = {};
  for (int j = 0; j < N + (tail ? 1 : 0); ++j) inside[j] = bits[j];
  for (long i = 0; i < count; ++i, from += s.plane, tile += step) {
    ACCEL_UNROLL(4)
    for (int j = 0; j < N; ++j) {
      if (ahead) prefetch(from + ahead + j * f32::lanes);
      store(tile + j * f32::lanes,
            MASKED ? load_bits(from + j * f32::lanes, inside[j], zero()) : load(from + j * f32::lanes));
    }
    if (tail) store_quarter(tail + 4 * i * s.taps, quarter(load_bits(from + N * f32::lanes, inside[N], zero())));
  }
}

// Tap by tap: its lanes outside the image are the same in all channels.
template <int N>
void spmm_pack_image(const SpmmImage& s, long k, int count, long v, float* tile, float* tails) noexcept {
  constexpr unsigned kAll = (1u << f32::lanes) - 1u;
  const float* plane = s.x + k / s.taps * s.plane + v * f32::lanes;
  int tap = static_cast<int>(k % s.taps);
  for (int i = 0; i < s.taps && i < count; ++i) {
    const bool last = tap + 1 == s.taps;
    const std::uint16_t* bits = s.bits + tap * s.vectors + v;
    bool whole = true;
    for (int j = 0; j < N; ++j) whole = whole && bits[j] == kAll;
    const long channels = count / s.taps + (i < count % s.taps ? 1 : 0), ahead = last ? kAheadChannels * s.plane : 0;
    float *to = tile + static_cast<long>(i) * N * f32::lanes, *tail = tails ? tails + 4 * i : nullptr;
    (whole ? pack_tap<N, false> : pack_tap<N, true>)(s, plane + s.at[tap], bits, channels, ahead, to, tail);
    if (last) plane += s.plane;
    tap = last ? 0 : tap + 1;
  }
}

template <int N>
ACCEL_FORCE_INLINE void copy_rows(const float* from, long width, float* to) {
  ACCEL_UNROLL(8)
  for (int r = 0; r < N; ++r) store(to + r * f32::lanes, load(from + r * width));
}

constexpr int kStripRows = kSpmmVectors + 2;  // of a window of three rows

// What windows of three rows read where nothing lies outside the image: most strips of most networks.
void pack_inner_strip(const SpmmStrip& s, int count, float* tile) {
  const long copy = s.window.rows() * f32::lanes;
  const float* plane = s.x + s.row * s.width + s.column;
  for (int c = 0; c < count; ++c, plane += s.plane)
    for (int q = 0; q < s.window.kernel_w; ++q, tile += copy)
      copy_rows<kStripRows>(plane + q * s.dilation_w, s.width, tile);
}

void spmm_pack_strip(const SpmmStrip& s, int count, int n, float* tile) noexcept {
  constexpr int kLanes = f32::lanes;
  const SpmmWindow& w = s.window;
  const long needed = n + (w.kernel_h - 1) * w.dilation_h, copy = w.rows() * kLanes;
  const long first = s.row < 0 ? -s.row : 0, end = s.height - s.row < needed ? s.height - s.row : needed;
  const bool inner = s.column >= 0 && s.column + (w.kernel_w - 1l) * s.dilation_w + kLanes <= s.width;
  if (inner && first == 0 && end == kStripRows && needed == kStripRows) return pack_inner_strip(s, count, tile);
  const float* plane = s.x + s.row * s.width + s.column;
  const long ahead = kAheadChannels * s.plane + (w.kernel_w - 1l) * s.dilation_w + kLanes - 1;
  for (int c = 0; c < count; ++c, plane += s.plane, tile += w.kernel_w * copy) {
    for (long r = first; r < end; ++r) prefetch(plane + r * s.width + ahead);  // no block before called for all
    for (int q = 0; q < w.kernel_w; ++q) {
      const long column = s.column + q * s.dilation_w;
      const float* from = plane + q * s.dilation_w;
      float* to = tile + q * copy;
      if (column >= 0 && column + kLanes <= s.width) {
        for (long r = first; r < end; ++r) store(to + r * kLanes, load(from + r * s.width));
      } else {
        unsigned bits = 0;
        for (int l = 0; l < kLanes; ++l) bits |= static_cast<unsigned>(column + l >= 0 && column + l < s.width) << l;
        for (long r = first; r < end; ++r) store(to + r * kLanes, load_bits(from + r * s.width, bits, zero()));
      }
      for (long r = 0; r < needed; ++r)
        if (r < first || r >= end) store(to + r * kLanes, zero());
    }
  }
}

void spmm_pack_rows(const float* x, long stride, long columns, int count, int n, float* tile) noexcept {
  constexpr int kLanes = f32::lanes;
  for (int v = 0; v < n; ++v)
    for (int k = 0; k < count; k += kLanes) {
      f32 t[kLanes];
      const int wide = count - k < kLanes ? count - k : kLanes;
      for (int i = 0; i < kLanes; ++i) {
        const float* from = x + (v * kLanes + i) * stride + k;
        t[i] = v * kLanes + i >= columns ? zero() : wide == kLanes ? load(from) : load_n(from, wide);
      }
      transpose(t);
      for (int i = 0; i < wide; ++i) store(tile + ((k + i) * n + v) * kLanes, t[i]);
    }
}

void spmm_unpack_rows(const float* sums, long rows, long columns, int n, float* y, long stride) noexcept {
  constexpr int kLanes = f32::lanes;
  for (long r = 0; r < rows; r += kLanes) {
    const int high = rows - r < kLanes ? static_cast<int>(rows - r) : kLanes;
    for (int v = 0; v < n; ++v) {
      f32 t[kLanes];
      for (int i = 0; i < kLanes; ++i) t[i] = i < high ? load(sums + ((r + i) * n + v) * kLanes) : zero();
      transpose(t);
      for (int i = 0; i < kLanes && v * kLanes + i < columns; ++i) {
        float* to = y + (v * kLanes + i) * stride + r;
        if (high == kLanes)
          store(to, t[i]);
        else
          store_n(to, t[i], high);
      }
    }
  }
}

#define ACCEL_SPMM_FORM(Values, F)                                                  \
  {nullptr, &spmm_rows<Values, 1, SpmmForm::F>, &spmm_rows<Values, 2, SpmmForm::F>, \
   &spmm_rows<Values, 3, SpmmForm::F>, &spmm_rows<Values, 4, SpmmForm::F>}
#define ACCEL_SPMM_KIND(Values) \
  {ACCEL_SPMM_FORM(Values, plain), ACCEL_SPMM_FORM(Values, tail), ACCEL_SPMM_FORM(Values, strip)}

constexpr SpmmKernels kSpmmKernels = {
    f32::lanes,
    {ACCEL_SPMM_KIND(ValuesF32), ACCEL_SPMM_KIND(ValuesBf16), ACCEL_SPMM_KIND(ValuesI8), ACCEL_SPMM_KIND(ValuesCode16),
     ACCEL_SPMM_KIND(ValuesCode256)},
    {nullptr, &spmm_pack_image<1>, &spmm_pack_image<2>, &spmm_pack_image<3>, &spmm_pack_image<4>},
    &spmm_pack_strip,
    &spmm_pack_rows,
    &spmm_unpack_rows,
};
#undef ACCEL_SPMM_KIND
#undef ACCEL_SPMM_FORM

}  // namespace
}  // namespace accel::ACCEL_ISA
