// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/im2col/im2col.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/layout/layout.h"
#include "runtime/pool.h"

namespace accel {
namespace {

constexpr long kCacheFloats = 64 * 1024;  // of copied windows, a quarter of a 1 MB L2 cache

// Where every output pixel, or what it reads first, lies in a plane of `map`.
std::vector<std::int32_t> pixels_at(const Map& map, const Map& out, long first, long down, long right) {
  std::vector<std::int32_t> at;
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x)
      at.push_back(static_cast<std::int32_t>(map.origin() + first + y * down + x * right));
  return at;
}

}  // namespace

Im2col::Im2col(const ConvSpec& spec, const TileSet& tiles, int threads)
    : spec_(spec), tiles_(tiles), threads_(threads) {
  check_conv(spec);
  const Map &in = spec.input, &out = spec.output;
  const double cells = static_cast<double>(in.channels / spec.groups) * spec.kernel_h * spec.kernel_w;
  if (in.blocked || threads < 1 || static_cast<double>(in.plane) * in.channels >= 2147483648.0 || cells >= 2147483648.0)
    throw std::invalid_argument("im2col: input map or threads do not fit");
  for (long c = 0; c < in.channels / spec.groups; ++c)
    for (long p = 0; p < spec.kernel_h; ++p)
      for (long q = 0; q < spec.kernel_w; ++q)
        cells_.push_back(static_cast<std::int32_t>(c * in.plane + p * spec.dilation_h * in.row + q * spec.dilation_w));
  depth_ = static_cast<int>(cells_.size());
  input_at_ = pixels_at(in, out, -spec.top * in.row - spec.left, spec.stride_h * in.row, spec.stride_w);
  output_at_ = pixels_at(out, out, 0, out.row, kBlock);
  if (spec.has_residual) residual_at_ = pixels_at(spec.residual, out, 0, spec.residual.row, kBlock);
  panels_ = (out.channels / spec.groups + kBlock - 1) / kBlock;
  step_ = std::min(tiles.most_panels, panels_);
  const long rows = tiles.rows(RowStep::neighbours, step_), block = std::max(kCacheFloats / depth_ / rows, 1l) * rows;
  blocks_ = (out.pixels() + block - 1) / block;
}

long Im2col::windows_floats() const noexcept {
  const long pixels = (spec_.output.pixels() + blocks_ - 1) / blocks_;
  return (depth_ + kBlock - 1l) / kBlock * kBlock * pixels;
}

void Im2col::run(const ConvArrays& arrays, int threads) const noexcept {
  const Map& out = spec_.output;
  const long units = static_cast<long>(out.images) * spec_.groups * blocks_;
  const double macs = static_cast<double>(out.pixels()) * out.images * out.channels * depth_;
  parallel(parts_for(macs, units, std::min(threads, threads_)), [&](int part, int parts) {
    const Range r = part_of(units, part, parts);
    for (long i = r.begin; i < r.end; ++i) run_unit(arrays, i, arrays.scratch + part * windows_floats());
  });
  zero_halo(out, arrays.y);
}

void Im2col::run_unit(const ConvArrays& arrays, long unit, float* windows) const noexcept {
  const Map& in = spec_.input;
  const long block = unit % blocks_, group = unit / blocks_ % spec_.groups, image = unit / blocks_ / spec_.groups;
  const long pixels = spec_.output.pixels();
  const Range range{pixels * block / blocks_, pixels * (block + 1) / blocks_};
  copy_windows(arrays.x + image * in.image + group * (in.channels / spec_.groups) * in.plane, range, windows);
  multiply(arrays, image, group, range, windows);
}

void Im2col::copy_windows(const float* planes, Range pixels, float* windows) const noexcept {
  for (long k = 0; k < depth_; k += kBlock) {
    const long lanes = std::min<long>(kBlock, depth_ - k);
    const std::int32_t* cells = cells_.data() + k;
    for (long i = pixels.begin; i < pixels.end; ++i, windows += kBlock) {
      const float* from = planes + input_at_[static_cast<std::size_t>(i)];
      for (long l = 0; l < lanes; ++l) windows[l] = from[cells[l]];
    }
  }
}

void Im2col::multiply(const ConvArrays& arrays, long image, long group, Range pixels,
                      const float* windows) const noexcept {
  const Map &out = spec_.output, &res = spec_.residual;
  const bool clamped = spec_.activation.kind == Activation::Kind::clamp;
  const int count = static_cast<int>(pixels.end - pixels.begin);
  Tile t = plain_tile();
  t.a_row = kBlock;
  t.a_block = t.own_ahead = static_cast<long>(count) * kBlock;
  t.inner = kBlock;
  t.depth = depth_;
  t.b_panel = static_cast<long>(depth_) * kBlock;
  if (clamped) t.low = spec_.activation.low, t.high = spec_.activation.high;
  t.c_panel = out.plane;
  t.residual_panel = res.plane;
  for (int p = 0; p < panels_; p += step_) {
    const int wide = std::min(step_, panels_ - p);
    const long panel = group * panels_ + p;
    t.b = arrays.weights + panel * t.b_panel;
    t.bias = arrays.bias + panel * kBlock;
    t.c = arrays.y + image * out.image + panel * out.plane;
    if (arrays.residual) t.residual = arrays.residual + image * res.image + panel * res.plane;
    split_rows(count, tiles_.rows(RowStep::neighbours, step_), [&](int first, int rows) {
      t.a = t.far = windows + first * kBlock;
      t.next_a = first + rows < count ? t.a + rows * kBlock : windows;
      t.c_at = output_at_.data() + pixels.begin + first;
      if (arrays.residual) t.residual_at = residual_at_.data() + pixels.begin + first;
      tiles_.tile(RowStep::neighbours, wide, rows)(t);
      if (!clamped)
        for (int w = 0; w < wide; ++w)
          for (int r = 0; r < rows; ++r) {
            float* y_pixel = t.c + t.c_at[r] + w * out.plane;
            tiles_.activate(spec_.activation, y_pixel, y_pixel, kBlock);
          }
    });
  }
}

}  // namespace accel
