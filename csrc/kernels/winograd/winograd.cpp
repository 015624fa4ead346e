// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/winograd/winograd.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "kernels/layout/layout.h"
#include "kernels/winograd/points.h"
#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/winograd/winograd.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kForms
const WinogradSet* const kWinograd[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kSkew = 16;  // floats between frequencies, so that their stores do not fall into one cache set
constexpr long kCacheFloats = 128 * 1024;                   // of transformed input in a block: half of a 1 MB L2 cache
constexpr long kStreamFloats = 2l << 20;                    // weights from 8 MB on come from the L3 cache or memory
constexpr int kFewTiles = 64;                               // then read all weights once for all tiles
constexpr long kAheadInCache = 256, kAheadInMemory = 1024;  // floats of weights fetched ahead
constexpr int kPanelGroup = 8;
constexpr long kMostTiles = 28;  // of a block: more only take their products out of the cache
constexpr int kFewRows = 28;     // tiles that use a weight so few times that it comes no faster than they need it
constexpr int kFarPanels = 8;    // weights that stream from memory are called into the L2 cache so many panels ahead

// The first rows and columns of an n x n window, zeros in the place of the others.
void copy_window(const float* x, long row, int n, int rows, int columns, float* window) noexcept {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j, window += kBlock) {
      if (i < rows && j < columns)
        std::memcpy(window, x + i * row + j * kBlock, kBlock * sizeof(float));
      else
        std::memset(window, 0, kBlock * sizeof(float));
    }
}

long blocks_of(long channels) { return (channels + kBlock - 1) / kBlock; }

}  // namespace

const WinogradKernels& winograd_kernels(std::size_t isa, int m, int r) {
  for (const WinogradKernels& k : kWinograd[isa]->forms)
    if (k.m == m && k.r == r) return k;
  throw std::invalid_argument("winograd: no such form");
}

std::size_t winograd_size(long out, long depth, int m, int r) {
  const long n = m + r - 1;
  return static_cast<std::size_t>(n * n * blocks_of(out) * depth * kBlock);
}

// Tiles first .. first + count - 1 of one group of channels; their transformed input is v[frequency][block][tile][16].
struct Winograd::Block {
  long first;
  int count, group;
  float* v;
  long v_step;
  unsigned char* irregular;  // per tile: its window holds something that is not finite
};

// Of a tile: its image, and its first output pixel there.
struct Winograd::Position {
  long image;
  int y, x;
};

// Lines that the transforms will want, fetched by the products, which have load slots to spare: one segment a register
// tile, first the rows of the output that this block writes, then the rows of the input that the next one reads.
class Winograd::Ahead {
 public:
  Ahead() = default;
  Ahead(const Winograd& w, const ConvArrays& arrays, const Block& now, const Block* next)
      : lines_(w.depth_blocks_ * w.tiles_.far_lines), pixels_(static_cast<long>(now.count) * w.kernels_.m) {
    parts_ = (pixels_ + lines_ - 1) / lines_;
    const Map &in = w.spec_.input, &out = w.spec_.output;
    const Position at = w.position(now.first);
    areas_[0] = {arrays.y + at.image * out.image + static_cast<long>(now.group) * w.panels_ * out.plane + out.origin() +
                     at.y / w.spec_.pool * out.row + at.x / w.spec_.pool * kBlock,
                 out.row, out.plane, w.kernels_.m / w.spec_.pool, w.panels_};
    if (!next) return;
    const Position then = w.position(next->first);
    areas_[1] = {arrays.x + then.image * in.image + static_cast<long>(next->group) * w.depth_blocks_ * in.plane +
                     in.origin() + (then.y - w.spec_.top) * in.row + (then.x - w.spec_.left) * kBlock,
                 in.row, in.plane, w.kernels_.n(), w.depth_blocks_};
  }
  // The first line of the next segment; `otherwise` when there are no more.
  const float* segment(const float* otherwise) noexcept {
    while (area_ < 2 && index_ == areas_[area_].rows * areas_[area_].planes * parts_) ++area_, index_ = 0;
    if (area_ == 2) return otherwise;
    const Area& a = areas_[area_];
    const long part = index_ % parts_, row = index_ / parts_ % a.rows, plane = index_ / parts_ / a.rows;
    ++index_;
    return a.first + plane * a.plane + row * a.row + part * lines_ * kBlock;
  }

 private:
  struct Area {
    const float* first = nullptr;
    long row = 0, plane = 0, rows = 0, planes = 0;
  };
  long lines_ = 0, pixels_ = 0, parts_ = 1, index_ = 0;
  int area_ = 0;
  Area areas_[2];
};

