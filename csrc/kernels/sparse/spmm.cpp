// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/spmm.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "kernels/sparse/row_pairs.h"
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

// Vectors of the widest tile. The more, the fewer times each value is read; the fewer, the longer the blocks and the
// fewer partial sums. Cycles of a row and vector, fitted to layers of 90 % zeros with tiles of 2, 3 and 4 vectors, and
// again with rows in pairs: what is chosen is within 2 % of the best. Tried: blocks an eighth larger than the L1 cache
// has room for, so that powers of two need one less: at most 2 % faster, slower where two threads share a tile.
int tile_vectors(const CsrView& a, int lanes, long tile_floats, long width) {
  constexpr double kValue = 0.36, kRow = 3.8, kSum = 2.8;  // shared by the vectors of a tile; of each
  const double values = static_cast<double>(a.indptr[a.rows]) / static_cast<double>(a.rows);
  const long most = std::clamp(width / lanes, 1l, static_cast<long>(kSpmmVectors));
  int best = 1;
  double least = std::numeric_limits<double>::infinity();
  for (int n = 1; n <= most; ++n) {
    const long block = std::min(kMostBlock, tile_floats / (n * lanes));
    const double blocks = static_cast<double>(std::max(1l, (a.columns + block - 1) / block));
    const long tiles = most < kSpmmVectors ? (most + n - 1) / n : 1, vectors = most < kSpmmVectors ? most : n;
    const double shared = static_cast<double>(tiles) / static_cast<double>(vectors);
    const double cycles = (values * kValue + blocks * kRow) * shared + (blocks - 1) * kSum;
    if (cycles <= least) least = cycles, best = n;
  }
  return best;
}

template <std::size_t SIZE>
void put_bytes(const std::uint8_t* values, const std::int32_t* at, long count, std::vector<std::uint8_t>& to) {
  const std::size_t end = to.size();
  to.resize(end + static_cast<std::size_t>(count) * SIZE);
  std::uint8_t* p = to.data() + end;
  for (long i = 0; i < count; ++i, p += SIZE) std::memcpy(p, values + static_cast<std::size_t>(at[i]) * SIZE, SIZE);
}

// Some values, the codes of a row in a block or a group of a pair's, behind the others.
void put_values(const CsrView& a, const std::int32_t* at, long count, std::vector<std::uint8_t>& to) {
  const auto* bytes = static_cast<const std::uint8_t*>(a.values);
  if (a.kind == ValueKind::code16) {
    for (long i = 0; i < (count + 3) / 4 * 4; i += 2) {
      const int low = i < count ? bytes[at[i]] : 0, high = i + 1 < count ? bytes[at[i + 1]] : 0;
      to.push_back(static_cast<std::uint8_t>(low | high << 4));
    }
    return;
  }
  if (a.kind == ValueKind::f32)
    put_bytes<4>(bytes, at, count, to);
  else if (a.kind == ValueKind::bf16)
    put_bytes<2>(bytes, at, count, to);
  else
    put_bytes<1>(bytes, at, count, to);
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

Memory kept(const std::vector<std::uint8_t>& bytes) {
  Memory memory = allocate(bytes.size() + kSlack);
  std::copy(bytes.begin(), bytes.end(), memory.begin);
  return memory;
}

}  // namespace

struct SparseMatrix::Builder {
  SparseMatrix& to;
  const CsrView& csr;
  std::vector<std::int32_t> at;       // where each row goes on
  std::vector<std::int32_t> count{};  // of each row of the part in the block
  std::vector<std::int32_t> alone{};  // its rows that have no partner, counted from its first
  std::vector<RowPair> pairs{};
  std::vector<std::int32_t> order{}, bucket{}, both{}, own_a{}, own_b{};
  std::vector<std::uint8_t> offset{}, value{};
  std::vector<long> pairings{};  // where rows that look for partners among each other begin, and the end
  RowPairs finder{};

