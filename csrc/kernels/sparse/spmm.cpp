// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/spmm.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <utility>

#define ACCEL_KERNEL_FILE "kernels/sparse/spmm.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kSpmmKernels
const SpmmKernels* const kSpmm[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kMostBlock = 256;         // an offset is one byte
constexpr long kStripFloats = 7 * 1024;  // of X in strips; tried: 6, 7.5 and 8 Ki, no clear change
constexpr long kPartRows = 64;           // at least: every part has rows of other counts, each mispredicted once
// Rows that look for partners among each other; no part has fewer. The more, the more columns partners share: with all
// of 4096 rows 0-3 % faster than with 512, with 256 1 % slower. The fewer, the more threads can share a tile.
constexpr long kLeastPairing = 128, kMostPairing = 512;
constexpr std::size_t kSlack = 64;  // entries that kernels may read past the end

// Cycles of a row: of each value and each block, shared by the vectors of a tile, and of a partial sum of each vector.
struct TileCosts {
  double value, row, sum;
};
// Fitted to layers of 90 % zeros with tiles of 2, 3 and 4 vectors, and again with rows in pairs: what is chosen is
// within 2 % of the best.
constexpr TileCosts kZen4{0.36, 3.8, 2.8};
// The same for 90, 95 and 98 %. At 90 % four vectors for two: 2-20 % less time in most layers of ResNet-50, most where
// channels come from the L3 cache, 13 % more in one of a stride. Tried: six vectors, no faster than four.
constexpr TileCosts kGraniteRapids{1.3, 3.8, 4.2};

// Vectors of the widest tile. The more, the fewer times each value is read; the fewer, the longer the blocks and the
// fewer partial sums. Tried: blocks an eighth larger than the L1 cache has room for, so that powers of two need one
// less: at most 2 % faster on Zen 4, slower where two threads share a tile.
int tile_vectors(const CsrView& a, int lanes, long tile_floats, long width, const TileCosts& costs) {
  const double values = static_cast<double>(a.indptr[a.rows]) / static_cast<double>(a.rows);
  const long most = std::clamp(width / lanes, 1l, static_cast<long>(kSpmmVectors));
  int best = 1;
  double least = std::numeric_limits<double>::infinity();
  for (int n = 1; n <= most; ++n) {
    const long block = std::min(kMostBlock, tile_floats / (n * lanes));
    const double blocks = static_cast<double>(std::max(1l, (a.columns + block - 1) / block));
    const long tiles = most < kSpmmVectors ? (most + n - 1) / n : 1, vectors = most < kSpmmVectors ? most : n;
    const double shared = static_cast<double>(tiles) / static_cast<double>(vectors);
    const double cycles = (values * costs.value + blocks * costs.row) * shared + (blocks - 1) * costs.sum;
    if (cycles <= least) least = cycles, best = n;
  }
  return best;
}

template <std::size_t SIZE>
std::uint8_t* put_bytes(const std::uint8_t* values, const std::int32_t* at, std::size_t count, std::uint8_t* to) {
  for (std::size_t i = 0; i < count; ++i, to += SIZE)
    std::memcpy(to, values + static_cast<std::size_t>(at[i]) * SIZE, SIZE);
  return to;
}

// Some values, the codes of a row in a block or a group of a pair's, from `to` on; returns their end.
std::uint8_t* put_values(const CsrView& a, const std::int32_t* at, std::size_t count, std::uint8_t* to) {
  const auto* bytes = static_cast<const std::uint8_t*>(a.values);
  if (a.kind == ValueKind::code16) {
    for (std::size_t i = 0; i < (count + 3) / 4 * 4; i += 2) {
      const int low = i < count ? bytes[at[i]] : 0, high = i + 1 < count ? bytes[at[i + 1]] : 0;
      *to++ = static_cast<std::uint8_t>(low | high << 4);
    }
    return to;
  }
  if (a.kind == ValueKind::f32) return put_bytes<4>(bytes, at, count, to);
  return a.kind == ValueKind::bf16 ? put_bytes<2>(bytes, at, count, to) : put_bytes<1>(bytes, at, count, to);
}

// Rows where a matrix is cut into about `wanted` pieces of nearly equal numbers of values, a row counted as one more:
// among `edges`, which begin and end with its ends, and no more than `most` rows apart unless they are.
std::vector<long> cut(const CsrView& a, const std::vector<long>& edges, long wanted, long most) {
  const double share = static_cast<double>(a.indptr[a.rows] + a.rows) / static_cast<double>(wanted);
  std::vector<long> at{0};
  for (std::size_t i = 1; i + 1 < edges.size(); ++i) {
    const double here = static_cast<double>(a.indptr[edges[i]]) + static_cast<double>(edges[i]);
    if (here >= share * static_cast<double>(at.size()) || edges[i + 1] - at.back() > most) at.push_back(edges[i]);
  }
  at.push_back(a.rows);
  return at;
}

// Room that is filled once.
struct Filled {
  explicit Filled(std::size_t most) : begin(new std::uint8_t[most]), end(begin.get()) {}
  std::size_t size() const { return static_cast<std::size_t>(end - begin.get()); }
  Memory kept() const {
    Memory memory = allocate(size() + kSlack);
    std::copy_n(begin.get(), size(), memory.begin);
    return memory;
  }
  std::unique_ptr<std::uint8_t[]> begin;
  std::uint8_t* end;
};

}  // namespace