Winograd::Winograd(const ConvSpec& spec, const WinogradKernels& kernels, const TileSet& tiles,
                   WinogradBlocking blocking, int threads)
    : spec_(spec),
      kernels_(kernels),
      tiles_(tiles),
      blocking_(blocking),
      matrices_(kernels.m, kernels.r),
      threads_(threads) {
  check_conv(spec);
  if (spec.kernel_h != kernels.r || spec.kernel_w != kernels.r || spec.stride_h != 1 || spec.stride_w != 1 ||
      spec.dilation_h != 1 || spec.dilation_w != 1 || !spec.input.blocked || threads < 1 || blocking.tiles < 0 ||
      blocking.panels < 0)
    throw std::invalid_argument("winograd: kernel, strides, dilations or blocking do not fit");
  if (kernels.m % spec.pool != 0) throw std::invalid_argument("winograd: pools even tiles only");
  const Map& out = spec.output;
  frequencies_ = kernels.n() * kernels.n();
  rows_ = (out.height * spec.pool + kernels.m - 1) / kernels.m;
  columns_ = (out.width * spec.pool + kernels.m - 1) / kernels.m;
  depth_ = spec.input.channels / spec.groups;
  depth_blocks_ = static_cast<int>(blocks_of(depth_));
  panels_ = static_cast<int>(blocks_of(out.channels / spec.groups));
  const long per_image = static_cast<long>(rows_) * columns_;
  tile_count_ = per_image * out.images;
  streams_ = static_cast<long>(winograd_size(out.channels, depth_, kernels.m, kernels.r)) >= kStreamFloats;
  const bool at_once = streams_ && per_image <= kFewTiles;
  if (blocking_.tiles == 0) {
    const long most = std::max<long>(kCacheFloats / (frequencies_ * depth_blocks_ * kBlock), 1);
    const long rows = tiles.most_rows;
    blocking_.tiles = static_cast<int>(at_once       ? per_image
                                       : most < rows ? most
                                                     : std::min(most, kMostTiles) / rows * rows);
  }
  blocking_.tiles = static_cast<int>(std::min<long>(blocking_.tiles, tile_count_));
  // Few tiles and many weights: one pass over the weights counts for more than fewer loads a multiplication.
  single_ = streams_ && blocking_.tiles > tiles.most_rows && blocking_.tiles <= tiles.single_rows;
  step_ = single_ ? 1 : std::min(tiles.most_panels, panels_);
  if (blocking_.panels == 0) blocking_.panels = at_once ? panels_ : kPanelGroup;
  blocking_.panels = std::min((blocking_.panels + step_ - 1) / step_ * step_, panels_);
  blocks_ = (tile_count_ + blocking_.tiles - 1) / blocking_.tiles;
  if (blocks_ > threads) blocks_ = (blocks_ + threads - 1) / threads * threads;  // as many for each
  split_panels_ = threads > 1 && blocks_ * spec.groups < threads && panels_ >= 2 * threads;
  macs_ = static_cast<double>(tile_count_) * frequencies_ * depth_ * out.channels;
  for (int i = 0; i < TileSet::kMostRows; ++i) row_at_.push_back(i * kBlock);
}

// Per block of tiles: transformed input, then one byte a tile.
long Winograd::input_floats() const noexcept {
  const long v = frequencies_ * (static_cast<long>(blocking_.tiles) * depth_blocks_ * kBlock + kSkew);
  return v + (blocking_.tiles + kBlock * 4 - 1) / (kBlock * 4) * kBlock;
}
long Winograd::product_floats() const noexcept {
  return frequencies_ * (static_cast<long>(blocking_.tiles) * blocking_.panels * kBlock + kSkew);
}
long Winograd::streamed_floats() const noexcept {
  return tile_count_ > kFewRows ? 0 : static_cast<long>(weight_floats());
}
long Winograd::scratch_floats() const noexcept { return threads_ * (input_floats() + product_floats()); }

Winograd::Block Winograd::block_at(long index, float* buffer) const noexcept {
  const long block = index % blocks_;
  const Range tiles{tile_count_ * block / blocks_, tile_count_ * (block + 1) / blocks_};
  Block b{};
  b.first = tiles.begin;
  b.count = static_cast<int>(tiles.end - tiles.begin);
  b.group = static_cast<int>(index / blocks_);
  b.v = buffer;
  b.v_step = static_cast<long>(b.count) * depth_blocks_ * kBlock + kSkew;
  b.irregular = reinterpret_cast<unsigned char*>(buffer + frequencies_ * b.v_step);
  return b;
}

Winograd::Position Winograd::position(long tile) const noexcept {
  const long per_image = static_cast<long>(rows_) * columns_;
  const int in_image = static_cast<int>(tile % per_image);
  return {tile / per_image, in_image / columns_ * kernels_.m, in_image % columns_ * kernels_.m};
}

