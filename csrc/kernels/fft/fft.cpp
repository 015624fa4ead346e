// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/fft/fft.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "kernels/conv/blocks.h"
#include "kernels/layout/layout.h"
#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/fft/fft.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kKernels
const FftKernels* const kFft[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kSkew = 16;  // floats between frequencies, so that their stores do not fall into one cache set
constexpr long kCacheFloats = 192 * 1024;  // of transformed input in a block, three quarters of a 1 MB L2 cache
constexpr int kPanelGroup = 8;

long blocks_of(long channels) { return (channels + kBlock - 1) / kBlock; }

}  // namespace

// Tiles first .. first + count - 1 of one group of channels; their transformed input is
// v[frequency][re, im][block][row][16], rows of the real parts of all tiles and then of the imaginary ones.
struct FftConv::Block {
  long first;
  int count, group;
  float* v;
  long v_step, v_half;
  unsigned char* irregular;  // per tile: its window holds something that is not finite
};

// Of a tile: its image, and its first output pixel there.
struct FftConv::Position {
  long image;
  int y, x;
};

FftConv::FftConv(const ConvSpec& spec, const FftKernels& kernels, const TileSet& tiles, FftBlocking blocking,
                 int threads)
    : spec_(spec), kernels_(kernels), tiles_(tiles), blocking_(blocking), threads_(threads) {
  check_conv(spec);
  if (spec.kernel_h > kMostFftKernel || spec.kernel_w > kMostFftKernel || spec.stride_h != 1 || spec.stride_w != 1 ||
      spec.dilation_h != 1 || spec.dilation_w != 1 || !spec.input.blocked || threads < 1 || blocking.tiles < 0 ||
      blocking.panels < 0)
    throw std::invalid_argument("fft: kernel, strides, dilations or blocking do not fit");
  const Map& out = spec.output;
  tile_h_ = kFftSide + 1 - spec.kernel_h;
  tile_w_ = kFftSide + 1 - spec.kernel_w;
  rows_ = (out.height + tile_h_ - 1) / tile_h_;
  columns_ = (out.width + tile_w_ - 1) / tile_w_;
  depth_ = spec.input.channels / spec.groups;
  depth_blocks_ = static_cast<int>(blocks_of(depth_));
  panels_ = static_cast<int>(blocks_of(out.channels / spec.groups));
  step_ = std::min(tiles.most_panels, panels_);
  tile_count_ = static_cast<long>(rows_) * columns_ * out.images;
  if (blocking_.tiles == 0) {  // two rows a tile: at least a full register tile, more where the cache has room
    const long least = std::max(tiles.most_rows / 2, 1);
    const long most = kCacheFloats / (kFftFrequencies * 4l * depth_blocks_ * kBlock);
    blocking_.tiles = static_cast<int>(std::max(most / least, 1l) * least);
  }
  blocking_.tiles = static_cast<int>(std::min<long>(blocking_.tiles, tile_count_));
  if (blocking_.panels == 0) blocking_.panels = kPanelGroup;
  blocking_.panels = std::min((blocking_.panels + step_ - 1) / step_ * step_, panels_);
  blocks_ = (tile_count_ + blocking_.tiles - 1) / blocking_.tiles;
  split_panels_ = threads > 1 && blocks_ * spec.groups < 4l * threads && panels_ >= 2 * threads;
  macs_ = static_cast<double>(tile_count_) * kFftFrequencies * 4 * depth_ * out.channels;
  for (int i = 0; i < TileSet::kMostRows; ++i) row_at_.push_back(i * kBlock);
}

std::size_t FftConv::group_floats() const noexcept {
  return fft_size(spec_.output.channels / spec_.groups, depth_, static_cast<long>(spec_.kernel_h) * spec_.kernel_w);
}
std::size_t FftConv::weight_floats() const noexcept { return static_cast<std::size_t>(spec_.groups) * group_floats(); }

// Per block of tiles: transformed input, then one byte a tile.
long FftConv::input_floats() const noexcept {
  const long v = kFftFrequencies * (4l * blocking_.tiles * depth_blocks_ * kBlock + kSkew);
  return v + (blocking_.tiles + kBlock * 4 - 1) / (kBlock * 4) * kBlock;
}
long FftConv::product_floats() const noexcept {
  return kFftFrequencies * (2l * blocking_.tiles * blocking_.panels * kBlock + kSkew);
}