struct SparseMatrix::Builder {
  SparseMatrix& to;
  const CsrView& csr;
  std::vector<std::int32_t> at;  // where each row goes on
  Filled offset, value;
  std::vector<std::int32_t> count{};  // of each row of the part in the block
  std::vector<std::int32_t> alone{};  // its rows that have no partner, counted from its first
  std::vector<RowPair> pairs{};
  std::vector<std::int32_t> order{}, bucket{};
  std::vector<std::int32_t> both_a{}, both_b{}, own_a{}, own_b{};  // of a pair: where in the matrix
  std::vector<std::uint8_t> mark{};                                // of a block's columns: which of a pair have them
  std::vector<std::uint16_t> place{};                              // their offsets
  std::vector<long> pairings{};  // where rows that look for partners among each other begin, and the end
  RowPairs finder{to.kernels_.shared};

  // As few parts as the threads and the cache allow. Partners are found before, so that results do not depend on it.
  void split(int threads) {
    const long most = to.group_rows(), rows = to.rows_;
    pairings.resize(static_cast<std::size_t>(rows) + 1);
    std::iota(pairings.begin(), pairings.end(), 0l);
    if (to.kernels_.shared) {
      const long high = std::clamp(rows / 2, kLeastPairing, kMostPairing);
      pairings = cut(csr, pairings, std::max(1l, rows / high), most);
    }
    const long wanted = std::clamp(rows / kPartRows, 1l, std::max<long>(threads, (rows + most - 1) / most));
    to.part_rows_ = cut(csr, pairings, wanted, most);
  }

  // Of a column of the block: rows of the tile, or vectors where taps share copies.
  long offset_of(long k) const {
    if (!to.strips()) return k;
    const SpmmWindow& w = to.window_;
    const long channel = k / w.taps(), tap = k % w.taps();
    return (channel * w.kernel_w + tap % w.kernel_w) * w.rows() + tap / w.kernel_w * w.dilation_h;
  }

  void begin_block(long block) {
    const Range k = to.block(block);
    const auto columns = static_cast<std::size_t>(k.end - k.begin);
    mark.assign(columns, 0), place.resize(columns);
    for (std::size_t c = 0; c < columns; ++c) place[c] = static_cast<std::uint16_t>(offset_of(static_cast<long>(c)));
    for (auto* one : {&both_a, &both_b, &own_a, &own_b}) one->resize(columns + 1);
  }

  void add_piece(long block, long part) {
    const Range rows{to.first_row(part), to.first_row(part + 1)};
    const Range k = to.block(block);
    to.pieces_.push_back({to.runs_.size(), 0, to.row_.size(), offset.size(), value.size()});
    count.resize(static_cast<std::size_t>(rows.end - rows.begin));
    for (long r = rows.begin; r < rows.end; ++r) {
      const std::int32_t *from = csr.indices + at[static_cast<std::size_t>(r)], *end = from;
      while (end != csr.indices + csr.indptr[r + 1] && *end < k.end) ++end;
      count[static_cast<std::size_t>(r - rows.begin)] = static_cast<std::int32_t>(end - from);
    }
    alone.clear();
    if (to.kernels_.shared) {
      put_pairs(rows, k);
    } else {
      alone.resize(count.size());
      std::iota(alone.begin(), alone.end(), 0);
    }
    put_rows(block, rows.begin, k);
    for (std::size_t r = 0; r < count.size(); ++r) at[static_cast<std::size_t>(rows.begin) + r] += count[r];
  }

