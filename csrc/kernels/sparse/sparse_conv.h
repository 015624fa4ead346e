// SPDX-License-Identifier: BSD-3-Clause
// Convolution with sparse weights, float32, over planes: the formula of conv.h as the sparse product of spmm.h.
//
// A column is an output pixel, k = (channel, tap). Taps share what is packed where the matrices are packed for strips;
// else they are shifted planes (planes/shifts.h) where they can be, and other windows are gathered pixel by pixel.
// Aliasing: residual may be y; nothing else may overlap. Threads split the output, never a sum.
#pragma once
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/planes/planes.h"
#include "kernels/sparse/spmm.h"

namespace accel {

// What is computed at once of an image packed for strips: so many rows of results in each segment of a vector.
struct StripTile {
  long row, column;  // of the first pixel, before the largest of each 2 x 2 is taken
  int rows, segments;
};
// The tiles of some rows of a convolution's pixels, of which y has every one, or (pool 2) one for 2 x 2: from left to
// right whole vectors, then half a vector in vectors of two segments. Empty where a width is neither.
std::vector<StripTile> strip_tiles(int lanes, Range rows, long width, int pool);
// Whether convolutions with the window and such outputs can be, and should be, computed in strips.
bool strips_fit(int lanes, const SpmmWindow& window, long height, long width);

class SparseConv final : public PreparedConv {
 public:
  // spec: plain maps without halos; the largest of each 2 x 2 results only of matrices packed for strips, without
  // residual, and bounds as the activation. matrices: one per group, rows: its filters, columns: (channel, tap row, tap
  // column). `threads`: the most that run() will be asked for.
  SparseConv(const ConvSpec& spec, std::vector<std::shared_ptr<const SparseMatrix>> matrices, const TileSet& tiles,
             const PlaneKernels& planes, int threads);
  void run(const ConvArrays& arrays, int threads) const noexcept override;
  std::size_t weight_floats() const noexcept override { return 0; }  // the matrices hold them
  std::size_t bias_floats() const noexcept override { return static_cast<std::size_t>(spec_.output.channels); }
  long scratch_floats() const noexcept override { return phase_floats_ + threads_ * thread_floats(); }

  // What sparse_bands.h makes bands of.
  bool has_strips() const noexcept { return !strips_.empty(); }
  std::vector<StripTile> strips(Range rows) const;                           // of some rows of an image's pixels
  ConvArrays of_image(const ConvArrays& arrays, long image) const noexcept;  // its x, y and residual
  // The rows of an image's planes that x and y begin with, where they do not have all, and the last of y that is
  // written.
  struct Rows {
    long x = 0, y = 0, end = std::numeric_limits<int>::max();
  };
  // Some tiles of an image and group, from left to right, by parts of the rows of W; scratch: thread_floats().
  void run_strips(const ConvArrays& arrays, long group, std::span<const StripTile> tiles, Range parts,
                  const Rows& rows) const noexcept;
  int groups() const noexcept { return spec_.groups; }
  long parts(long group) const noexcept { return matrices_[static_cast<std::size_t>(group)]->parts(); }
  long thread_floats() const noexcept { return SparseMatrix::scratch_floats() + 2 * edge_floats_; }

 private:
  void find_pixels();
  void split_phases(const float* x, float* phases, int threads) const noexcept;
  void gather(const float* x, long k, int count, long v, int n, float* tile) const noexcept;
  void prepare_strips();
  bool share_tails() const noexcept;
  int tail_lanes(long image) const noexcept;
  void activate(const SpmmPiece& to, Range rows, long columns) const noexcept;
  void run_tiles(const ConvArrays& arrays, long group, long image, Range tiles, Range parts) const noexcept;
  void run_tile(const ConvArrays& arrays, long group, long tile, int tail_lanes, Range parts) const noexcept;
  SpmmAhead next_block(const SpmmStrip& strip, const float* channels, long channel, int count, int n) const noexcept;
  // The last pixels of the strip to the left, null where that was not the one before, and room for this one's.
  struct Edges {
    const float* left;
    float* right;
  };
  void run_strip(const ConvArrays& arrays, long group, const StripTile& at, Range parts, const Rows& rows,
                 const Edges& edges) const noexcept;
  SpmmPiece results(const ConvArrays& arrays, long group, long first) const noexcept;

  ConvSpec spec_;
  std::vector<std::shared_ptr<const SparseMatrix>> matrices_;
  const TileSet& tiles_;
  const PlaneKernels& planes_;
  int threads_, lanes_;
  std::optional<TapShifts> taps_;
  bool tail_;                        // the last tile has up to four pixels more than its vectors,
  bool shared_tails_ = false;        // or, of every fourth image and the last, one of each since the one before
  long vectors_ = 0, column_tiles_;  // of an image
  std::vector<StripTile> strips_;    // of an image, where matrices are packed for them
  long phase_floats_ = 0, edge_floats_ = 0;
  std::vector<std::int32_t> row_at_, column_at_;  // [tap row or column][pixel], below 0 outside the image
};

}  // namespace accel
