// SPDX-License-Identifier: BSD-3-Clause
// Convolution with sparse weights, float32, over planes: the formula of conv.h as the sparse product of spmm.h.
//
// A column is an output pixel, k = (channel, tap). Where a tap of stride 1 keeps an image's width, the pixels that it
// reads are as far apart as the output's: a shifted plane, with zeros for what lies outside. A stride is first taken
// apart into the planes of its phases, over which it is one. What fits neither is gathered pixel by pixel.
// Aliasing: residual may be y; nothing else may overlap. Threads split the output, never a sum.
#pragma once
#include <memory>
#include <vector>

#include "kernels/conv/conv.h"
#include "kernels/sparse/spmm.h"

namespace accel {

class SparseConv final : public PreparedConv {
 public:
  // spec: plain maps without halos. matrices: one per group, rows: its filters, columns: (channel, tap row, tap
  // column). `threads`: the most that run() will be asked for.
  SparseConv(const ConvSpec& spec, std::vector<std::shared_ptr<const SparseMatrix>> matrices, const TileSet& tiles,
             int threads);
  void run(const ConvArrays& arrays, int threads) const noexcept override;
  std::size_t weight_floats() const noexcept override { return 0; }  // the matrices hold them
  std::size_t bias_floats() const noexcept override { return static_cast<std::size_t>(spec_.output.channels); }
  long scratch_floats() const noexcept override { return phase_floats_ + threads_ * thread_floats_; }

 private:
  void find_phases();
  void mark_lanes();
  void find_pixels();
  void split_phases(const float* x, float* planes, int threads) const noexcept;
  void gather(const float* x, long k, int count, long v, int n, float* tile) const noexcept;
  void run_tile(const ConvArrays& arrays, const float* x, float* scratch, long group, long tile,
                Range parts) const noexcept;

  ConvSpec spec_;
  std::vector<std::shared_ptr<const SparseMatrix>> matrices_;
  const TileSet& tiles_;
  int threads_, lanes_;
  bool shifts_;                  // taps are shifted planes, else single pixels
  long vectors_, column_tiles_;  // of an image
  long phase_floats_ = 0, thread_floats_ = 0;
  struct Phase {
    int y, x;
  };
  std::vector<Phase> phases_;                          // that some tap reads; none where the stride is 1
  long phase_height_, phase_width_;                    // of a plane
  std::vector<std::int32_t> tap_at_;                   // where pixel 0 of each tap lies in a channel's planes
  std::vector<std::uint16_t> row_bits_, column_bits_;  // as SpmmImage has them
  std::vector<std::int32_t> row_at_, column_at_;       // [tap row or column][pixel], below 0 outside the image
};

}  // namespace accel
