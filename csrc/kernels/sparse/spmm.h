// SPDX-License-Identifier: BSD-3-Clause
// Sparse matrix times dense columns: Y[row][column] = sum_k W[row][k] X[k][column], float32.
//
// Every product needs its own row of X, so the loads of X are the limit: a tile of X, some rows k (a block) times up to
// four vectors of columns, is packed into the L1 cache, and one weight serves all vectors of the tile. Inside a block
// rows of W are sorted by how many values they have there, so that no branch depends on the pattern. Partial sums of a
// tile stay in the L2 cache from block to block.
// With vectors of 64 bytes, rows of a block that have as many values come in pairs that share many columns
// (row_pairs.h), and a vector of X that both need is loaded once.
// A row is summed in the order of its columns, in pairs those shared first, even and odd ones of a block apart: an
// order that the packing decides, so the same bits for any tile or thread.
//
// Source: after Elsen et al., Fast Sparse ConvNets, CVPR 2020, with tiles of X in place of whole rows.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/activation/activation.h"
#include "kernels/sparse/row_pairs.h"
#include "kernels/sparse/sparse.h"
#include "kernels/tile/tile.h"
#include "runtime/memory.h"
#include "runtime/pool.h"
#include "simd/isa.h"

namespace accel {

// Cache lines that the next block reads, to be called into the L2 cache while this one is multiplied: lines of
// neighbouring channels lie pages apart, where no hardware prefetcher follows.
struct SpmmAhead {
  const float* from = nullptr;
  long line = 0, plane = 0;  // floats from one line, and from one channel, to the next
  int lines = 0;             // of a channel
  long count = 0;            // of all channels
};

// Some rows of W in one block, and where their sums go.
struct SpmmRun {
  std::uint16_t count;       // values that each of
  std::uint16_t rows;        // the next rows has in the block
  std::uint16_t shared = 0;  // in pairs: of the columns that both have, those that come first, an even number
};
struct SpmmPiece {
  const SpmmRun* runs;
  int run_count, pair_runs;    // of all, and those that come first, of pairs of rows
  const std::uint16_t* row;    // in the part; readable some entries beyond the end
  const void* offset;          // of each value's column in the tile: rows of it in uint8, in strips vectors in uint16
  const std::uint8_t* values;  // as their kind lies in memory
  const float* book;           // for codes
  const float *x, *tails;      // the tile of X, and four columns more where there is a tail
  float* sums;                 // [rows of the part][vectors][lanes]
  bool first, last;            // block: begins the sums; ends them, and writes y
  const float *bias, *scale;   // of the part's rows; scale may be null
  float low, high;             // bounds of y
  float* y;                    // the part's row r at y + r * y_row; null: the sums become y where they are
  long y_row;
  const float* residual;  // null, or added before the bounds, at residual + r * residual_row
  long residual_row;
  int last_lanes;  // of the last vector that y has, or of the tail
  long tail_step;  // 0, or of a tail that is a pixel of each of some images: floats from one to the next; no residual
  long y_line;     // in strips, from one row of y and residual to the next
  int segments;    // of a vector of a strip: pieces of rows, each as many rows below the one before as there are
  long y_rows;     // vectors; where there are more than one, of y from y on
  bool halved;     // in strips of an even number of vectors: y is the largest of each 2 x 2 results; no residual
  SpmmAhead ahead;
  long ahead_per_row;  // lines of `ahead` that a row calls for
};

// Columns that are the pixels of one image's planes.
struct SpmmImage {
  const float* x;          // of the image
  long plane;              // floats from one channel to the next
  int taps;                // k = channel * taps + tap
  const std::int32_t* at;  // of taps, as TapShifts has them
  const std::uint16_t* bits;
  long vectors;        // of an image
  int tail_lanes = 0;  // 0, or how many images a tail has the last pixel of: this one and those before it,
  long tail_step = 0;  // so many floats apart
};

inline constexpr int kSpmmVectors = 4;  // the most per tile

// Windows of stride 1 whose taps share what is packed. A tile is up to kSpmmVectors vectors below each other, which the
// taps of one column read in the same copy, each some rows further. Columns of an image that do not fill a vector are
// computed in vectors of two segments, which lie below each other too.
struct SpmmWindow {
  int kernel_h = 0, kernel_w = 0, dilation_h = 1;