  // Sorted, so that branches that depend on counts are the same many times.
  void put_pairs(Range rows, Range k) {
    pairs.clear();
    for (auto edge = std::lower_bound(pairings.begin(), pairings.end(), rows.begin); *edge < rows.end; ++edge)
      finder.find(csr, {edge[0], edge[1]}, rows.begin, k, at.data(), count.data(), pairs, alone);
    std::sort(pairs.begin(), pairs.end(), [](const RowPair& a, const RowPair& b) {
      return std::tie(a.shared, a.count, a.first) < std::tie(b.shared, b.count, b.first);
    });
    for (const RowPair& pair : pairs) {
      const auto n = static_cast<std::uint16_t>(pair.count), shared = static_cast<std::uint16_t>(pair.shared);
      if (to.pieces_.back().pair_runs == 0 || to.runs_.back().count != n || to.runs_.back().shared != shared) {
        to.runs_.push_back({n, 0, shared});
        ++to.pieces_.back().pair_runs;
      }
      to.runs_.back().rows = static_cast<std::uint16_t>(to.runs_.back().rows + 2);
      put_pair(pair, rows.begin, k.begin);
    }
  }

  // In the order in which the kernel reads it.
  void put_pair(const RowPair& pair, long part, long begin) {
    const auto count = static_cast<std::size_t>(pair.count), shared = static_cast<std::size_t>(pair.shared);
    divide(at[static_cast<std::size_t>(part + pair.first)], at[static_cast<std::size_t>(part + pair.second)], count,
           shared, begin);
    to.row_.push_back(static_cast<std::uint16_t>(pair.first));
    to.row_.push_back(static_cast<std::uint16_t>(pair.second));
    put_groups(both_a, both_b, shared, 1, begin);
    put_groups(own_a, own_b, count - shared, 2, begin);
  }
  // Which values of two rows, from a and b on, have columns in common, of these the first `shared`, and which have not.
  // Without branches, which would go the wrong way at every other value.
  void divide(std::int32_t a, std::int32_t b, std::size_t count, std::size_t shared, long begin) {
    const std::int32_t *of_a = csr.indices + a, *of_b = csr.indices + b;
    // Of their own: behind every byte that is written, members would be read again.
    std::uint8_t* const marks = mark.data();
    std::int32_t *to_both = both_b.data(), *to_own = own_b.data();
    for (std::size_t i = 0; i < count; ++i) marks[of_a[i] - begin] = 1;
    for (std::size_t i = 0, n = 0; i < count; ++i) {
      const std::uint8_t m = marks[of_b[i] - begin];
      const bool both = (m == 1) & (n < shared);
      to_both[n] = to_own[i - n] = b + static_cast<std::int32_t>(i);
      marks[of_b[i] - begin] = static_cast<std::uint8_t>(m + both), n += both;
    }
    to_both = both_a.data(), to_own = own_a.data();
    for (std::size_t i = 0, n = 0; i < count; ++i) {
      const bool both = marks[of_a[i] - begin] == 2;
      to_both[n] = to_own[i - n] = a + static_cast<std::int32_t>(i);
      n += both;
    }
    for (std::size_t i = 0; i < count; ++i) marks[of_a[i] - begin] = 0;
  }
  // `offsets` of each two values: one where their column is the same.
  void put_groups(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b, std::size_t count,
                  std::size_t offsets, long begin) {
    std::uint8_t *to_offset = offset.end, *to_value = value.end;
    for (std::size_t i = 0, n; i < count; i += n) {
      n = count - i >= 4 ? 4 : count - i >= 2 ? 2 : 1;
      std::int32_t from[8];
      std::copy_n(&a[i], n, from), std::copy_n(&b[i], n, from + n);
      to_offset = put_offsets(from, offsets * n, begin, to_offset);
      to_value = put_values(csr, from, 2 * n, to_value);
    }
    offset.end = to_offset, value.end = to_value;
  }
  // From `end` on; returns their end.
  std::uint8_t* put_offsets(const std::int32_t* from, std::size_t n, long begin, std::uint8_t* end) const {
    const std::int32_t* const indices = csr.indices;
    const std::uint16_t* const places = place.data();
    if (to.strips()) {
      for (std::size_t i = 0; i < n; ++i, end += 2) std::memcpy(end, &places[indices[from[i]] - begin], 2);
      return end;
    }
    for (std::size_t i = 0; i < n; ++i) *end++ = static_cast<std::uint8_t>(places[indices[from[i]] - begin]);
    return end;
  }

