// SPDX-License-Identifier: BSD-3-Clause
// Convolution by Fourier transforms of 16 x 16 tiles (overlap-save): stride 1, no dilation, float32, blocked maps.
//
//   Y = F^-1 [ sum_c (F d_c) . conj(F w_c) ]     d: 16 x 16 window of the input; Y: its first 17 - kh x 17 - kw cells
//
// Transforms run with channels in the lanes; of a real tile's spectrum the Hermitian half is kept: 126 complex numbers,
// and 4 real ones that stand in pairs for 2 more, 128 "frequencies". A sum over C channels of complex products is one
// real product of the register tile with two rows a tile and depth 2 C: rows [re, im] and [im, -re], weights [re; im].
// Weights: [frequency][panel][re, im][channels filled up to blocks][16], then the plain ones as pack_weights makes
// them. A tile whose window holds a NaN or an infinity is computed directly, by the plain weights; weights must be
// finite, and values below 1e34, where the products begin to overflow. Aliasing: residual may be y (same map); nothing
// else may overlap. Threads split the output, never a sum. Source: M. Mathieu, M. Henaff, Y. LeCun, Fast Training of
// Convolutional Networks through FFTs, ICLR 2014; A. Zlateski et al., The Anatomy of Efficient FFT and Winograd
// Convolutions on Modern CPUs, ICS 2019.
#pragma once
#include <cstddef>
#include <vector>

#include "kernels/conv/conv.h"
#include "runtime/pool.h"

namespace accel {

inline constexpr int kFftSide = 16, kFftFrequencies = 128, kMostFftKernel = 13;

// Where the spectrum of one tile of one block of 16 channels goes: frequency f at v + f * step, its four numbers re,
// im, im, -re in the two rows of the tile at 0, half, row, half + row.
struct FftInput {
  const float* x;  // first pixel of a 16 x 16 window, rows x_row floats apart
  long x_row;
  float* v;
  long step, half, row;
};

// Where one tile of one block of 16 channels comes from and goes.
struct FftOutput {
  const float* m;  // products: frequency f at m + f * step, its imaginary part `row` floats on
  long step, row;
  const float* bias;
  float* y;
  long y_row;
  const float* residual;  // null, or addressed alike
  long residual_row;
  int rows, columns;  // of the tile that exist
  const Activation* activation;
};

struct FftKernels {
  bool (*input)(const FftInput&) noexcept;  // whether all of the spectrum is finite
  void (*output)(const FftOutput&) noexcept;
  // The same from sums that were made otherwise: tile[rows][width][16].
  void (*finish)(const FftOutput&, int width, const float* tile) noexcept;
};
extern const FftKernels* const kFft[kIsaCount];

std::size_t fft_size(long out, long depth, long taps);  // floats of the packed weights
// From w[out][depth][kh][kw], kh and kw at most kMostFftKernel.
void pack_fft(const float* w, long out, long depth, int kh, int kw, float* packed, int threads);

// How the work is cut; it never changes a bit of the result. 0: by a rule.
struct FftBlocking {
  int tiles = 0;   // per block
  int panels = 0;  // of 16 outputs whose products are made before they are transformed
};

class FftConv final : public PreparedConv {
 public:
  // spec: strides and dilations 1. `threads`: the most that run() will be asked for.
  FftConv(const ConvSpec& spec, const FftKernels& kernels, const TileSet& tiles, FftBlocking blocking, int threads);
  // weights: packed per group, one after another.
  void run(const ConvArrays& arrays, int threads) const noexcept override;
  std::size_t weight_floats() const noexcept override;
  std::size_t bias_floats() const noexcept override { return padded_channels(spec_.output); }
  long scratch_floats() const noexcept override { return threads_ * (input_floats() + product_floats()); }

 private:
  struct Block;
  struct Position;
  Block block_at(long index, float* buffer) const noexcept;
  Position position(long tile) const noexcept;
  void transform_input(const ConvArrays& arrays, const Block& block, Range blocks) const noexcept;
  void run_panels(const ConvArrays& arrays, const Block& block, Range all, float* products) const noexcept;
  void multiply(const ConvArrays& arrays, const Block& block, long panel, int panels, float* products) const noexcept;
  void transform_output(const ConvArrays& arrays, const Block& block, long panel, int panels,
                        const float* products) const noexcept;
  void direct_tile(const ConvArrays& arrays, const Position& at, long block, float* tile) const noexcept;
  long input_floats() const noexcept;
  long product_floats() const noexcept;
  std::size_t group_floats() const noexcept;

  ConvSpec spec_;
  const FftKernels& kernels_;
  const TileSet& tiles_;
  FftBlocking blocking_;
  int threads_, tile_h_, tile_w_;             // outputs of a tile
  int rows_, columns_;                        // of tiles in an image
  int depth_, depth_blocks_, panels_, step_;  // per group; panels per register tile
  long tile_count_, blocks_;                  // over all images
  bool split_panels_;                         // threads share a block and split its panels, else they split the blocks
  double macs_;
  std::vector<std::int32_t> row_at_;
};

}  // namespace accel
