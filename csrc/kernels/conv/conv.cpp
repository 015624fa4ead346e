// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/conv/conv.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "kernels/layout/layout.h"
#include "runtime/pool.h"

namespace accel {
namespace {

constexpr long kTileBlockFloats = 64 * 1024;  // of the left operand, a quarter of a 1 MB L2 cache
constexpr int kFewDepth = 4 * kBlock;
constexpr long kFewPixels = 64;
constexpr double kEven = 0.03;  // shares that differ by less count as even

void check(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

std::vector<std::int32_t> pixel_offsets(const Map& map) {
  std::vector<std::int32_t> at(static_cast<std::size_t>(map.pixels()));
  for (int y = 0, i = 0; y < map.height; ++y)
    for (int x = 0; x < map.width; ++x, ++i)
      at[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(map.origin() + y * map.row + x * map.pixel());
  return at;
}

// Rows past the input that window `count - 1` of this stride reaches.
long overhang(int count, int stride, int kernel, int dilation, int before, int size) {
  return (count - 1L) * stride + (kernel - 1L) * dilation - before - (size - 1L);
}

// How much longer the largest of n shares of `count` takes than an equal one would.
double unevenness(long count, int n) noexcept {
  return static_cast<double>((count + n - 1) / n * n) / static_cast<double>(count);
}

}  // namespace

void check_conv(const ConvSpec& s) {
  const Map &in = s.input, &out = s.output;
  check(s.kernel_h > 0 && s.kernel_w > 0 && s.stride_h > 0 && s.stride_w > 0 && s.dilation_h > 0 && s.dilation_w > 0,
        "conv: kernel, strides and dilations must be positive");
  check(out.blocked && in.images == out.images && out.pixels() > 0, "conv: output map does not fit");
  check(s.groups > 0 && in.channels % s.groups == 0 && out.channels % s.groups == 0, "conv: channels and groups");
  check(s.groups == 1 || out.channels / s.groups % kBlock == 0, "conv: output channels per group");
  check(s.groups == 1 || !in.blocked || in.channels / s.groups % kBlock == 0, "conv: input channels per group");
  const long reach = std::max({static_cast<long>(s.top), static_cast<long>(s.left),
                               overhang(out.height * s.pool, s.stride_h, s.kernel_h, s.dilation_h, s.top, in.height),
                               overhang(out.width * s.pool, s.stride_w, s.kernel_w, s.dilation_w, s.left, in.width)});
  check(s.top >= 0 && s.left >= 0 && reach <= in.halo, "conv: halo too small");
  check(s.pool == 1 || (s.pool == 2 && !s.has_residual), "conv: pool");
  check(!s.has_residual ||
            (s.residual.blocked && s.residual.images == out.images && s.residual.channels == out.channels &&
             s.residual.height == out.height && s.residual.width == out.width),
        "conv: residual map does not fit");
}

std::size_t packed_size(long out, long depth, long taps) {
  return static_cast<std::size_t>((out + kBlock - 1) / kBlock * kBlock) * static_cast<std::size_t>(depth * taps);
}

void pack_weights(const float* w, long out, long depth, long taps, long inner, float* packed, int threads) {
  const long panels = (out + kBlock - 1) / kBlock, panel = depth * taps * kBlock;
  const auto pack_panel = [=](long p) {
    const long lanes = std::min<long>(kBlock, out - p * kBlock);
    float* to = packed + p * panel;
    for (long d0 = 0; d0 < depth; d0 += inner)
      for (long t = 0; t < taps; ++t)
        for (long d = d0; d < std::min(depth, d0 + inner); ++d, to += kBlock) {
          const float* from = w + (p * kBlock * depth + d) * taps + t;
          for (long l = 0; l < lanes; ++l) to[l] = from[l * depth * taps];
          for (long l = lanes; l < kBlock; ++l) to[l] = 0.f;
        }
  };
  parallel(parts_for(static_cast<double>(panels) * static_cast<double>(panel), panels, threads), [&](int part, int n) {
    const Range r = part_of(panels, part, n);
    for (long p = r.begin; p < r.end; ++p) pack_panel(p);
  });
}

Conv::Conv(const ConvSpec& spec, const TileSet& tiles) : spec_(spec), tiles_(tiles), gather_(!spec.input.blocked) {
  row_step_ = gather_ ? RowStep::gather : spec.stride_w == 1 ? RowStep::neighbours : RowStep::strided;
  check_conv(spec);
  const Map& in = spec.input;
  check(spec.pool == 1, "conv: pools nothing");
  depth_ = in.channels / spec.groups;
  check(!gather_ || static_cast<double>(depth_) * static_cast<double>(in.plane) < 2147483648.0,
        "conv: input planes too large");
  for (int c = 0; c < (gather_ ? depth_ : 1); ++c)
    for (int p = 0; p < spec.kernel_h; ++p)
      for (int q = 0; q < spec.kernel_w; ++q)
        taps_.push_back(
            static_cast<std::int32_t>(c * in.plane + p * spec.dilation_h * in.row + q * spec.dilation_w * in.pixel()));
  output_at_ = pixel_offsets(spec.output);
  if (spec.has_residual) residual_at_ = pixel_offsets(spec.residual);
  panels_ = (spec.output.channels / spec.groups + kBlock - 1) / kBlock;
  step_ = std::min(tiles.most_panels, panels_);
  panel_steps_ = (panels_ + step_ - 1) / step_;
  half_ = spec.output.channels / spec.groups <= panels_ * kBlock - kBlock / 2;
  add_groups();
  // In double: strides come from files, and their product may pass 2^63.
  const double floats = static_cast<double>(groups_.front().rows) * spec.stride_h * spec.stride_w * depth_;
  block_groups_ = static_cast<int>(std::clamp(kTileBlockFloats / floats, 1.0, static_cast<double>(groups_.size())));
  macs_ = static_cast<double>(spec.output.images) * static_cast<double>(spec.output.pixels()) * spec.output.channels *
          depth_ * spec.kernel_h * spec.kernel_w;
}

// Output pixels in groups, the rows of a tile, whose inputs are evenly spaced: whole planes where the input has
// no gaps between its rows, else row by row.
void Conv::add_groups() {
  const Map &in = spec_.input, &out = spec_.output;
  const bool one_row = in.halo == 0 && spec_.stride_h == 1 && spec_.stride_w == 1 && in.width == out.width;
  const int rows = one_row ? 1 : out.height, width = one_row ? static_cast<int>(out.pixels()) : out.width;
  for (int y = 0; y < rows; ++y) {
    const long a = in.origin() + (static_cast<long>(y) * spec_.stride_h - spec_.top) * in.row -
                   static_cast<long>(spec_.left) * in.pixel();
    split_rows(width, tiles_.rows(row_step_, step_), [&](int x, int n) {
      groups_.push_back(
          {static_cast<std::int32_t>(a + static_cast<long>(x) * spec_.stride_w * in.pixel()), y * width + x, n});
    });
  }
}

std::size_t Conv::weight_floats() const noexcept {
  return packed_size(spec_.output.channels, depth_, static_cast<long>(spec_.kernel_h) * spec_.kernel_w);
}

// The arrays of one thread, and what is left for it to fetch.
struct Conv::Share {
  const ConvArrays& arrays;
  Upcoming upcoming;

  // The next `floats` to fetch; null when there are none.
  const float* next(long floats) noexcept {
    if (floats == 0 || upcoming.floats < floats) return nullptr;
    upcoming.floats -= floats;
    return std::exchange(upcoming.from, upcoming.from + floats);
  }
};

// Shallow products fetch their own output instead, and a tile fetches once for all taps.
long Conv::fetched_by_tile() const noexcept {
  return gather_ || depth_ <= kFewDepth ? 0 : static_cast<long>(depth_ / kBlock) * tiles_.far_lines * kBlock;
}

long Conv::fetched_floats() const noexcept {
  return spec_.output.images * std::ssize(groups_) * spec_.groups * panel_steps_ * fetched_by_tile();
}

long Conv::streamed_floats() const noexcept {
  return spec_.output.images * spec_.output.pixels() > kFewPixels ? 0 : static_cast<long>(weight_floats());
}

void Conv::run(const ConvArrays& arrays, int threads) const noexcept {
  const long lines = spec_.output.images * std::ssize(groups_), steps = static_cast<long>(spec_.groups) * panel_steps_;
  const int n = parts_for(macs_, std::max(lines, steps), threads);
  // Shares of pixels read all weights each, shares of panels the whole input.
  const double by_lines = unevenness(lines, n), by_steps = unevenness(steps, n);
  const bool heavy = static_cast<long>(weight_floats()) > spec_.input.size();
  const bool split_steps = heavy ? by_steps <= by_lines + kEven : by_steps + kEven < by_lines;
  parallel(n, [&](int part, int parts) {
    const Range fetched = part_of(arrays.upcoming.floats, part, parts);
    run_share({arrays, {arrays.upcoming.from + fetched.begin, fetched.end - fetched.begin}},
              split_steps ? Range{0, lines} : part_of(lines, part, parts),
              split_steps ? part_of(steps, part, parts) : Range{0, steps});
  });
  zero_halo(spec_.output, arrays.y);
}

// Blocks of pixel groups, whose input stays in the L2 cache, times steps of panels, which stream.
void Conv::run_share(Share share, Range lines, Range steps) const noexcept {
  const long per_image = std::ssize(groups_);
  for (long line = lines.begin; line < lines.end;) {
    const long first = line % per_image, count = std::min(lines.end - line, per_image - first);
    const int blocks = static_cast<int>((count + block_groups_ - 1) / block_groups_);
    for (int b = 0; b < blocks; ++b) {
      const Range r = part_of(count, b, blocks);
      for (long step = steps.begin; step < steps.end; ++step)
        run_block(share, line / per_image, {first + r.begin, first + r.end}, step);
    }
    line += count;
  }
}

// What all tiles have in common.
Tile Conv::common_tile() const noexcept {
  Tile t = plain_tile();
  t.a_row = static_cast<long>(spec_.stride_w) * spec_.input.pixel();
  t.a_block = t.own_ahead = gather_ ? 0 : spec_.input.plane;
  t.inner = gather_ ? 1 : kBlock;
  t.depth = gather_ ? 1 : depth_;
  t.taps = taps_.data();
  t.tap_count = static_cast<int>(taps_.size());
  t.b_panel = static_cast<long>(depth_) * spec_.kernel_h * spec_.kernel_w * kBlock;
  if (spec_.activation.kind == Activation::Kind::clamp) t.low = spec_.activation.low, t.high = spec_.activation.high;
  t.c_panel = spec_.output.plane;
  t.residual_panel = spec_.residual.plane;
  // Lines of the output, ahead of the stores: those of the tile's panels, where depth leaves no time to wait for them.
  t.far_block = depth_ <= kFewDepth ? spec_.output.plane : 0;
  return t;
}

// Some groups of an image's pixels times one step of panels.
void Conv::run_block(Share& share, long image, Range range, long unit) const noexcept {
  const ConvArrays& arrays = share.arrays;
  const Map &in = spec_.input, &out = spec_.output, &res = spec_.residual;
  const long g = unit / panel_steps_, step = unit % panel_steps_, p = g * panels_ + step * step_;
  const int wide = static_cast<int>(std::min<long>(step_, panels_ - step * step_));
  const bool half = row_step_ == RowStep::neighbours && step + 1 == panel_steps_ && half_;
  const float* a = arrays.x + image * in.image + g * (gather_ ? depth_ : depth_ / kBlock) * in.plane;
  Tile t = common_tile();
  t.b = arrays.weights + p * t.b_panel;
  t.bias = arrays.bias + p * kBlock;
  t.c = arrays.y + image * out.image + p * out.plane;
  if (arrays.residual) t.residual = arrays.residual + image * res.image + p * res.plane;
  for (long i = range.begin; i < range.end; ++i) {
    const Group& group = groups_[static_cast<std::size_t>(i)];
    t.a = a + group.a;
    const float* upcoming = share.next(fetched_by_tile());
    t.far = upcoming ? upcoming : t.c + output_at_[static_cast<std::size_t>(group.pixel)];
    if (depth_ > kFewDepth) t.far_block = upcoming ? tiles_.far_lines * kBlock : 0;
    t.next_a = a + groups_[static_cast<std::size_t>(i + 1 < range.end ? i + 1 : range.begin)].a;
    t.c_at = output_at_.data() + group.pixel;
    if (arrays.residual) t.residual_at = residual_at_.data() + group.pixel;
    if (half)
      tiles_.halved[wide][group.rows](t);
    else
      tiles_.tile(row_step_, wide, group.rows)(t);
    if (spec_.activation.kind != Activation::Kind::clamp) activate(t, wide, group.rows);
  }
}

// Pixels that lie side by side at once: a call for each costs much beside a shallow tile.
void Conv::activate(const Tile& t, int panels, int rows) const noexcept {
  for (int first = 0, end; first < rows; first = end) {
    end = first + 1;
    while (end < rows && t.c_at[end] == t.c_at[end - 1] + kBlock) ++end;
    for (int p = 0; p < panels; ++p) {
      float* y = t.c + t.c_at[first] + p * t.c_panel;
      tiles_.activate(spec_.activation, y, y, static_cast<long>(end - first) * kBlock);
    }
  }
}

}  // namespace accel
