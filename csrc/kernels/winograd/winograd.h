// SPDX-License-Identifier: BSD-3-Clause
// Winograd convolution F(m x m, r x r): stride 1, or 3 x 3 with stride 2, no dilation, float32, blocked maps.
//
//   Y = A^T [ sum_c (G g_c G^T) . (B^T d_c B) ] A        d: n x n window of the input, n = m + r - 1; Y: m x m outputs
//
// n^2 instead of m^2 r^2 multiplications a tile. Transforms run with channels in the lanes; the sums over channels are
// n^2 matrix products of the register tile. Weights G g G^T are computed once, in double: [n^2][panel][channels][16].
// With a stride of 2 the four phases of input and filter, of 2 x 2, 2 x 1, 1 x 2 and 1 x 1 taps, are transformed by
// F(m x m, 2 x 2) and add up as more channels: (2 m + 1)^2 multiplications of 9 m^2 (docs/kernels/winograd.md).
// A tile whose window holds a NaN or an infinity is computed directly, so that they reach the outputs that they should;
// weights must be finite, and values below 1e34, where the transforms begin to overflow.
// Aliasing: residual may be y (same map); nothing else may overlap. Threads split the output, never a sum.
// Source: A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016.
#pragma once
#include <cstddef>
#include <utility>
#include <vector>

#include "kernels/conv/conv.h"
#include "kernels/winograd/matrices.h"
#include "kernels/winograd/tiling.h"

namespace accel {

// Where one tile of one block of 16 channels goes.
struct WinogradOutput {
  const float* m;  // products, row-major frequencies, `step` floats apart
  long step;
  const float* bias;
  float* y;
  long y_row;
  const float* residual;  // null, or addressed alike
  long residual_row;
  int rows, columns;  // of the tile that exist
  int pool;           // as in ConvSpec: then y points to the pooled tile
  const Activation* activation;
};

// The products of some tiles and one panel, for few channels (lines.inl.h), which lie at fixed distances.
inline constexpr int kLineTiles = 12;  // at most: whole register tiles of every form
inline constexpr int kSkew = 16;       // floats between frequencies, so that their stores do not
                                       // fall into one cache set
inline constexpr int kLineInputs = kLineTiles * kBlock + kSkew;  // floats from one frequency to the next
inline constexpr int kLineWeights = kBlock * kBlock;
struct WinogradLines {
  const float* v;        // transformed inputs, [frequency][tile][16]
  const float* weights;  // [frequency][depth][16]
  int depth, tiles;
  bool odd_fold;  // the channels are the phases of an odd kernel folded by two
  float* lines;   // [tile][n][m][16]: half transformed
};

struct WinogradKernels {
  int m, r, stride;
  // u = G g G^T of 16 filters at once, in double but for u: g[kernel][kernel][16], frequency f of u at u + f * step.
  // The same bits on every instruction set.
  void (*weights)(const WinogradMatrices::Forward& forward, const double* g, float* u, long step) noexcept;
  // x: first pixel of an n x n window, rows `row` floats and columns `stride` pixels apart; v: frequencies `step`
  // floats apart. Returns whether all of them are finite.
  bool (*input)(const float* x, long row, float* v, long step) noexcept;
  void (*output)(const WinogradOutput&) noexcept;
  // The same from sums that were made otherwise: tile[m][m][16].
  void (*finish)(const WinogradOutput&, int m, const float* tile) noexcept;
  // For few channels; null where there are too few registers. WinogradOutput::m points to a tile's lines.
  void (*lines)(const WinogradLines&) noexcept;
  void (*output_of_lines)(const WinogradOutput&) noexcept;
  int n() const noexcept { return m + r - 1; }
  int kernel() const noexcept { return stride * (r - 1) + 1; }
  long units() const noexcept { return stride == 1 ? n() * n() : (n() + 1) * (n() + 1); }  // of transformed weights
};

struct WinogradSet {
  WinogradKernels forms[8];  // F(2,3), F(4,3), F(6,3), F(4,5); F(3,4), F(5,4) for folds; F(3,2), F(5,2) for a stride
};
extern const WinogradSet* const kWinograd[kIsaCount];

// Throws std::invalid_argument where there are none.
const WinogradKernels& winograd_kernels(std::size_t isa, int m, int kernel, int stride);

// Floats from one transformed weight to that of the next frequency and of the next panel. Those of few channels lie
// panel by panel.
struct WinogradSteps {
  long unit, panel;
};
WinogradSteps winograd_steps(long out, long depth, const WinogradKernels& kernels);
// Floats of the transformed weights.
std::size_t winograd_size(long out, long depth, const WinogradKernels& kernels);
// From w[out][depth][kernel][kernel].
void pack_winograd(const float* w, long out, long depth, const WinogradKernels& kernels, float* packed, int threads);

// How the work is cut; it never changes a bit of the result. 0: by a rule.
struct WinogradBlocking {
  int tiles = 0;   // per block: their transformed inputs stay in the L2 cache
  int panels = 0;  // of 16 outputs whose products are made before they are transformed
};

class Winograd final : public PreparedConv {
 public:
  // spec: kernel r x r, strides and dilations 1. `threads`: the most that run() will be asked for.
  Winograd(const ConvSpec& spec, const WinogradKernels& kernels, const TileSet& tiles, WinogradBlocking blocking,
           int threads);
  // weights: packed per group, one after another.
  void run(const ConvArrays& arrays, int threads) const noexcept override;
  std::size_t weight_floats() const noexcept override;
  std::size_t bias_floats() const noexcept override { return padded_channels(spec_.output); }
  long scratch_floats() const noexcept override;
  long streamed_floats() const noexcept override;
  double macs() const noexcept { return macs_; }  // multiplications of the products

