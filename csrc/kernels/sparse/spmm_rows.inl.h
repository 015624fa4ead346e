// SPDX-License-Identifier: BSD-3-Clause
// Rows and pairs of rows times a tile; spmm.h says what and why.
#include "kernels/sparse/spmm_sums.inl.h"

namespace accel::ACCEL_ISA {
namespace {

constexpr int kAheadRows = 6;      // of y and residual fetched ahead
constexpr int kAheadBytes = 1024;  // of values, for which 2 KB are too far; of positions: no gain

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

// What is read next of a piece.
template <class Offset>
struct SpmmStreams {
  const std::uint16_t* row;
  const Offset* offset;
  const std::uint8_t* values;
  AheadLines ahead;
};

// Lines that a row some rows on will read and write.
template <class Sums>
ACCEL_FORCE_INLINE void call_results(const SpmmPiece& p, long row, long line) {
  ACCEL_UNROLL(4)
  for (int j = 0; j < Sums::kWidth; j += Sums::kLine) prefetch(p.y + row * p.y_row + j / Sums::kLine * line);
  if (Sums::TAIL && p.tail_step > 0)
    for (int l = 1; l < p.last_lanes; ++l) prefetch(p.y + row * p.y_row + Sums::kWidth - l * p.tail_step);
  if (!p.residual) return;
  ACCEL_UNROLL(4)
  for (int j = 0; j < Sums::kWidth; j += Sums::kLine)
    prefetch(p.residual + row * p.residual_row + j / Sums::kLine * line);
}

// Two rows of equal counts: first the columns that both have, whose vectors are loaded once, then the others of each
// side by side. An eighth of all loads is saved, and multiply-adds become the limit: two vectors take 2.0 cycles a
// value where 12 % of loads are, 2.3 where none are. Side by side alone gains 0-4 %. Values are those of the first row
// and then of the second, four of each, then two, then one.
template <class Values, class Sums>
ACCEL_FORCE_INLINE void add_shared(const Values& from, int shared, const float* x, const float* tails,
                                   SpmmStreams<typename Sums::Offset>& s, Sums& a, Sums& b) {
  using Columns = Offsets<typename Sums::Offset>;
  for (int left = shared; left >= 4; left -= 4, s.offset += 4, s.values += Values::bytes(8)) {
    typename Values::Four two[2];
    from.eight(s.values, two);
    const Columns at(s.offset);
    Sums::template add_both<0>(spread<0>(two[0]), spread<0>(two[1]), x, tails, at, a, b);
    Sums::template add_both<1>(spread<1>(two[0]), spread<1>(two[1]), x, tails, at, a, b);
    Sums::template add_both<2>(spread<2>(two[0]), spread<2>(two[1]), x, tails, at, a, b);
    Sums::template add_both<3>(spread<3>(two[0]), spread<3>(two[1]), x, tails, at, a, b);
  }
  if (shared & 2) {
    const auto four = from.four(s.values);
    const Columns at(s.offset);
    Sums::template add_both<0>(spread<0>(four), spread<2>(four), x, tails, at, a, b);
    Sums::template add_both<1>(spread<1>(four), spread<3>(four), x, tails, at, a, b);
    s.offset += 2, s.values += Values::bytes(4);
  }
}

template <class Values, class Sums>
ACCEL_FORCE_INLINE void add_own(const Values& from, int own, const float* x, const float* tails,
                                SpmmStreams<typename Sums::Offset>& s, Sums& a, Sums& b) {
  using Columns = Offsets<typename Sums::Offset>;
  for (int left = own; left >= 4; left -= 4, s.offset += 8, s.values += Values::bytes(8)) {
    typename Values::Four two[2];
    from.eight(s.values, two);
    const Columns at(s.offset);
    a.add_four(two[0], x, tails, at);
    b.add_four(two[1], x, tails, at.upper());
  }
  if (own & 2) {
    const auto four = from.four(s.values);
    const Columns at(s.offset);
    a.template add<0>(four, x, tails, at), a.template add<1>(four, x, tails, at);
    b.template add<2>(four, x, tails, at), b.template add<3>(four, x, tails, at);
    s.offset += 4, s.values += Values::bytes(4);
  }
  if (own & 1) {
    const auto four = from.four(s.values);
    const Columns at(s.offset);
    a.template add<0>(four, x, tails, at);
    b.template add<1>(four, x, tails, at);
    s.offset += 2, s.values += Values::bytes(2);
  }
}

template <class Values, class Sums>
ACCEL_FORCE_INLINE void add_pairs(const SpmmPiece& p, const Values& from, long pitch, long line,
                                  SpmmStreams<typename Sums::Offset>& streams) {
  SpmmStreams<typename Sums::Offset> s = streams;
  const float *x = p.x, *tails = p.tails;
  float* const base = p.sums;
  const bool first = p.first, last = p.last;
  for (const SpmmRun *run = p.runs, *end = run + p.pair_runs; run != end; ++run) {
    const SpmmRun here = *run;
    const int lines = 1 + Values::bytes(2 * here.count) / 64;
    if constexpr (Sums::kStrip) s.ahead.call(here.rows * p.ahead_per_row);
    for (int r = 0; r < here.rows; r += 2, s.row += 2) {
      std::uint16_t row[2];
      std::memcpy(row, s.row, sizeof row);
      float *sum_a = base + row[0] * pitch, *sum_b = base + row[1] * pitch;
      for (int l = 0; l < lines; ++l) prefetch(s.values + kAheadBytes + 64 * l);
      if (last) {
        call_results<Sums>(p, s.row[kAheadRows], line);
        call_results<Sums>(p, s.row[kAheadRows + 1], line);
      }
      Sums a, b;
      a.begin(sum_a, first), b.begin(sum_b, first);
      add_shared(from, here.shared, x, tails, s, a, b);
      add_own(from, here.count - here.shared, x, tails, s, a, b);
      if (last)
        a.finish(p, row[0]), b.finish(p, row[1]);
      else
        a.store_to(sum_a), b.store_to(sum_b);
    }
  }
  streams = s;
}

// On Zen 4, two vectors and all in the L2 cache: 2.36 cycles a value and 5 a row, 3 to 4 more where the count is no
// multiple of 4; values from the L3 cache add 3 to 5 a row. Multiply-adds of lines in the L1 cache alone take 2.24. Any
// other load costs about half a cycle, a permutation nothing: without them it is as slow.
//
// On Granite Rapids a multiply-add of 64 bytes takes 0.135 ns, with a load 0.20, with a broadcast and a position too
// for every two 0.25. A permutation takes a multiply-add's place there, so values are broadcast by loads: 4096 x 4096
// with 90 % of zeros and two vectors take 0.296 ns a multiply-add, not 0.345, strips of 3 x 3 windows 0.28, not 0.295.
// Vectors of 32 and 16 bytes gain nothing, so they have no such kernels. Tried there without gain: values fetched 3072
// bytes ahead; positions of a byte read one by one, or of two bytes that need no shift; strips of 40 KB, not 28; tiles
// of 40 and 44 KB, not 32.
//
// What limits pairs, measured by loops over lines in the L1 cache, two vectors: multiply-adds without loads of X take
// 2.0 cycles a value, with a load for each 2.3, with a tenth of the loads saved 2.1, with a quarter 2.03. So partners
// that share more could gain 4 % there. In the product of 4096 x 4096 with 90 % of zeros, which takes 2.7 with packing,
// equal counts everywhere gain 4-6 %, in an order that no branch predictor can follow a quarter is lost; partial sums
// cost 4 %, values that do not lie in the L1 cache 1 %, and rows of X that do not 2 %.
//
// Tried on Zen 4:
// - no gain: fetching partial sums ahead, or adding those of earlier blocks last; tails at an eighth of a tile's
//   offsets; code unrolled for every count; four sets of sums; X loaded before the multiply-add, not by it; values of
//   the remainder broadcast, its three cases apart; values fetched 512 or 1536 bytes ahead, or into the L2 cache only;
//   positions fetched ahead;
// - fetching partial sums to be written: 1-10 % slower but in long strips;
// - VPBROADCASTD of 1, 2 or all of every four values: 1-9, 2-12, 5-19 % slower;
// - two loads of four values, not one of eight: 1-11 % slower; VPERMPS, not VPERMILPS: 8-18 %;
// - positions of two bytes that need no shift: slower than bytes read together; those of strips one by one, where pairs
//   of rows share columns: 2 % slower;
// - pairs that share columns one line apart in strips, too: 1-5 % slower; lines of the next block fetched into the L2
//   cache only: 0-1 %;
// - tiles of 24 or 28 KB, not 32: 2-12 % slower;
// - the remainder first, by a jump table, first and last blocks apart: 3-10 % slower; a loop of rows for each: 2-4 %;
// - the remainder by one load of eight: 3 % slower; in strips, without fetching values ahead, 1-4 % faster from the
//   cache but not in layers, AVX2 and codes 0-4 % slower;
// - values fetched with NTA: 1-2 % slower; in the loop of eight: 8 %;
// - rows in chains, each sharing 2 to 8 columns with the row before and others with the row after, which by simulation
//   saves 11-12 % of loads among 512 rows and 14 % among 2048, where pairs save about 10 %: 1-2 % slower and, with the
//   best of some limits, 2-3 % faster; at 95 % of zeros in short blocks 4 % slower; packed in more than twice the time.
//   Own columns of neighbours in a chain side by side, in loops: 3 % slower than pairs;
// - pairs whose shared columns are unrolled for each number of them: 1-2 % slower; runs ordered so that counts rise and
//   fall in turn: no gain;
// - pairs with one set of sums for each row: 2 % slower; X and sums that never agree in the lower 12 bits of their
//   addresses: 1-2 % faster, but half of either could not be used;
// - results not fetched before they are written: 2-3 % faster where they come from the L3 cache, slower in networks,
//   and a fifth slower where they come from memory; fetched 3, 12 or 20 rows ahead: no gain;
// - rows of X multiplied where they are, in planes of whole cache lines: 10 % faster to 64 channels at 56 x 56, 2 % at
//   28 x 28, and to 512 channels 11 % slower: positions have to be multiplied, not shifted;
// - packing by aligned loads and permutations, eight channels loaded before any is stored, fetched with NTA: no gain;
// - a tail as a tile of its own: 4 % slower; x and y of `SparseLinear` fetched ahead of the transpositions: no gain;
// - the next tile's lines fetched while this one is packed, or those of 16 or 24 channels further: no gain.
template <class Values, int NZ, SpmmForm FORM>
void spmm_rows(const SpmmPiece& p) noexcept {
  using Sums = RowSums<NZ, FORM>;
  using Offset = typename Sums::Offset;
  constexpr int kPitch = Sums::kWidth + (Sums::TAIL ? f32::lanes : 0);
  const Values from(p.book);
  SpmmStreams<Offset> streams{p.row, static_cast<const Offset*>(p.offset), p.values, AheadLines(p.ahead)};
  const long line = FORM == SpmmForm::strip ? p.y_line : Sums::kLine;
  if constexpr (kSpmmPairs) add_pairs<Values, Sums>(p, from, kPitch, line, streams);
  const std::uint16_t* row = streams.row;
  const Offset* offset = streams.offset;
  const std::uint8_t* values = streams.values;
  AheadLines ahead = streams.ahead;
  const float *x = p.x, *tails = p.tails;
  float* const base = p.sums;
  const bool first = p.first, last = p.last;
  for (const SpmmRun *run = p.runs + p.pair_runs, *end = p.runs + p.run_count; run != end; ++run) {
    const int count = run->count, rest = count % 4, rows = run->rows;
    if constexpr (FORM == SpmmForm::strip) ahead.call(rows * p.ahead_per_row);
    for (int r = 0; r < rows; ++r, ++row) {
      float* sum = base + static_cast<long>(*row) * kPitch;
      prefetch(values + kAheadBytes);
      if constexpr (Values::bytes(4) == 16) prefetch(values + kAheadBytes + 64);
      if (last) call_results<Sums>(p, row[kAheadRows], line);
      Sums sums;
      sums.begin(sum, first);
      int left = count;
      if constexpr (f32::lanes > 4)
        for (; left >= 8; left -= 8, offset += 8, values += Values::bytes(8)) {
          typename Values::Four two[2];
          from.eight(values, two);
          const Offsets<Offset> offsets(offset);
          sums.add_four(two[0], x, tails, offsets);
          sums.add_four(two[1], x, tails, offsets.upper());
        }
      for (; left >= 4; left -= 4, offset += 4, values += Values::bytes(4))
        sums.add_four(from.four(values), x, tails, Offsets<Offset>(offset));
      if (rest) {
        const auto four = from.four(values);
        const Offsets<Offset> offsets(offset);
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

}  // namespace
}  // namespace accel::ACCEL_ISA
