// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/winograd/winograd.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "kernels/conv/blocks.h"
#include "kernels/layout/layout.h"
#include "kernels/winograd/points.h"
#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/winograd/winograd.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kForms
const WinogradSet* const kWinograd[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kCacheFloats = 128 * 1024;                   // of transformed input in a block: half of a 1 MB L2 cache
constexpr long kStreamFloats = 2l << 20;                    // weights from 8 MB on come from the L3 cache or memory
constexpr int kFewTiles = 64;                               // then read all weights once for all tiles
constexpr long kAheadInCache = 256, kAheadInMemory = 1024;  // floats of weights fetched ahead
constexpr int kPanelGroup = 8;
constexpr long kMostTiles = 28;  // of a block: more only take their products out of the cache
// With a stride. More tiles would read the weights less often, but their inputs come from the L3 cache even so.
constexpr int kStridedTiles = 14, kStridedPanels = 4;
constexpr int kFewRows = 28;   // tiles that use a weight so few times that it comes no faster than they need it
constexpr int kFarPanels = 8;  // weights that stream from memory are called into the L2 cache so many panels ahead

constexpr int kMostWindow = 8 * 8 * 2;  // pixels

// What lies in the first height x width pixels of an n x n window with a stride, zeros in the place of the others. Its
// columns keep their stride, and what lies between them stays undefined.
void copy_window(const float* x, long row, int stride, int n, int height, int width, float* window) noexcept {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j, window += kBlock * stride) {
      if (i * stride < height && j * stride < width)
        std::memcpy(window, x + (i * row + j * kBlock) * stride, kBlock * sizeof(float));
      else
        std::memset(window, 0, kBlock * sizeof(float));
    }
}

long blocks_of(long channels) { return (channels + kBlock - 1) / kBlock; }

}  // namespace