FftConv::Block FftConv::block_at(long index, float* buffer) const noexcept {
  const long block = index % blocks_;
  const Range tiles{tile_count_ * block / blocks_, tile_count_ * (block + 1) / blocks_};
  Block b{};
  b.first = tiles.begin;
  b.count = static_cast<int>(tiles.end - tiles.begin);
  b.group = static_cast<int>(index / blocks_);
  b.v = buffer;
  b.v_half = 2l * b.count * depth_blocks_ * kBlock;
  b.v_step = 2 * b.v_half + kSkew;
  b.irregular = reinterpret_cast<unsigned char*>(buffer + kFftFrequencies * b.v_step);
  std::memset(b.irregular, 0, static_cast<std::size_t>(b.count));
  return b;
}

FftConv::Position FftConv::position(long tile) const noexcept {
  const long per_image = static_cast<long>(rows_) * columns_;
  const int in_image = static_cast<int>(tile % per_image);
  return {tile / per_image, in_image / columns_ * tile_h_, in_image % columns_ * tile_w_};
}

void FftConv::run(const ConvArrays& arrays, int threads) const noexcept {
  float* const products = arrays.scratch + threads_ * input_floats();
  const BlockCut cut{blocks_ * spec_.groups, depth_blocks_, panels_, step_, split_panels_, macs_};
  run_blocks(
      cut, std::min(threads, threads_),
      [&](long index, int part) { return block_at(index, arrays.scratch + part * input_floats()); },
      [&](const Block& b, Range blocks) { transform_input(arrays, b, blocks); },
      [&](const Block& b, Range panels, int part, long) {
        run_panels(arrays, b, panels, products + part * product_floats());
      });
  zero_halo(spec_.output, arrays.y);
}

// Blocks of 16 input channels.
void FftConv::transform_input(const ConvArrays& arrays, const Block& b, Range blocks) const noexcept {
  const Map& in = spec_.input;
  float window[kFftSide * kFftSide * kBlock];
  FftInput i{};
  i.step = b.v_step;
  i.half = b.v_half;
  i.row = static_cast<long>(b.count) * kBlock;
  for (long c = blocks.begin; c < blocks.end; ++c) {
    const float* plane = arrays.x + (b.group * depth_blocks_ + c) * in.plane;
    for (int t = 0; t < b.count; ++t) {
      const Position at = position(b.first + t);
      const int top = at.y - spec_.top, left = at.x - spec_.left;
      i.x = plane + at.image * in.image + in.origin() + top * in.row + left * kBlock;
      i.x_row = in.row;
      const int rows = std::min(kFftSide, in.height + in.halo - top),
                columns = std::min(kFftSide, in.width + in.halo - left);
      if (rows < kFftSide || columns < kFftSide) {  // reaches beyond the halo
        std::memset(window, 0, sizeof window);
        for (int y = 0; y < rows; ++y)
          std::memcpy(window + y * kFftSide * kBlock, i.x + y * in.row,
                      static_cast<std::size_t>(columns) * kBlock * sizeof(float));
        i.x = window, i.x_row = kFftSide * kBlock;
      }
      i.v = b.v + (c * 2 * b.count + t) * kBlock;
      if (!kernels_.input(i)) std::atomic_ref(b.irregular[t]).store(1, std::memory_order_relaxed);
    }
  }
}

void FftConv::run_panels(const ConvArrays& arrays, const Block& block, Range all, float* products) const noexcept {
  for (long p = all.begin; p < all.end; p += blocking_.panels) {
    const int panels = static_cast<int>(std::min<long>(blocking_.panels, all.end - p));
    multiply(arrays, block, p, panels, products);
    transform_output(arrays, block, p, panels, products);
  }
}