 private:
  struct Block;
  class Ahead;
  const float* group_weights(const ConvArrays& arrays, long group) const noexcept {
    return arrays.weights + group * (static_cast<long>(weight_floats()) / spec_.groups);
  }
  Block block_at(long index, float* buffer) const noexcept;
  void transform_input(const ConvArrays& arrays, const Block& block, Range blocks) const noexcept;
  bool transform_window(const float* plane, const WinogradTile& at, int phase, float* v, long v_step) const noexcept;
  long unit(int i, int j, int phase) const noexcept;
  long far_weights(int i, int j) const noexcept;
  void run_panels(const ConvArrays& arrays, const Block& block, Range all, float* products,
                  Ahead& ahead) const noexcept;
  void multiply(const ConvArrays& arrays, const Block& block, long panel, int panels, float* products,
                Ahead& ahead) const noexcept;
  long weights_ahead(int tiles) const noexcept;
  void multiply_phases(const Block& block, Tile& t, const float* weights, std::pair<int, int> frequency, int panels,
                       Ahead& ahead) const noexcept;
  void transform_output(const ConvArrays& arrays, const Block& block, long panel, int panels,
                        const float* products) const noexcept;
  void direct_tile(const ConvArrays& arrays, const WinogradTile& at, long block, float* tile) const noexcept;
  long tiles_of_block() const noexcept;
  long input_floats() const noexcept;
  long product_floats() const noexcept;

  ConvSpec spec_;
  const WinogradKernels& kernels_;
  const TileSet& tiles_;
  WinogradBlocking blocking_;
  WinogradMatrices matrices_;
  WinogradTiling tiling_;
  int threads_, frequencies_, phases_;
  long units_;
  int depth_, depth_blocks_, panels_, step_;  // per group; panels per register tile
  WinogradSteps weight_steps_;
  bool lines_;         // few channels
  bool streams_;       // weights come from memory in every run
  bool single_;        // one panel per register tile: weights are passed over once
  bool split_panels_;  // threads share a block and split its panels, else they split the blocks
  double macs_;
  std::vector<std::int32_t> row_at_;
};

}  // namespace accel