// Tiles first .. first + count - 1 of one group of channels; their transformed input is v[frequency][block][tile][16].
struct Winograd::Block {
  long first;
  int count, group;
  WinogradTiling::Needs needs;
  float* v;
  long v_step;
  unsigned char* irregular;  // per tile: its window holds something that is not finite
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
    const WinogradTile at = w.tiling_.in_order(now.first);
    areas_[0] = {arrays.y + at.image * out.image + static_cast<long>(now.group) * w.panels_ * out.plane + out.origin() +
                     at.y / w.spec_.pool * out.row + at.x / w.spec_.pool * kBlock,
                 out.row, out.plane, w.kernels_.m / w.spec_.pool, w.panels_};
    if (!next) return;
    const WinogradTile then = w.tiling_.in_order(next->first);
    const int s = w.kernels_.stride;
    areas_[1] = {arrays.x + then.image * in.image + static_cast<long>(next->group) * w.depth_blocks_ * in.plane +
                     in.origin() + (then.y * s - w.spec_.top) * in.row + (then.x * s - w.spec_.left) * kBlock,
                 in.row, in.plane, w.kernels_.n() * s, w.depth_blocks_};
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
      matrices_(kernels.m, kernels.r, kernels.stride),
      tiling_(spec.output, spec.pool, kernels.m),
      threads_(threads) {
  check_conv(spec);
  if (spec.kernel_h != kernels.kernel() || spec.kernel_w != kernels.kernel() || spec.stride_h != kernels.stride ||
      spec.stride_w != kernels.stride || spec.dilation_h != 1 || spec.dilation_w != 1 || !spec.input.blocked ||
      threads < 1 || blocking.tiles < 0 || blocking.panels < 0)
    throw std::invalid_argument("winograd: kernel, strides, dilations or blocking do not fit");
  if (kernels.m % spec.pool != 0) throw std::invalid_argument("winograd: pools even tiles only");
  const Map& out = spec.output;
  frequencies_ = kernels.n() * kernels.n();
  units_ = kernels.units();
  phases_ = kernels.stride * kernels.stride;
  depth_ = spec.input.channels / spec.groups;
  depth_blocks_ = static_cast<int>(blocks_of(depth_));
  panels_ = static_cast<int>(blocks_of(out.channels / spec.groups));
  weight_steps_ = winograd_steps(out.channels / spec.groups, depth_, kernels);
  lines_ = depth_blocks_ == 1 && kernels.lines;
  const long per_image = tiling_.per_image(), count = tiling_.count();
  streams_ = phases_ > 1 || static_cast<long>(winograd_size(out.channels, depth_, kernels)) >= kStreamFloats;
  const bool at_once = streams_ && phases_ == 1 && per_image <= kFewTiles;
  if (blocking_.tiles == 0) blocking_.tiles = static_cast<int>(at_once ? per_image : tiles_of_block());
  blocking_.tiles = static_cast<int>(std::min<long>(blocking_.tiles, count));
  // Few tiles and many weights: one pass over the weights counts for more than fewer loads a multiplication.
  single_ = streams_ && blocking_.tiles > tiles.most_rows && blocking_.tiles <= tiles.single_rows;
  step_ = single_ || lines_ ? 1 : std::min(tiles.most_panels, panels_);
  if (blocking_.panels == 0) blocking_.panels = at_once ? panels_ : phases_ > 1 ? kStridedPanels : kPanelGroup;
  if (lines_) blocking_ = {std::min(blocking_.tiles, kLineTiles), 1};
  blocking_.panels = std::min((blocking_.panels + step_ - 1) / step_ * step_, panels_);
  long blocks = (count + blocking_.tiles - 1) / blocking_.tiles;
  if (blocks > threads) blocks = (blocks + threads - 1) / threads * threads;  // as many for each
  tiling_.cut(blocks);
  split_panels_ = threads > 1 && blocks * spec.groups < threads && panels_ >= 2 * threads;
  macs_ = tiling_.products(kernels.n(), kernels.stride) * depth_ * out.channels;
  for (int i = 0; i < TileSet::kMostRows; ++i) row_at_.push_back(i * kBlock);
}

long Winograd::tiles_of_block() const noexcept {
  if (phases_ > 1) return kStridedTiles;
  if (lines_) return kLineTiles;
  const long most = std::max<long>(kCacheFloats / (frequencies_ * depth_blocks_ * kBlock), 1), rows = tiles_.most_rows;
  return most < rows ? most : std::min(most, kMostTiles) / rows * rows;
}

// Per block of tiles: transformed input, then one byte a tile.
long Winograd::input_floats() const noexcept {
  const long v = frequencies_ *
                 (static_cast<long>(lines_ ? kLineTiles : blocking_.tiles) * phases_ * depth_blocks_ * kBlock + kSkew);
  return v + (blocking_.tiles + kBlock * 4 - 1) / (kBlock * 4) * kBlock;
}
long Winograd::product_floats() const noexcept {
  return frequencies_ * (static_cast<long>(blocking_.tiles) * blocking_.panels * kBlock + kSkew);
}
long Winograd::streamed_floats() const noexcept {
  return tiling_.count() > kFewRows ? 0 : static_cast<long>(weight_floats());
}
long Winograd::scratch_floats() const noexcept { return threads_ * (input_floats() + product_floats()); }

Winograd::Block Winograd::block_at(long index, float* buffer) const noexcept {
  const long block = index % tiling_.blocks();
  const Range tiles = tiling_.block(block);
  Block b{};
  b.first = tiles.begin;
  b.count = static_cast<int>(tiles.end - tiles.begin);
  b.group = static_cast<int>(index / tiling_.blocks());
  b.needs = tiling_.needs(block);
  b.v = buffer;
  b.v_step = lines_ ? kLineInputs : static_cast<long>(b.count) * phases_ * depth_blocks_ * kBlock + kSkew;
  b.irregular = reinterpret_cast<unsigned char*>(buffer + frequencies_ * b.v_step);
  return b;
}

std::size_t Winograd::weight_floats() const noexcept {
  const long per_group = spec_.output.channels / spec_.groups;
  return static_cast<std::size_t>(spec_.groups) * winograd_size(per_group, depth_, kernels_);
}

void Winograd::run(const ConvArrays& arrays, int threads) const noexcept {
  float* const products = arrays.scratch + threads_ * input_floats();
  const BlockCut cut{tiling_.blocks() * spec_.groups, depth_blocks_, panels_, step_, split_panels_, macs_};
  run_blocks(
      cut, std::min(threads, threads_),
      [&](long index, int part) {
        const Block b = block_at(index, arrays.scratch + part * input_floats());
        std::memset(b.irregular, 0, static_cast<std::size_t>(b.count));
        return b;
      },
      [&](const Block& b, Range blocks) { transform_input(arrays, b, blocks); },
      [&](const Block& b, Range panels, int part, long next) {
        Ahead ahead;
        if (panels.end - panels.begin == panels_) {  // a block that threads share writes no rows of its own
          const Block following = block_at(std::max(next, 0l), nullptr);
          ahead = Ahead(*this, arrays, b, next < 0 ? nullptr : &following);
        }
        run_panels(arrays, b, panels, products + part * product_floats(), ahead);
      });
  zero_halo(spec_.output, arrays.y);
}

// Blocks of 16 input channels. Tried with strides, whose windows come from the L3 cache: fetching the
// next window, or the lines it is stored to, while one is transformed; no gain in a network.
void Winograd::transform_input(const ConvArrays& arrays, const Block& b, Range blocks) const noexcept {
  for (long c = blocks.begin; c < blocks.end; ++c)
    for (int phase = 0; phase < phases_; ++phase)
      for (int t = 0; t < b.count; ++t) {
        const float* plane = arrays.x + (b.group * depth_blocks_ + c) * spec_.input.plane;
        float* v = b.v + ((phase * depth_blocks_ + c) * b.count + t) * kBlock;
        if (!transform_window(plane, tiling_[b.first + t], phase, v, b.v_step))
          std::atomic_ref(b.irregular[t]).store(1, std::memory_order_relaxed);
      }
}

// Returns whether the window of a tile is finite.
bool Winograd::transform_window(const float* plane, const WinogradTile& at, int phase, float* v,
                                long v_step) const noexcept {
  const Map& in = spec_.input;
  const int n = kernels_.n(), s = kernels_.stride;
  const int top = at.y * s - spec_.top + phase / 2, left = at.x * s - spec_.left + phase % 2;
  const float* x = plane + at.image * in.image + in.origin() + top * in.row + left * kBlock;
  const int height = in.height + in.halo - top, width = in.width + in.halo - left;  // from there to the end of the halo
  if (height > (n - 1) * s && width > (n - 1) * s) return kernels_.input(x, in.row * s, v, v_step);
  float window[kMostWindow * kBlock];  // it reaches beyond the halo
  copy_window(x, in.row, s, n, height, width, window);
  return kernels_.input(window, static_cast<long>(n) * s * kBlock, v, v_step);
}

void Winograd::run_panels(const ConvArrays& arrays, const Block& block, Range all, float* products,
                          Ahead& ahead) const noexcept {
  for (long p = all.begin; p < all.end; p += blocking_.panels) {
    const int panels = static_cast<int>(std::min<long>(blocking_.panels, all.end - p));
    multiply(arrays, block, p, panels, products, ahead);
    transform_output(arrays, block, p, panels, products);
  }
}

// Which of the transformed weights frequency (i, j) of a phase takes, -1 for none. A side with one tap (odd phases) has
// the same weight at every finite point, and none at infinity.
long Winograd::unit(int i, int j, int phase) const noexcept {
  const int n = kernels_.n();
  if (phases_ == 1) return i * n + j;
  const bool row = phase / 2, column = phase % 2;  // have one tap
  if ((row && i == n - 1) || (column && j == n - 1)) return -1;
  return (row ? n : i) * (n + 1l) + (column ? n : j);
}

// products[frequency][panel][tile][16], of few channels [tile][n][m][16], of panels panel .. panel + panels - 1.
void Winograd::multiply(const ConvArrays& arrays, const Block& b, long panel, int panels, float* products,
                        Ahead& ahead) const noexcept {
  alignas(64) static constexpr float kNoBias[2 * kBlock] = {};
  const float* const first = group_weights(arrays, b.group) + panel * weight_steps_.panel;
  if (lines_) {
    const bool odd_fold = spec_.fold == 2 && spec_.folded_kernel == 2 * kernels_.r - 1;
    return kernels_.lines({b.v, first, depth_, b.count, odd_fold, products});
  }
  Tile t = plain_tile();
  t.a_row = kBlock;
  t.a_block = static_cast<long>(b.count) * kBlock;
  t.inner = kBlock;
  t.depth = depth_;
  t.b_panel = weight_steps_.panel;
  t.bias = kNoBias;
  t.c_at = t.residual_at = row_at_.data();
  t.c_panel = t.residual_panel = t.a_block;
  t.ahead = weights_ahead(b.count);
  const long m_step = panels * t.a_block + kSkew;
  const int n = kernels_.n();
  for (int f = 0; f < frequencies_; ++f)
    for (int p = 0; p < panels; p += step_) {
      const float* weights = first + p * t.b_panel;
      t.a = b.v + f * b.v_step;
      t.next_a = t.a + (p + step_ < panels ? 0 : b.v_step);
      t.c = products + f * m_step + p * t.c_panel;
      multiply_phases(b, t, weights, {f / n, f % n}, std::min(step_, panels - p), ahead);
    }
}

// How far ahead of their use weights are fetched. From short panels the next tile's, or the lines fetched would be
// those of the panel beside, which this tile loads itself.
long Winograd::weights_ahead(int tiles) const noexcept {
  const long per_panel = static_cast<long>(depth_) * kBlock;
  if (tiles > kFewRows || single_) return kAheadInCache;
  return per_panel <= kAheadInMemory ? step_ * per_panel : kAheadInMemory;
}

// Where the weights lie that come from memory next, from those of a frequency and panel on: other panels, or where
// phases share weights, so that panels are the outer loop, those of the next frequency that nothing else has.
long Winograd::far_weights(int i, int j) const noexcept {
  const auto [unit_step, panel] = weight_steps_;
  const long n = kernels_.n();
  if (phases_ == 1) return unit(i, j, 0) * unit_step + kFarPanels * panel;
  if (i == n - 1 && j == n - 1) return blocking_.panels * panel;
  return (j + 1 < n ? unit(i, j + 1, 0) : unit(i + 1, 0, 0)) * unit_step;
}

// One frequency of one or two panels; a, next_a and c: of the first tile of the block.
void Winograd::multiply_phases(const Block& b, Tile& t, const float* weights, std::pair<int, int> frequency, int panels,
                               Ahead& ahead) const noexcept {
  const auto [i, j] = frequency;
  const int n = kernels_.n();
  const long phase_step = depth_blocks_ * t.a_block;
  const Range needed = b.needs.by[i == n - 1][j == n - 1];
  const int count = static_cast<int>(needed.end - needed.begin), most_rows = tiles_.rows(RowStep::neighbours, step_);
  t.own_ahead = count > most_rows ? t.a_block : 0;
  const float *const a = t.a + needed.begin * kBlock, *const next = t.next_a;
  float* const c = t.c + needed.begin * kBlock;
  const bool streams = streams_ && b.count <= kFewRows;
  const float* const far = streams ? weights + far_weights(i, j) : nullptr;
  int fetched = 0;  // panels
  for (int phase = 0; phase < phases_; ++phase) {
    const long which = unit(i, j, phase);
    if (which < 0) continue;
    t.b = weights + which * weight_steps_.unit;
    const bool fetches = streams && fetched < panels;
    split_rows(count, most_rows, [&](int first, int rows) {
      t.a = a + phase * phase_step + first * kBlock;
      t.far = fetches ? far + fetched * t.b_panel : ahead.segment(t.a);
      t.far_block = t.far == t.a ? 0 : tiles_.far_lines * kBlock;
      const bool last = first + rows == count;
      t.next_a = !last ? t.a + rows * kBlock : phase + 1 < phases_ ? a + (phase + 1) * phase_step : next;
      t.c = c + first * kBlock;
      t.residual = phase > 0 ? t.c : nullptr;
      tiles_.tile(RowStep::neighbours, panels, rows)(t);
    });
    ++fetched;
  }
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
  const auto output = lines_ ? kernels_.output_of_lines : kernels_.output;
  const long tile_floats = (lines_ ? kernels_.n() * kernels_.m : 1) * kBlock;  // from one tile to the next
  for (int p = 0; p < panels; ++p) {
    const long block = static_cast<long>(b.group) * panels_ + panel + p;
    o.bias = arrays.bias + block * kBlock;
    for (int t = 0; t < b.count; ++t) {
      const WinogradTile& at = tiling_[b.first + t];
      o.m = products + (static_cast<long>(p) * b.count + t) * tile_floats;
      o.y = arrays.y + at.image * out.image + block * out.plane + out.origin() + at.y / o.pool * out.row +
            at.x / o.pool * kBlock;
      if (arrays.residual)
        o.residual =
            arrays.residual + at.image * res.image + block * res.plane + res.origin() + at.y * res.row + at.x * kBlock;
      o.rows = at.rows;
      o.columns = at.columns;
      if (!b.irregular[t]) {
        output(o);
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
void Winograd::direct_tile(const ConvArrays& arrays, const WinogradTile& at, long block, float* tile) const noexcept {
  const Map& in = spec_.input;
  const int m = kernels_.m, r = kernels_.kernel(), s = kernels_.stride;
  const long group = block / panels_;
  const float* weights = group_weights(arrays, group) + block % panels_ * weight_steps_.panel;
  const float* plane = arrays.x + at.image * in.image + group * depth_blocks_ * in.plane + in.origin();
  // Folding fills kernels up with taps of zero, which no NaN may meet.
  const auto exists = [this](int tap, int phase) {
    return spec_.fold == 1 || tap * spec_.fold + phase < spec_.folded_kernel;
  };
  std::fill_n(tile, m * m * kBlock, 0.f);
  for (int c = 0; c < depth_; ++c) {
    float w[kMostWinogradTaps * kMostWinogradTaps * kBlock];
    matrices_.recover(weights + c * kBlock, weight_steps_.unit, w);
    for (int i = 0; i < m * m; ++i)
      for (int tap = 0; tap < r * r; ++tap) {
        const int y = (at.y + i / m) * s + tap / r - spec_.top, x = (at.x + i % m) * s + tap % r - spec_.left;
        if (y < 0 || y >= in.height || x < 0 || x >= in.width || !exists(tap / r, c / spec_.fold % spec_.fold) ||
            !exists(tap % r, c % spec_.fold))
          continue;
        const float value = plane[c / kBlock * in.plane + y * in.row + x * kBlock + c % kBlock];
        for (int l = 0; l < kBlock; ++l) tile[i * kBlock + l] += w[tap * kBlock + l] * value;
      }
  }
}

}  // namespace accel