  // Rows without a partner in the order of their counts. Those without values matter only where sums begin or end.
  void put_rows(long block, long part, Range k) {
    const bool all = block == 0 || block + 1 == to.blocks_;
    bucket.assign(static_cast<std::size_t>(k.end - k.begin) + 2, 0);
    for (const std::int32_t r : alone) ++bucket[static_cast<std::size_t>(count[static_cast<std::size_t>(r)]) + 1];
    for (std::size_t c = 0; c + 1 < bucket.size(); ++c) {
      if (bucket[c + 1] > 0 && (c > 0 || all))
        to.runs_.push_back({static_cast<std::uint16_t>(c), static_cast<std::uint16_t>(bucket[c + 1]), 0});
      bucket[c + 1] += bucket[c];
    }
    order.resize(alone.size());
    for (const std::int32_t r : alone)
      order[static_cast<std::size_t>(bucket[static_cast<std::size_t>(count[static_cast<std::size_t>(r)])]++)] = r;
    for (const std::int32_t r : order) {
      const std::int32_t n = count[static_cast<std::size_t>(r)];
      if (n == 0 && !all) continue;
      to.row_.push_back(static_cast<std::uint16_t>(r));
      std::iota(own_a.begin(), own_a.begin() + n, at[static_cast<std::size_t>(part + r)]);
      offset.end = put_offsets(own_a.data(), static_cast<std::size_t>(n), k.begin, offset.end);
      value.end = put_values(csr, own_a.data(), static_cast<std::size_t>(n), value.end);
    }
  }
};

bool strips_fit(int lanes, const SpmmWindow& w) noexcept {
  if (w.kernel_h < 1 || w.kernel_w < 1 || w.dilation_h < 1) return false;
  const double rows = kSpmmVectors + static_cast<double>(w.kernel_h - 1) * w.dilation_h;
  return rows * w.kernel_w * lanes <= kStripFloats;
}

SparseMatrix::SparseMatrix(const CsrView& csr, const SpmmKernels& kernels, long width, int threads,
                           const SpmmWindow& window, bool permute, bool intel)
    : kernels_(kernels),
      forms_(csr.kind == ValueKind::f32 && !permute && kernels.f32_loads[0][1]
                 ? kernels.f32_loads
                 : kernels.rows[static_cast<int>(csr.kind)]),
      kind_(csr.kind),
      rows_(csr.rows),
      columns_(csr.columns),
      values_(csr.indptr[csr.rows]),
      window_(window) {
  if (rows_ < 1 || rows_ >= 1l << 31 || columns_ >= 1l << 31) throw std::length_error("spmm: sizes out of range");
  if (strips()) {
    if (!strips_fit(kernels.lanes, window) || columns_ % window.taps() != 0)
      throw std::invalid_argument("spmm: a window that is none, or too large for strips");
    vectors_ = kSpmmVectors;
    const long channels = columns_ / window.taps(), block = kStripFloats / (window.vectors() * kernels.lanes);
    blocks_ = std::max(1l, (channels + block - 1) / block);
  } else {
    vectors_ =
        tile_vectors(csr, kernels.lanes, kTileFloats, width, intel && kernels.lanes == 16 ? kGraniteRapids : kZen4);
    const long block = std::min(kMostBlock, kTileFloats / (vectors_ * kernels.lanes));
    blocks_ = std::max(1l, (columns_ + block - 1) / block);
  }
  if (csr.scale) scale_.assign(csr.scale, csr.scale + rows_);
  if (csr.book) book_.assign(csr.book, csr.book + (kind_ == ValueKind::code16 ? 16 : 256));
  // Codes of four bits are filled up to two bytes a row and block or, of pairs, a group.
  const long bytes = kind_ == ValueKind::code16 ? values_ + 2 * rows_ * blocks_ : values_ * value_bytes(kind_);
  Builder builder{*this,
                  csr,
                  {csr.indptr, csr.indptr + rows_},
                  Filled(static_cast<std::size_t>(2 * values_)),
                  Filled(static_cast<std::size_t>(bytes))};
  builder.split(threads);
  for (long b = 0; b < blocks_; ++b) {
    builder.begin_block(b);
    for (long p = 0; p < parts(); ++p) builder.add_piece(b, p);
  }
  pieces_.push_back({runs_.size(), 0, row_.size(), builder.offset.size(), builder.value.size()});
  row_.resize(row_.size() + kSlack);
  offset_ = builder.offset.kept();
  value_ = builder.value.kept();
}

Range SparseMatrix::block(long b) const noexcept {
  const long step = strips() ? window_.taps() : 1;
  const Range r = part_of(columns_ / step, static_cast<int>(b), static_cast<int>(blocks_));
  return {r.begin * step, r.end * step};
}

