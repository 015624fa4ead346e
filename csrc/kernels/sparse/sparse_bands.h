// SPDX-License-Identifier: BSD-3-Clause
// Two sparse convolutions in strips, the second of the first one's results, band by band: some rows of the first, then
// those of the second that follow from them. What lies between is never whole, and stays in the L2 cache.
//
// Aliasing as in sparse_conv.h. Threads take bands, and make the rows that two of them need twice. The same bits as one
// after the other.
//
// On Zen 4, one thread: 3 x 3 from 3 to 64 channels and on to 64 at 224 x 224 take 3-8 % less time, 64, 128 and 128
// channels at 112 x 112 3-5 %, thrice 256 at 56 x 56 2 %. The same order over a whole map between: 2-6 %. No gain:
// bands of half the rows or twice as many, and leaving out to fetch what is in the cache.
#pragma once
#include "kernels/sparse/sparse_conv.h"

namespace accel {

// The rows of a band of `second`, whose input is a plain map between two convolutions in strips; 0 where bands would
// not pay: the map stays in the cache as it is, or not even a band does, or there are too few bands for all threads.
long band_rows(const ConvSpec& second, int threads);

class SparseBands final : public PreparedConv {
 public:
  using Matrices = std::vector<std::shared_ptr<const SparseMatrix>>;
  // As SparseConv's; the first one's output is as large as the second one's input, and it has no residual. Bands of so
  // many rows of the second one's results before a maximum is taken, a multiple of 8.
  SparseBands(ConvSpec first, Matrices first_matrices, ConvSpec second, Matrices second_matrices, const TileSet& tiles,
              const PlaneKernels& planes, long rows, int threads);
  // x of the first, y and residual of the second; the first one's biases, then the second one's.
  void run(const ConvArrays& arrays, int threads) const noexcept override;
  std::size_t weight_floats() const noexcept override { return 0; }
  std::size_t bias_floats() const noexcept override { return first_.bias_floats() + second_.bias_floats(); }
  long scratch_floats() const noexcept override { return threads_ * thread_floats(); }

 private:
  struct Band {
    Range needed, rows;                            // of the map between, and of the second one's results
    std::vector<StripTile> alone, further, tiles;  // of the first: all that is needed, or what the band before has not
  };
  long thread_floats() const noexcept { return between_floats_ + SparseMatrix::scratch_floats(); }
  void run_band(const ConvArrays& arrays, const Band& band, Range held, float* between) const noexcept;

  double work_;                        // multiply-adds
  ConvSpec first_spec_, second_spec_;  // with a map between of the rows that one band needs
  SparseConv first_, second_;
  int threads_;
  long between_floats_;
  std::vector<Band> bands_;  // of an image
};

}  // namespace accel