  int taps() const noexcept { return kernel_h * kernel_w; }
  int rows() const noexcept { return kSpmmVectors + (kernel_h - 1) * dilation_h; }  // of a copy
  int vectors() const noexcept { return kernel_w * rows(); }                        // of a channel
};
// Whether a matrix can be packed for strips of a window: its copies are not too large.
bool strips_fit(int lanes, const SpmmWindow& window) noexcept;

// The part of an image's planes that a tile reads.
struct SpmmStrip {
  const float* x;  // of the first channel
  long plane, height, width;
  long row, column;  // that the first tap of the first pixel reads; may be outside the image
  int dilation_w;    // columns from one copy to the next
  int segments;      // of a vector, as SpmmPiece has them
  SpmmWindow window;
  // [channel][row of a copy]: the last pixels of the strip to the left, null if that was not the one before; and room
  // for this strip's. Only where three taps are side by side.
  const float* left;
  float* right;
};

// The kernels of one ISA.
enum class SpmmForm { plain, tail, strip };
using SpmmRows = void (*)(const SpmmPiece&) noexcept;
using SpmmForms = std::array<std::array<SpmmRows, kSpmmVectors + 1>, 3>;  // [SpmmForm][vectors]
struct SpmmKernels {
  int lanes;
  SharedColumns shared;         // null: rows come in no pairs
  SpmmForms rows[kValueKinds];  // [ValueKind]
  SpmmForms f32_loads;          // of float32 of which each is broadcast as it is loaded; null where that gains nothing
  // [n]: rows k .. k + count - 1 of X, vectors v .. v + n - 1 of the columns, and four columns after them into `tails`.
  void (*pack_image[kSpmmVectors + 1])(const SpmmImage&, long k, int count, long v, float* tile, float* tails) noexcept;
  // `count` channels for n rows of vectors.
  void (*pack_strip)(const SpmmStrip&, int count, int n, float* tile) noexcept;
  // As pack_image, where columns are the rows of a matrix x[columns][stride].
  void (*pack_rows)(const float* x, long stride, long columns, int count, int n, float* tile) noexcept;
  // And back: y[column][row] = sums[row][column].
  void (*unpack_rows)(const float* sums, long rows, long columns, int n, float* y, long stride) noexcept;
};
extern const SpmmKernels* const kSpmm[kIsaCount];

// A matrix packed for tiles; immutable.
class SparseMatrix {
 public:
  // For X of about `width` columns, and `threads` that may share the rows. Results do not depend on threads.
  // `window`: of a convolution whose outputs are to be computed in strips, columns being (channel, tap row, tap
  // column). `permute`: whether float32 values come into all lanes by permutations, else by loads where the table has
  // kernels for that; the same bits either way. `intel`: whether tiles are as wide as suits Granite Rapids, not Zen 4,
  // which decides last bits; with vectors of 64 bytes only. Throws std::length_error for more than 2^31 - 1 rows or
  // columns, std::invalid_argument for a window that is not one or whose copies are too large.
  SparseMatrix(const CsrView& csr, const SpmmKernels& kernels, long width, int threads, const SpmmWindow& window,
               bool permute, bool intel);

  long rows() const noexcept { return rows_; }
  long columns() const noexcept { return columns_; }
  long values() const noexcept { return values_; }
  long parts() const noexcept { return static_cast<long>(part_rows_.size()) - 1; }
  int vectors() const noexcept { return vectors_; }  // the widest tile that its blocks fit
  bool strips() const noexcept { return window_.kernel_h > 0; }
  const SpmmWindow& window() const noexcept { return window_; }
  std::size_t nbytes() const noexcept;
  const SpmmKernels& kernels() const noexcept { return kernels_; }
  bool permutes() const noexcept { return &forms_ != &kernels_.f32_loads; }

  // Floats that one thread needs to work on a tile.
  static constexpr long scratch_floats() noexcept { return kTileFloats + kTailFloats + kSumFloats; }
  // A tile of `n` vectors, and a tail of up to four columns more, times the rows of some parts. `out` holds bias,
  // bounds, last_lanes, y of row 0 and residual. `pack(k, count, tile, tails)` packs rows k .. k + count - 1 of X and
  // returns what the next block will read; `done(rows, sums)` is called when some rows are finished, which lie in
  // `sums`, [row][vector][lanes], where `out` has no y.
  template <class Pack, class Done>
  void multiply(Range parts, int n, bool tail, const SpmmPiece& out, float* scratch, Pack&& pack,
                Done&& done) const noexcept {
    float* const tails = tail ? scratch + kTileFloats : nullptr;
    for (long begin = parts.begin; begin < parts.end;) {
      const long end = group_end(begin, parts.end);
      for (long b = 0; b < blocks_; ++b) {
        const Range k = block(b);
        SpmmPiece piece = out;
        piece.ahead = pack(k.begin, static_cast<int>(k.end - k.begin), scratch, tails);
        for (long p = begin; p < end; ++p, piece.ahead.count = 0) run_piece(p, b, begin, n, tail, piece, scratch);
      }
      done(Range{first_row(begin), first_row(end)}, scratch + kTileFloats + kTailFloats);
      begin = end;
    }
  }