std::size_t Winograd::weight_floats() const noexcept {
  const long per_group = spec_.output.channels / spec_.groups;
  return static_cast<std::size_t>(spec_.groups) * winograd_size(per_group, depth_, kernels_.m, kernels_.r);
}

void Winograd::run(const ConvArrays& arrays, int threads) const noexcept {
  const int most = std::min(threads, threads_);
  const long units = blocks_ * spec_.groups;
  float* const products = arrays.scratch + threads_ * input_floats();
  if (split_panels_ && most > 1) {
    for (long i = 0; i < units; ++i) {
      const Block block = block_at(i, arrays.scratch);
      std::memset(block.irregular, 0, static_cast<std::size_t>(block.count));
      parallel(most, [&](int part, int parts) {
        const Range r = part_of(depth_blocks_, part, parts);
        transform_input(arrays, block, r.begin, r.end);
      });
      parallel(most, [&](int part, int parts) {
        const Range r = part_of((panels_ + step_ - 1) / step_, part, parts);
        Ahead nothing;
        run_panels(arrays, block, r.begin * step_, std::min<long>(r.end * step_, panels_),
                   products + part * product_floats(), nothing);
      });
    }
  } else {
    parallel(parts_for(macs_, units, most), [&](int part, int parts) {
      const Range r = part_of(units, part, parts);
      for (long i = r.begin; i < r.end; ++i) {
        const Block block = block_at(i, arrays.scratch + part * input_floats());
        const Block next = block_at(i + 1, nullptr);
        Ahead ahead(*this, arrays, block, i + 1 < r.end ? &next : nullptr);
        std::memset(block.irregular, 0, static_cast<std::size_t>(block.count));
        transform_input(arrays, block, 0, depth_blocks_);
        run_panels(arrays, block, 0, panels_, products + part * product_floats(), ahead);
      }
    });
  }
  zero_halo(spec_.output, arrays.y);
}

// Blocks begin .. end-1 of 16 input channels.
void Winograd::transform_input(const ConvArrays& arrays, const Block& b, long begin, long end) const noexcept {
  const Map& in = spec_.input;
  const int n = kernels_.n();
  float window[8 * 8 * kBlock];
  for (long c = begin; c < end; ++c) {
    const float* plane = arrays.x + (b.group * depth_blocks_ + c) * in.plane;
    for (int t = 0; t < b.count; ++t) {
      const Position at = position(b.first + t);
      const int top = at.y - spec_.top, left = at.x - spec_.left;
      const float* x = plane + at.image * in.image + in.origin() + top * in.row + left * kBlock;
      long row = in.row;
      if (top + n > in.height + in.halo || left + n > in.width + in.halo) {  // reaches beyond the halo
        copy_window(x, row, n, in.height + in.halo - top, in.width + in.halo - left, window);
        x = window, row = n * kBlock;
      }
      if (!kernels_.input(x, row, b.v + (c * b.count + t) * kBlock, b.v_step))
        std::atomic_ref(b.irregular[t]).store(1, std::memory_order_relaxed);
    }
  }
}

void Winograd::run_panels(const ConvArrays& arrays, const Block& block, long begin, long end, float* products,
                          Ahead& ahead) const noexcept {
  for (long p = begin; p < end; p += blocking_.panels) {
    const int panels = static_cast<int>(std::min<long>(blocking_.panels, end - p));
    multiply(arrays, block, p, panels, products, ahead);
    transform_output(arrays, block, p, panels, products);
  }
}

// products[frequency][panel][tile][16] of panels panel .. panel + panels - 1.
void Winograd::multiply(const ConvArrays& arrays, const Block& b, long panel, int panels, float* products,
                        Ahead& ahead) const noexcept {
  alignas(64) static constexpr float kNoBias[2 * kBlock] = {};
  const long per_panel = static_cast<long>(depth_) * kBlock,
             m_step = static_cast<long>(b.count) * panels * kBlock + kSkew;
  const float* weights = arrays.weights + (static_cast<long>(b.group) * frequencies_ * panels_ + panel) * per_panel;
  Tile t = plain_tile();
  t.a_row = kBlock;
  t.a_block = static_cast<long>(b.count) * kBlock;
  t.inner = kBlock;
  t.depth = depth_;
  t.b_panel = per_panel;
  t.bias = kNoBias;
  t.c_at = row_at_.data();
  t.c_panel = t.a_block;
  const bool streams = streams_ && b.count <= kFewRows;
  const int most_rows = tiles_.rows(RowStep::neighbours, step_);
  t.own_ahead = b.count > most_rows ? t.a_block : 0;
  t.ahead = weights_ahead(b.count);
  for (int f = 0; f < frequencies_; ++f)
    for (int p = 0; p < panels; p += step_) {
      const int wide = std::min(step_, panels - p);
      t.b = weights + (static_cast<long>(f) * panels_ + p) * per_panel;
      split_rows(b.count, most_rows, [&](int first, int rows) {
        t.a = b.v + f * b.v_step + first * kBlock;
        t.far = streams ? t.b + kFarPanels * per_panel : ahead.segment(t.a);
        t.far_block = t.far == t.a ? 0 : tiles_.far_lines * kBlock;
        t.next_a =
            first + rows < b.count ? t.a + rows * kBlock : t.a - first * kBlock + (p + step_ < panels ? 0 : b.v_step);
        t.c = products + f * m_step + static_cast<long>(p) * b.count * kBlock + first * kBlock;
        tiles_.tile(RowStep::neighbours, wide, rows)(t);
      });
    }
}

