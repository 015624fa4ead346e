// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/spmm.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#define ACCEL_KERNEL_FILE "kernels/sparse/spmm.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kSpmmKernels
const SpmmKernels* const kSpmm[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kMostBlock = 256;         // an offset is one byte
constexpr long kStripFloats = 7 * 1024;  // of X in strips; tried: 6 and 8 Ki, no clear change
constexpr long kPartRows = 64;           // at least: every part has rows of other counts, each mispredicted once
constexpr std::size_t kSlack = 64;       // entries that kernels may read past the end

void put_offset(long offset, bool wide, std::vector<std::uint8_t>& to) {
  to.push_back(static_cast<std::uint8_t>(offset));
  if (!wide) return;
  const auto two = static_cast<std::uint16_t>(offset);
  to.resize(to.size() + 1);
  std::memcpy(&to[to.size() - 2], &two, 2);
}

// Vectors of the widest tile. The more, the fewer times each value is read; the fewer, the longer the blocks and the
// fewer partial sums. Cycles of a row and vector, fitted to layers of 90 % zeros with tiles of 2, 3 and 4 vectors.
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

// Values p .. p + count - 1, which are a row's in a block, behind the others.
void put_values(const CsrView& a, long p, long count, std::vector<std::uint8_t>& to) {
  const auto* bytes = static_cast<const std::uint8_t*>(a.values);
  if (a.kind == ValueKind::code16) {
    for (long i = 0; i < (count + 3) / 4 * 4; i += 2) {
      const int low = i < count ? bytes[p + i] : 0, high = i + 1 < count ? bytes[p + i + 1] : 0;
      to.push_back(static_cast<std::uint8_t>(low | high << 4));
    }
    return;
  }
  const long size = value_bytes(a.kind);
  to.insert(to.end(), bytes + p * size, bytes + (p + count) * size);
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
  std::vector<std::int32_t> at;     // where each row goes on
  std::vector<std::int32_t> count;  // of each row of the part in the block
  std::vector<std::int32_t> order, bucket;
  std::vector<std::uint8_t> offset, value;

  // Parts of nearly equal numbers of values, a row counted as one more: as few as the threads and the cache allow.
  void split(int threads) {
    const long most = to.group_rows();
    const long wanted = std::clamp(to.rows_ / kPartRows, 1l, std::max<long>(threads, (to.rows_ + most - 1) / most));
    const double share = static_cast<double>(to.values_ + to.rows_) / static_cast<double>(wanted);
    to.part_rows_.push_back(0);
    for (long r = 1; r < to.rows_; ++r) {
      const double here = static_cast<double>(csr.indptr[r]) + static_cast<double>(r);
      if (here >= share * static_cast<double>(to.part_rows_.size()) || r - to.part_rows_.back() >= most)
        to.part_rows_.push_back(r);
    }
    to.part_rows_.push_back(to.rows_);
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
    const long end = k.end;
    to.pieces_.push_back({to.runs_.size(), to.row_.size(), offset.size(), value.size()});
    bucket.assign(static_cast<std::size_t>(k.end - k.begin) + 2, 0);
    count.resize(static_cast<std::size_t>(rows.end - rows.begin));
    for (long r = rows.begin; r < rows.end; ++r) {
      const std::int32_t *from = csr.indices + at[static_cast<std::size_t>(r)], *to_ = from;
      while (to_ != csr.indices + csr.indptr[r + 1] && *to_ < end) ++to_;
      const int n = static_cast<int>(to_ - from);
      count[static_cast<std::size_t>(r - rows.begin)] = n;
      ++bucket[static_cast<std::size_t>(n) + 1];
    }
    put_rows(block, rows);
  }

  // The part's rows in the order of their counts. Rows without values matter only where sums begin or end.
  void put_rows(long block, Range rows) {
    const bool all = block == 0 || block + 1 == to.blocks_;
    for (std::size_t c = 0; c + 1 < bucket.size(); ++c) {
      if (bucket[c + 1] > 0 && (c > 0 || all))
        to.runs_.push_back({static_cast<std::uint16_t>(c), static_cast<std::uint16_t>(bucket[c + 1])});
      bucket[c + 1] += bucket[c];
    }
    order.resize(count.size());
    for (std::size_t r = 0; r < count.size(); ++r)
      order[static_cast<std::size_t>(bucket[static_cast<std::size_t>(count[r])]++)] = static_cast<std::int32_t>(r);
    const long begin = to.block(block).begin;
    for (const std::int32_t r : order) {
      const std::int32_t n = count[static_cast<std::size_t>(r)];
      if (n == 0 && !all) continue;
      std::int32_t& p = at[static_cast<std::size_t>(rows.begin + r)];
      to.row_.push_back(static_cast<std::uint16_t>(r));
      for (std::int32_t i = p; i < p + n; ++i) put_offset(offset_of(csr.indices[i] - begin), to.strips(), offset);
      put_values(csr, p, n, value);
      p += n;
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
  Builder builder{*this, csr, {csr.indptr, csr.indptr + rows_}, {}, {}, {}, {}, {}};
  builder.split(threads);
  builder.offset.reserve(static_cast<std::size_t>(strips() ? 2 * values_ : values_));
  for (long b = 0; b < blocks_; ++b)
    for (long p = 0; p < parts(); ++p) builder.add_piece(b, p);
  pieces_.push_back({runs_.size(), row_.size(), builder.offset.size(), builder.value.size()});
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
  share_tiles(matrix_, column_tiles_, std::min(threads, threads_), [&](Range tiles, Range parts, int thread) {
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