std::size_t SparseMatrix::nbytes() const noexcept {
  return runs_.size() * sizeof(SpmmRun) + row_.size() * 2 + pieces_.back().offset + pieces_.back().value +
         (scale_.size() + book_.size()) * sizeof(float) + pieces_.size() * sizeof(At) +
         part_rows_.size() * sizeof(long);
}

// Parts whose sums fit the cache.
long SparseMatrix::group_end(long begin, long end) const noexcept {
  long last = begin + 1;
  while (last < end && first_row(last + 1) - first_row(begin) <= group_rows()) ++last;
  return last;
}

void SparseMatrix::run_piece(long part, long block, long group, int n, bool tail, const SpmmPiece& out,
                             float* scratch) const noexcept {
  const std::size_t i = static_cast<std::size_t>(block * parts() + part);
  const At &at = pieces_[i], &next = pieces_[i + 1];
  const long row = first_row(part);
  SpmmPiece p = out;
  p.runs = runs_.data() + at.run;
  p.run_count = static_cast<int>(next.run - at.run);
  p.pair_runs = static_cast<int>(at.pair_runs);
  p.row = row_.data() + at.row;
  p.offset = offset_.begin + at.offset;
  p.values = value_.begin + at.value;
  p.book = book_.data();
  p.x = scratch;
  p.tails = scratch + kTileFloats;
  p.sums = scratch + kTileFloats + kTailFloats + (row - first_row(group)) * (n + tail) * kernels_.lanes;
  p.ahead_per_row = (p.ahead.count + first_row(part + 1) - row - 1) / (first_row(part + 1) - row);
  p.first = block == 0;
  p.last = block + 1 == blocks_;
  p.bias = out.bias + row;
  p.scale = scale_.empty() ? nullptr : scale_.data() + row;
  p.y = out.y ? out.y + row * out.y_row : p.sums;
  if (!out.y) p.y_row = static_cast<long>(n) * kernels_.lanes;
  if (out.residual) p.residual = out.residual + row * out.residual_row;
  const SpmmForm form = strips() ? SpmmForm::strip : tail ? SpmmForm::tail : SpmmForm::plain;
  forms_[static_cast<std::size_t>(form)][static_cast<std::size_t>(n)](p);
}

SparseLinear::SparseLinear(const SparseMatrix& matrix, long batch, const Activation& activation, const TileSet& tiles,
                           int threads)
    : matrix_(matrix), batch_(batch), activation_(activation), tiles_(tiles), threads_(threads) {
  if (batch < 0 || threads < 1) throw std::invalid_argument("spmm: batch or threads do not fit");
  vectors_ = (batch + matrix.kernels().lanes - 1) / matrix.kernels().lanes;
  column_tiles_ = (vectors_ + matrix.vectors() - 1) / matrix.vectors();
}

void SparseLinear::run(const float* x, const float* bias, float* y, float* scratch, int threads) const noexcept {
  const bool uneven = column_tiles_ > 0 && vectors_ % column_tiles_ != 0;
  share_tiles(matrix_, column_tiles_, uneven, std::min(threads, threads_), [&](Range tiles, Range parts, int thread) {
    for (long t = tiles.begin; t < tiles.end; ++t)
      run_tile({x, bias, y, scratch + thread * matrix_.scratch_floats()},
               part_of(vectors_, static_cast<int>(t), static_cast<int>(column_tiles_)), parts);
  });
}

void SparseLinear::run_tile(const Arrays& arrays, Range vectors, Range parts) const noexcept {
  const SpmmKernels& k = matrix_.kernels();
  const int n = static_cast<int>(vectors.end - vectors.begin);
  const long first = vectors.begin * k.lanes, columns = std::min(batch_ - first, static_cast<long>(n) * k.lanes);
  const float* x = arrays.x + first * matrix_.columns();
  const bool clamped = activation_.kind == Activation::Kind::clamp;
  SpmmPiece out{};
  out.bias = arrays.bias;
  out.low = clamped ? activation_.low : -std::numeric_limits<float>::infinity();
  out.high = clamped ? activation_.high : std::numeric_limits<float>::infinity();
  out.last_lanes = k.lanes;
  matrix_.multiply(
      parts, n, false, out, arrays.scratch,
      [&](long row, int count, float* tile, float*) {
        k.pack_rows(x + row, matrix_.columns(), columns, count, n, tile);
        return SpmmAhead{};
      },
      [&](Range rows, float* sums) {
        const long count = rows.end - rows.begin;
        if (!clamped) tiles_.activate(activation_, sums, sums, count * n * k.lanes);
        k.unpack_rows(sums, count, columns, n, arrays.y + first * matrix_.rows() + rows.begin, matrix_.rows());
      });
}

}  // namespace accel