 private:
  static constexpr long kTileFloats = 8 * 1024;  // of X: of a 32 KB L1 cache, leaving 4 KB to what streams by
  static constexpr long kTailFloats = 256 * 4;
  static constexpr long kSumFloats = 128 * 1024;  // half a 1 MB L2 cache: each group of rows packs X again
  struct At {
    std::size_t run, pair_runs, row, offset, value;  // bytes of offset and value
  };
  struct Builder;
  Range block(long b) const noexcept;  // its columns
  long first_row(long part) const noexcept { return part_rows_[static_cast<std::size_t>(part)]; }
  long group_rows() const noexcept { return kSumFloats / ((vectors_ + 1) * kernels_.lanes); }
  long group_end(long begin, long end) const noexcept;
  void run_piece(long part, long block, long group, int n, bool tail, const SpmmPiece& out,
                 float* scratch) const noexcept;

  const SpmmKernels& kernels_;
  const SpmmForms& forms_;  // of those
  ValueKind kind_;
  long rows_, columns_, values_, blocks_;
  SpmmWindow window_;
  int vectors_;
  std::vector<long> part_rows_;  // where each part begins, and the end
  std::vector<At> pieces_;       // [block][part], and the end
  std::vector<SpmmRun> runs_;
  std::vector<std::uint16_t> row_;
  Memory offset_, value_;  // on large pages: they are read from end to end
  std::vector<float> scale_, book_;
};

// y = f(x W^T + bias), x is batch x columns, y batch x rows, both row-major.
class SparseLinear {
 public:
  // `threads`: the most that run() will be asked for.
  SparseLinear(const SparseMatrix& matrix, long batch, const Activation& activation, const TileSet& tiles, int threads);
  void run(const float* x, const float* bias, float* y, float* scratch, int threads) const noexcept;
  long scratch_floats() const noexcept { return threads_ * matrix_.scratch_floats(); }

 private:
  struct Arrays {
    const float *x, *bias;
    float *y, *scratch;
  };
  void run_tile(const Arrays& arrays, Range vectors, Range parts) const noexcept;

  const SparseMatrix& matrix_;
  long batch_, vectors_, column_tiles_;
  Activation activation_;
  const TileSet& tiles_;
  int threads_;
};

// Shares `tiles` column tiles times the parts of `matrix` out: calls f(tiles, parts, thread) for whole tiles, and for
// parts of tiles that threads share. Where tiles are `uneven`, the last larger than others, two threads take whole ones
// in equal numbers and the rows of the last one or two by halves: they pack X of these twice.
template <class F>
void share_tiles(const SparseMatrix& matrix, long tiles, bool uneven, int threads, F&& f) {
  constexpr long kWorthPacking = 32;  // values of a column
  const double columns = static_cast<double>(tiles) * matrix.vectors() * matrix.kernels().lanes;
  const long parts = matrix.parts();
  const bool halves = uneven && parts > 1 && (tiles % 2 != 0 || matrix.values() > kWorthPacking * matrix.columns());
  parallel(parts_for(static_cast<double>(matrix.values()) * columns, tiles * parts, threads), [&](int thread, int all) {
    if (all == 2 && halves) {
      const long whole = (tiles - 1) / 2;
      if (whole > 0) f(Range{thread * whole, (thread + 1) * whole}, Range{0, parts}, thread);
      f(Range{2 * whole, tiles}, part_of(parts, thread, all), thread);
      return;
    }
    const Range units = part_of(tiles * parts, thread, all);
    for (long unit = units.begin; unit < units.end;) {
      const long tile = unit / parts, part = unit % parts, whole = part == 0 ? (units.end - unit) / parts : 0;
      const long end =
          whole > 0 ? unit + whole * parts : (units.end < (tile + 1) * parts ? units.end : (tile + 1) * parts);
      f(Range{tile, tile + (whole > 0 ? whole : 1)}, Range{part, part + (whole > 0 ? parts : end - unit)}, thread);
      unit = end;
    }
  });
}

}  // namespace accel