// How far ahead of their use weights are fetched. From short panels the next tile's, or the lines fetched would be
// those of the panel beside, which this tile loads itself.
long Winograd::weights_ahead(int tiles) const noexcept {
  const long per_panel = static_cast<long>(depth_) * kBlock;
  if (tiles > kFewRows || single_) return kAheadInCache;
  return per_panel <= kAheadInMemory ? step_ * per_panel : kAheadInMemory;
}

void Winograd::transform_output(const ConvArrays& arrays, const Block& b, long panel, int panels,
                                const float* products) const noexcept {
  const Map &out = spec_.output, &res = spec_.residual;
  WinogradOutput o{};
  o.step = static_cast<long>(b.count) * panels * kBlock + kSkew;
  o.y_row = out.row;
  o.residual_row = res.row;
  o.pool = spec_.pool;
  o.activation = &spec_.activation;
  for (int p = 0; p < panels; ++p) {
    const long block = static_cast<long>(b.group) * panels_ + panel + p;
    o.bias = arrays.bias + block * kBlock;
    for (int t = 0; t < b.count; ++t) {
      const Position at = position(b.first + t);
      o.m = products + (static_cast<long>(p) * b.count + t) * kBlock;
      o.y = arrays.y + at.image * out.image + block * out.plane + out.origin() + at.y / o.pool * out.row +
            at.x / o.pool * kBlock;
      if (arrays.residual)
        o.residual =
            arrays.residual + at.image * res.image + block * res.plane + res.origin() + at.y * res.row + at.x * kBlock;
      o.rows = std::min(kernels_.m, out.height * o.pool - at.y);
      o.columns = std::min(kernels_.m, out.width * o.pool - at.x);
      if (!b.irregular[t]) {
        kernels_.output(o);
        continue;
      }
      float tile[6 * 6 * kBlock];
      direct_tile(arrays, at, block, tile);
      kernels_.finish(o, kernels_.m, tile);
    }
  }
}

// The sums of one tile straight from their definition, [m][m][16]: weights are got back from the transformed ones, to
// within their rounding.
void Winograd::direct_tile(const ConvArrays& arrays, const Position& at, long block, float* tile) const noexcept {
  const Map& in = spec_.input;
  const int m = kernels_.m, r = kernels_.r;
  const long group = block / panels_, per_panel = static_cast<long>(depth_) * kBlock;
  const float* weights = arrays.weights + (group * frequencies_ * panels_ + block % panels_) * per_panel;
  const float* plane = arrays.x + at.image * in.image + group * depth_blocks_ * in.plane + in.origin();
  // Folding fills kernels up with taps of zero, which no NaN may meet.
  const auto exists = [this](int tap, int phase) {
    return spec_.fold == 1 || tap * spec_.fold + phase < spec_.folded_kernel;
  };
  std::fill_n(tile, m * m * kBlock, 0.f);
  for (int c = 0; c < depth_; ++c) {
    float w[kMostWinogradTaps * kMostWinogradTaps * kBlock];
    matrices_.recover(weights + c * kBlock, panels_ * per_panel, w);
    for (int i = 0; i < m * m; ++i)
      for (int tap = 0; tap < r * r; ++tap) {
        const int y = at.y + i / m + tap / r - spec_.top, x = at.x + i % m + tap % r - spec_.left;
        if (y < 0 || y >= in.height || x < 0 || x >= in.width || !exists(tap / r, c / spec_.fold % spec_.fold) ||
            !exists(tap % r, c % spec_.fold))
          continue;
        const float value = plane[c / kBlock * in.plane + y * in.row + x * kBlock + c % kBlock];
        for (int l = 0; l < kBlock; ++l) tile[i * kBlock + l] += w[tap * kBlock + l] * value;
      }
  }
}

}  // namespace accel