  // As few parts as the threads and the cache allow. Partners are found before, so that results do not depend on it.
  void split(int threads) {
    const long most = to.group_rows(), rows = to.rows_;
    pairings.resize(static_cast<std::size_t>(rows) + 1);
    std::iota(pairings.begin(), pairings.end(), 0l);
    if (to.kernels_.pairs) {
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
    if (to.kernels_.pairs) {
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
    const std::int32_t *a = at.data() + part + pair.first, *b = at.data() + part + pair.second;
    both.clear(), own_a.clear(), own_b.clear();
    for (std::int32_t i = *a, j = *b; i < *a + pair.count || j < *b + pair.count;) {
      const std::int32_t left = i < *a + pair.count ? csr.indices[i] : std::numeric_limits<std::int32_t>::max(),
                         right = j < *b + pair.count ? csr.indices[j] : std::numeric_limits<std::int32_t>::max();
      if (left == right && std::ssize(both) < 2 * pair.shared) {
        both.push_back(i++), both.push_back(j++);
        continue;
      }
      if (left <= right) own_a.push_back(i++);
      if (right <= left) own_b.push_back(j++);
    }
    to.row_.push_back(static_cast<std::uint16_t>(pair.first));
    to.row_.push_back(static_cast<std::uint16_t>(pair.second));
    put_shared(begin);
    for (std::size_t i = 0, n; i < own_a.size(); i += n) {
      n = group(own_a.size() - i);
      std::int32_t from[8];
      std::copy_n(&own_a[i], n, from), std::copy_n(&own_b[i], n, from + n);
      put_offsets(from, 2 * static_cast<long>(n), begin);
      put_values(csr, from, 2 * static_cast<long>(n), value);
    }
  }
  void put_shared(long begin) {
    for (std::size_t i = 0, n; i < both.size() / 2; i += n) {
      n = group(both.size() / 2 - i);
      std::int32_t from[8];
      for (std::size_t j = 0; j < n; ++j) from[j] = both[2 * (i + j)], from[n + j] = both[2 * (i + j) + 1];
      put_offsets(from, static_cast<long>(n), begin);
      put_values(csr, from, 2 * static_cast<long>(n), value);
    }
  }
  static std::size_t group(std::size_t left) { return left >= 4 ? 4 : left >= 2 ? 2 : 1; }
  void put_offsets(const std::int32_t* from, long n, long begin) {
    const std::size_t size = to.strips() ? 2 : 1, end = offset.size();
    offset.resize(end + static_cast<std::size_t>(n) * size);
    std::uint8_t* p = offset.data() + end;
    for (long i = 0; i < n; ++i, p += size) {
      const auto two = static_cast<std::uint16_t>(offset_of(csr.indices[from[i]] - begin));
      if (size == 2)
        std::memcpy(p, &two, 2);
      else
        *p = static_cast<std::uint8_t>(two);
    }
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
      own_a.resize(static_cast<std::size_t>(n));
      std::iota(own_a.begin(), own_a.end(), at[static_cast<std::size_t>(part + r)]);
      put_offsets(own_a.data(), n, k.begin);
      put_values(csr, own_a.data(), n, value);
    }
  }
};

bool strips_fit(int lanes, const SpmmWindow& w) noexcept {
  if (w.kernel_h < 1 || w.kernel_w < 1 || w.dilation_h < 1) return false;
  const double rows = kSpmmVectors + static_cast<double>(w.kernel_h - 1) * w.dilation_h;
  return rows * w.kernel_w * lanes <= kStripFloats;
}

SparseMatrix::SparseMatrix(const CsrView& csr, const SpmmKernels& kernels, long width, int threads,
                           const SpmmWindow& window)
    : kernels_(kernels),
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
    vectors_ = tile_vectors(csr, kernels.lanes, kTileFloats, width);
    const long block = std::min(kMostBlock, kTileFloats / (vectors_ * kernels.lanes));
    blocks_ = std::max(1l, (columns_ + block - 1) / block);
  }
  if (csr.scale) scale_.assign(csr.scale, csr.scale + rows_);
  if (csr.book) book_.assign(csr.book, csr.book + (kind_ == ValueKind::code16 ? 16 : 256));
  Builder builder{*this, csr, {csr.indptr, csr.indptr + rows_}};
  builder.split(threads);
  builder.offset.reserve(static_cast<std::size_t>(strips() ? 2 * values_ : values_));
  builder.value.reserve(static_cast<std::size_t>(values_ * value_bytes(kind_)));
  for (long b = 0; b < blocks_; ++b)
    for (long p = 0; p < parts(); ++p) builder.add_piece(b, p);
  pieces_.push_back({runs_.size(), 0, row_.size(), builder.offset.size(), builder.value.size()});
  row_.resize(row_.size() + kSlack);
  offset_ = kept(builder.offset);
  value_ = kept(builder.value);
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
  kernels_.rows[static_cast<int>(kind_)][static_cast<int>(form)][n](p);
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