// products[frequency][panel][row][16] of panels panel .. panel + panels - 1.
void FftConv::multiply(const ConvArrays& arrays, const Block& b, long panel, int panels,
                       float* products) const noexcept {
  alignas(64) static constexpr float kNoBias[2 * kBlock] = {};
  const int rows = 2 * b.count;
  const long per_panel = 2l * depth_blocks_ * kBlock * kBlock, row_floats = static_cast<long>(rows) * kBlock;
  const long m_step = row_floats * panels + kSkew;
  const float* weights = arrays.weights + b.group * group_floats() + panel * per_panel;
  Tile t = plain_tile();
  t.a_row = kBlock;
  t.a_block = t.own_ahead = row_floats;
  t.inner = kBlock;
  t.depth = 2 * depth_blocks_ * kBlock;
  t.b_panel = per_panel;
  t.bias = kNoBias;
  t.c_at = row_at_.data();
  t.c_panel = row_floats;
  // tried: fetching weights 4 KB ahead where few rows let them stream from memory, no gain
  for (int f = 0; f < kFftFrequencies; ++f)
    for (int p = 0; p < panels; p += step_) {
      const int wide = std::min(step_, panels - p);
      t.b = weights + (static_cast<long>(f) * panels_ + p) * per_panel;
      split_rows(rows, tiles_.rows(RowStep::neighbours, step_), [&](int first, int count) {
        t.a = t.far = b.v + f * b.v_step + first * kBlock;
        const bool last = p + step_ >= panels;
        t.next_a = first + count < rows ? t.a + count * kBlock : t.a - first * kBlock + (last ? b.v_step : 0);
        t.c = products + f * m_step + p * row_floats + first * kBlock;
        tiles_.tile(RowStep::neighbours, wide, count)(t);
      });
    }
}

void FftConv::transform_output(const ConvArrays& arrays, const Block& b, long panel, int panels,
                               const float* products) const noexcept {
  const Map &out = spec_.output, &res = spec_.residual;
  FftOutput o{};
  o.row = static_cast<long>(b.count) * kBlock;
  o.step = 2 * o.row * panels + kSkew;
  o.y_row = out.row;
  o.residual_row = res.row;
  o.activation = &spec_.activation;
  for (int p = 0; p < panels; ++p) {
    const long block = static_cast<long>(b.group) * panels_ + panel + p;
    o.bias = arrays.bias + block * kBlock;
    for (int t = 0; t < b.count; ++t) {
      const Position at = position(b.first + t);
      o.m = products + (2l * p * b.count + t) * kBlock;
      o.y = arrays.y + at.image * out.image + block * out.plane + out.origin() + at.y * out.row + at.x * kBlock;
      if (arrays.residual)
        o.residual =
            arrays.residual + at.image * res.image + block * res.plane + res.origin() + at.y * res.row + at.x * kBlock;
      o.rows = std::min(tile_h_, out.height - at.y);
      o.columns = std::min(tile_w_, out.width - at.x);
      if (!b.irregular[t]) {
        kernels_.output(o);
        continue;
      }
      float tile[kFftSide * kFftSide * kBlock];
      direct_tile(arrays, at, block, tile);
      kernels_.finish(o, tile_w_, tile);
    }
  }
}

// The sums of one tile straight from their definition, [tile_h][tile_w][16], by the plain weights.
void FftConv::direct_tile(const ConvArrays& arrays, const Position& at, long block, float* tile) const noexcept {
  const Map& in = spec_.input;
  const long group = block / panels_, taps = static_cast<long>(spec_.kernel_h) * spec_.kernel_w;
  const float* weights = arrays.weights + group * group_floats() +
                         kFftFrequencies * static_cast<long>(panels_) * 2 * depth_blocks_ * kBlock * kBlock +
                         block % panels_ * depth_ * taps * kBlock;
  const float* plane = arrays.x + at.image * in.image + group * depth_blocks_ * in.plane + in.origin();
  std::fill_n(tile, tile_h_ * tile_w_ * kBlock, 0.f);
  for (int d0 = 0; d0 < depth_; d0 += kBlock, plane += in.plane)
    for (long tap = 0; tap < taps; ++tap)
      for (int d = 0; d < std::min(kBlock, depth_ - d0); ++d, weights += kBlock)
        for (int i = 0; i < tile_h_ * tile_w_; ++i) {
          const long y = at.y + i / tile_w_ + tap / spec_.kernel_w - spec_.top;
          const long x = at.x + i % tile_w_ + tap % spec_.kernel_w - spec_.left;
          if (y < 0 || y >= in.height || x < 0 || x >= in.width) continue;
          const float value = plane[y * in.row + x * kBlock + d];
          for (int l = 0; l < kBlock; ++l) tile[i * kBlock + l] += weights[l] * value;
        }
}

}  // namespace accel
