// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/binary/binary.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>

#include "kernels/binary/copy_bits.h"

#define ACCEL_KERNEL_FILE "kernels/binary/binary.inl.h"
#include "simd/foreach_isa.h"

namespace accel {

#define ACCEL_TABLE_ENTRY kBinaryKernels
const BinaryKernels* const kBinary[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kPixelsTogether = 256;  // of small images, so that the weights of a panel are read for more than a few
constexpr long kTilesEach = 8;         // of a thread, so that splitting by them is even enough
constexpr double kMacsWorthOne = 20;   // binary multiply-adds in the time of a float's
constexpr std::int32_t kMostOffset = std::numeric_limits<std::int32_t>::max();

int output_size(int size, int kernel, int stride, int dilation, long pads) {
  const long room = size + pads - static_cast<long>(dilation) * (kernel - 1) - 1;
  return room < 0 ? 0 : static_cast<int>(room / stride + 1);
}

// The taps of one axis that fall inside the image for output i: first .. last-1.
std::pair<int, int> taps_inside(long i, int stride, int before, int kernel, int dilation, int size) {
  const long start = i * stride - before;
  int first = 0, last = kernel;
  while (first < kernel && start + static_cast<long>(first) * dilation < 0) ++first;
  while (last > first && start + static_cast<long>(last - 1) * dilation >= size) --last;
  return {first, last};
}

}  // namespace

BinaryConv::BinaryConv(std::shared_ptr<const BinaryFilters> filters, int images, int height, int width,
                       const BinaryLayout& y, const BinaryLayout& residual, const BinarySigns& signs)
    : filters_(std::move(filters)), images_(images), height_(height), width_(width) {
  const BinaryGeometry& g = filters_->geometry();
  out_h_ = output_size(height, g.kernel_h, g.stride_h, g.dilation_h, static_cast<long>(g.top) + g.bottom);
  out_w_ = output_size(width, g.kernel_w, g.stride_w, g.dilation_w, static_cast<long>(g.left) + g.right);
  if (images < 1 || height < 1 || width < 1 || out_h_ < 1 || out_w_ < 1)
    throw std::invalid_argument("binary conv: the kernel does not fit the image");
  padded_ = g.top > 0 || g.left > 0 || g.bottom > 0 || g.right > 0;
  blocked_ = !y.pixel_major;
  padded_h_ = static_cast<long>(height) + g.top + g.bottom;
  padded_w_ = static_cast<long>(width) + g.left + g.right;
  const double pixels = static_cast<double>(out_h_) * out_w_;
  together_ = static_cast<int>(std::min<double>(images, std::max(1.0, kPixelsTogether / pixels)));
  find_windows();
  find_borders();
  fill_rows();
  if (filters_->epilogue().output != BinaryOutput::reals) return;
  y_ = places(y);
  residual_ = places(residual);
  fill_signs(signs);
}

void BinaryConv::find_windows() {
  const BinaryGeometry& g = filters_->geometry();
  const long pixels = static_cast<long>(out_h_) * out_w_, words = g.image_words();
  const bool side_by_side = filters_->side_by_side();
  const double image = static_cast<double>(padded_h_) * static_cast<double>(padded_w_) * static_cast<double>(words);
  const double windows = static_cast<double>(pixels) * filters_->words();
  if (std::max(image, windows) * together_ > kMostOffset || static_cast<double>(pixels) * together_ > kMostOffset)
    throw std::length_error("binary conv: the image is too large");
  for (long t = 0; t < together_; ++t)
    for (long i = 0; i < out_h_; ++i)
      for (long j = 0; j < out_w_; ++j) {
        const long pixel = (t * out_h_ + i) * out_w_ + j;
        const long corner = ((t * padded_h_ + i * g.stride_h) * padded_w_ + j * g.stride_w) * words;
        pixel_at_.push_back(static_cast<std::int32_t>(side_by_side ? pixel * filters_->words() : corner));
      }
  const long tap_words = words_of(g.channels);
  for (long k = 0; k < filters_->words(); ++k) {
    const long tap = k / tap_words, row = tap / g.kernel_w * g.dilation_h, column = tap % g.kernel_w * g.dilation_w;
    word_at_.push_back(
        static_cast<std::int32_t>(side_by_side ? k : (row * padded_w_ + column) * words + k % tap_words));
  }
  long staged = 0;  // words that the tiles read
  if (side_by_side) {
    staged = together_ * pixels * filters_->words();
    stream_words_ = words_of(padded_w_ * g.channels);
    scratch_words_ = together_ * padded_h_ * stream_words_ + staged;
  } else {
    staged = together_ * padded_h_ * padded_w_ * words;
    scratch_words_ = padded_ ? staged : 0;
  }
  spread_at_ = scratch_words_;
  if (filters_->kernels().nibbles) scratch_words_ += staged * kNibbleBytes / 8;
}

void BinaryConv::find_borders() {
  const BinaryGeometry& g = filters_->geometry();
  const int row = filters_->panels() * filters_->panel_filters();
  for (long i = 0; i < out_h_; ++i)
    for (long j = 0; j < out_w_; ++j) {
      std::array<int, 4> inside = {0, g.kernel_h, 0, g.kernel_w};
      if (g.pad_value >= 0) {
        std::tie(inside[0], inside[1]) = taps_inside(i, g.stride_h, g.top, g.kernel_h, g.dilation_h, height_);
        std::tie(inside[2], inside[3]) = taps_inside(j, g.stride_w, g.left, g.kernel_w, g.dilation_w, width_);
      }
      auto at = std::find(inside_.begin(), inside_.end(), inside);
      row_at_.push_back(static_cast<std::int32_t>(at - inside_.begin()) * row);
      if (at == inside_.end()) inside_.push_back(inside);
    }
  const std::size_t pixels = row_at_.size();
  row_at_.resize(pixels * static_cast<std::size_t>(together_));
  for (std::size_t p = pixels; p < row_at_.size(); ++p) row_at_[p] = row_at_[p - pixels];
}

void BinaryConv::fill_rows() {
  const BinaryGeometry& g = filters_->geometry();
  const BinaryEpilogue& e = filters_->epilogue();
  const auto panel = static_cast<std::size_t>(filters_->panel_filters());
  const std::size_t row = static_cast<std::size_t>(filters_->panels()) * panel;
  const bool bits = e.output == BinaryOutput::bits;
  rows_.assign(inside_.size() * row, bits ? -1 : 0);  // no count is at most -1: filters that do not exist are 0
  flip_.assign(static_cast<std::size_t>(filters_->panels()), 0);
  scale_.assign(row, 0.f), bias_.assign(row, 0.f);
  if (bits && filters_->kernels().quads) limits_.assign(rows_.size(), 0);
  for (int f = 0; f < g.filters; ++f) {
    const int group = f / g.group_filters(), i = f % g.group_filters();
    const std::size_t at =
        static_cast<std::size_t>(group * filters_->group_panels()) * panel + static_cast<std::size_t>(i);
    const auto filter = static_cast<std::size_t>(f);
    const bool below = bits && e.below[filter] != 0;
    if (below) flip_[at / panel] |= std::uint64_t{1} << at % panel;
    if (e.output == BinaryOutput::reals) scale_[at] = e.scale[filter], bias_[at] = e.bias[filter];
    for (std::size_t b = 0; b < inside_.size(); ++b) {
      long outside = 0;
      for (int p = 0; p < g.kernel_h; ++p)
        for (int q = 0; q < g.kernel_w; ++q)
          if (p < inside_[b][0] || p >= inside_[b][1] || q < inside_[b][2] || q >= inside_[b][3])
            outside += filters_->tap_sum(f, p * g.kernel_w + q);
      const long most = g.terms() + (g.pad_value + 1) * outside;  // the count where no bits differ
      // count >= least  is  popcount <= (most - least) / 2, rounded down; count <= at is not count >= at + 1.
      const long least = bits ? std::clamp<long>(e.at[filter], -kMostOffset, kMostOffset - 1l) + (below ? 1 : 0) : 0;
      rows_[b * row + at] = static_cast<std::int32_t>(bits ? std::max((most - least) >> 1, -1l) : most);
      if (!limits_.empty())
        limits_[b * row + at] = static_cast<std::uint16_t>(std::min(rows_[b * row + at] + 1l, 0xffffl));
    }
  }
}

void BinaryConv::fill_signs(const BinarySigns& signs) {
  const BinaryGeometry& g = filters_->geometry();
  const auto filters = static_cast<std::size_t>(g.filters), panel = static_cast<std::size_t>(filters_->panel_filters());
  if (signs.at.empty()) return;
  if (!blocked_ || signs.at.size() != filters || signs.below.size() != filters)
    throw std::invalid_argument("binary conv: signs want a map and a threshold of each filter");
  const std::size_t row = static_cast<std::size_t>(filters_->panels()) * panel;
  turn_.assign(row, 1.f), limit_.assign(row, std::numeric_limits<float>::infinity());
  for (std::size_t f = 0; f < filters; ++f) {
    const auto size = static_cast<std::size_t>(g.group_filters()), group = f / size;
    const std::size_t at = group * static_cast<std::size_t>(filters_->group_panels()) * panel + f % size;
    turn_[at] = signs.below[f] ? -1.f : 1.f;
    limit_[at] = turn_[at] * signs.at[f];
  }
}

// Bits of a group that begin inside a vector's.
bool BinaryConv::panels_share_words() const noexcept {
  const BinaryGeometry& g = filters_->geometry();
  return filters_->epilogue().output == BinaryOutput::bits && g.groups > 1 &&
         g.group_filters() % filters_->panel_filters() != 0;
}

BinaryConv::Places BinaryConv::places(const BinaryLayout& layout) const {
  const BinaryGeometry& g = filters_->geometry();
  const Map& m = layout.map;
  const bool fits = m.blocked && m.images == images_ && m.channels == g.filters && m.height == out_h_ &&
                    m.width == out_w_ && (g.groups == 1 || g.group_filters() % kBlock == 0);
  if (!layout.pixel_major && !fits) throw std::invalid_argument("binary conv: map does not fit");
  const long pixels = static_cast<long>(out_h_) * out_w_;
  Places p;
  p.block = layout.pixel_major ? kBlock : m.plane;
  p.image = layout.pixel_major ? pixels * g.filters : m.image;
  if (static_cast<double>(p.image) * together_ > kMostOffset)
    throw std::length_error("binary conv: the result is too large");
  for (long t = 0; t < together_; ++t)
    for (long i = 0; i < pixels; ++i) {
      const long at = layout.pixel_major ? i * g.filters : m.origin() + i / out_w_ * m.row + i % out_w_ * kBlock;
      p.at.push_back(static_cast<std::int32_t>(t * p.image + at));
    }
  return p;
}

void BinaryConv::run(const BinaryArrays& arrays, int threads) const noexcept {
  const BinaryGeometry& g = filters_->geometry();
  const long image_words = static_cast<long>(height_) * width_ * g.image_words();
  if (filters_->epilogue().output == BinaryOutput::bits && (g.filters % kWordBits != 0 || panels_share_words()))
    std::fill_n(static_cast<std::uint64_t*>(arrays.y), words_of(g.filters) * images_ * out_h_ * out_w_, 0u);
  if (arrays.signs && g.filters % kWordBits != 0)
    std::fill_n(arrays.signs, words_of(g.filters) * images_ * out_h_ * out_w_, 0u);
  auto* scratch = static_cast<std::uint64_t*>(arrays.scratch);
  for (long image = 0; image < images_; image += together_) {
    const std::uint64_t* x = arrays.x + image * image_words;
    Batch batch{image, std::min<long>(together_, images_ - image), 0, filters_->panels()};
    if (filters_->side_by_side()) {
      batch.panels = filters_->group_panels();
      for (; batch.panel < filters_->panels(); batch.panel += batch.panels) {
        gather(x, scratch, batch, threads);
        const std::uint64_t* windows = scratch + together_ * padded_h_ * stream_words_;
        multiply(arrays, batch, spread(windows, scratch, batch.images * out_h_ * out_w_ * filters_->words(), threads),
                 threads);
      }
      continue;
    }
    if (padded_) pad(x, scratch, batch, threads);
    const long words = batch.images * padded_h_ * padded_w_ * g.image_words();
    multiply(arrays, batch, spread(padded_ ? scratch : x, scratch, words, threads), threads);
  }
}

void BinaryConv::pad(const std::uint64_t* x, std::uint64_t* to, const Batch& batch, int threads) const noexcept {
  const BinaryGeometry& g = filters_->geometry();
  const long words = g.image_words(), rows = batch.images * padded_h_, width = width_ * words;
  const long left = g.left * words, row = padded_w_ * words;
  parallel(parts_for(static_cast<double>(rows * row), rows, threads), [&](int part, int parts) {
    const Range r = part_of(rows, part, parts);
    for (long i = r.begin; i < r.end; ++i) {
      const long y = i % padded_h_ - g.top;
      std::uint64_t* line = to + i * row;
      if (y < 0 || y >= height_) {
        std::fill_n(line, row, 0u);
        continue;
      }
      std::fill_n(line, left, 0u);
      std::copy_n(x + (i / padded_h_ * height_ + y) * width, width, line + left);
      std::fill_n(line + left + width, row - left - width, 0u);
    }
  });
}

// The image as tiles read it: itself, or a copy behind everything else in the scratch, a byte for each nibble.
const std::uint64_t* BinaryConv::spread(const std::uint64_t* x, std::uint64_t* scratch, long words,
                                        int threads) const noexcept {
  if (!filters_->kernels().nibbles) return x;
  std::uint64_t* to = scratch + spread_at_;
  parallel(parts_for(static_cast<double>(words) * 4, words, threads), [&](int part, int parts) {
    const Range r = part_of(words, part, parts);
    for (long k = r.begin; k < r.end; ++k)
      for (int half = 0; half < 2; ++half) {
        std::uint64_t v = x[k] >> 32 * half & 0xffffffffu;  // eight nibbles to eight bytes
        v = (v | v << 16) & 0x0000ffff0000ffffu;
        v = (v | v << 8) & 0x00ff00ff00ff00ffu;
        v = (v | v << 4) & 0x0f0f0f0f0f0f0f0fu;
        to[2 * k + half] = v << 4;
      }
  });
  return to;
}

// The bits of a group in every padded row side by side, then those of every window.
void BinaryConv::gather(const std::uint64_t* x, std::uint64_t* scratch, const Batch& batch,
                        int threads) const noexcept {
  const BinaryGeometry& g = filters_->geometry();
  const long words = g.image_words(), rows = batch.images * padded_h_, channels = g.channels;
  const long first = batch.panel / filters_->group_panels() * channels;
  std::uint64_t* windows = scratch + together_ * padded_h_ * stream_words_;
  parallel(parts_for(static_cast<double>(rows * width_) * 8, rows, threads), [&](int part, int parts) {
    const Range r = part_of(rows, part, parts);
    for (long i = r.begin; i < r.end; ++i) {
      const long y = i % padded_h_ - g.top;
      std::uint64_t* line = scratch + i * stream_words_;
      std::fill_n(line, stream_words_, 0u);
      if (y < 0 || y >= height_) continue;
      const std::uint64_t* from = x + (i / padded_h_ * height_ + y) * width_ * words;
      for (long j = 0; j < width_; ++j) copy_bits(from + j * words, first, line, (g.left + j) * channels, channels);
    }
  });
  const long lines = batch.images * out_h_;
  const long runs = g.dilation_w == 1 ? 1 : g.kernel_w, run = g.kernel_w / runs * channels;
  parallel(parts_for(static_cast<double>(lines * out_w_) * 32, lines, threads), [&](int part, int parts) {
    const Range r = part_of(lines, part, parts);
    for (long i = r.begin; i < r.end; ++i) {
      const std::uint64_t* top = scratch + (i / out_h_ * padded_h_ + i % out_h_ * g.stride_h) * stream_words_;
      for (long j = 0; j < out_w_; ++j) {
        std::uint64_t* window = windows + (i * out_w_ + j) * filters_->words();
        std::fill_n(window, filters_->words(), 0u);
        for (long p = 0, to = 0; p < g.kernel_h; ++p)
          for (long q = 0; q < runs; ++q, to += run)
            copy_bits(top + p * g.dilation_h * stream_words_, (j * g.stride_w + q * g.dilation_w) * channels, window,
                      to, run);
      }
    }
  });
}

void BinaryConv::multiply(const BinaryArrays& arrays, const Batch& batch, const std::uint64_t* image,
                          int threads) const noexcept {
  const long pixels = batch.images * out_h_ * out_w_, step = filters_->kernels().pixels;
  const long tiles = (pixels + step - 1) / step;
  // A thread takes all panels of its pixels where there are enough: two that share pixels write to the same lines.
  const bool by_pixels = panels_share_words() || tiles >= kTilesEach * threads;
  const long panels = by_pixels ? 1 : batch.panels;
  const double work = static_cast<double>(pixels) * filters_->words() * kWordBits * filters_->panel_filters() *
                      static_cast<double>(batch.panels) / kMacsWorthOne;
  parallel(parts_for(work, panels * tiles, threads), [&](int part, int parts) {
    const Range r = part_of(panels * tiles, part, parts);
    for (long i = r.begin, n; i < r.end; i += n) {
      const long tile = i % tiles;
      n = std::min(r.end - i, tiles - tile);
      const Range mine = {tile * step, std::min(pixels, (tile + n) * step)};
      for (long p = 0; p < (by_pixels ? batch.panels : 1); ++p)
        run_panel(arrays, batch, image, batch.panel + (by_pixels ? p : i / tiles), mine);
    }
  });
}

void BinaryConv::run_panel(const BinaryArrays& arrays, const Batch& batch, const std::uint64_t* image, long panel,
                           Range pixels) const noexcept {
  const BinaryGeometry& g = filters_->geometry();
  const BinaryKernels& kernels = filters_->kernels();
  const long group = panel / filters_->group_panels(), size = filters_->panel_filters();
  const long within = panel % filters_->group_panels() * size;
  const long filter = group * g.group_filters() + within, area = static_cast<long>(out_h_) * out_w_;
  BinaryPanel p{};
  p.image = image;
  if (!filters_->side_by_side()) p.image += group * (g.channels / kWordBits) * (kernels.nibbles ? 2 : 1);
  p.pixel_at = pixel_at_.data(), p.word_at = word_at_.data(), p.words = filters_->words();
  p.weights = filters_->panel(panel);
  p.rows = rows_.data() + panel * size, p.row_at = row_at_.data(), p.one_row = inside_.size() == 1;
  if (filters_->is_quad(panel)) p.limits = limits_.data() + panel * size;
  p.filters = static_cast<int>(std::min(size, g.group_filters() - within));
  p.first = pixels.begin, p.last = pixels.end;
  switch (filters_->epilogue().output) {
    case BinaryOutput::counts: {
      auto* y = static_cast<std::int32_t*>(arrays.y) + batch.image * area * g.filters + filter;
      return kernels.counts(p, {y, g.filters});
    }
    case BinaryOutput::bits: {
      auto* y = static_cast<std::uint8_t*>(arrays.y) + batch.image * area * words_of(g.filters) * 8;
      return run_bits(p, y, flip_[static_cast<std::size_t>(panel)], filter);
    }
    case BinaryOutput::reals: {
      const bool signs = arrays.signs != nullptr && !limit_.empty();
      const long words = words_of(g.filters);
      auto* bits =
          signs ? reinterpret_cast<std::uint8_t*>(arrays.signs + batch.image * area * words) + filter / 8 : nullptr;
      if (blocked_) p.filters = (p.filters + kBlock - 1) / kBlock * kBlock;
      const auto at = [&](const Places& places) { return filter / kBlock * places.block + filter % kBlock; };
      const float* scale = arrays.pixel_scale ? arrays.pixel_scale + batch.image * area : nullptr;
      const float* residual =
          arrays.residual ? arrays.residual + batch.image * residual_.image + at(residual_) : nullptr;
      return kernels.reals(
          p, {static_cast<float*>(arrays.y) + batch.image * y_.image + at(y_), y_.at.data(), y_.block,
              scale_.data() + panel * size, bias_.data() + panel * size, scale, residual, residual_.at.data(),
              residual_.block, filters_->epilogue().activation, bits, words * 8,
              signs ? turn_.data() + panel * size : nullptr, signs ? limit_.data() + panel * size : nullptr});
    }
  }
}

void BinaryConv::run_bits(const BinaryPanel& panel, std::uint8_t* y, std::uint64_t flip, long filter) const noexcept {
  const BinaryKernels& kernels = filters_->kernels();
  const long pixel = words_of(filters_->geometry().filters) * 8;
  if (!panels_share_words()) return kernels.bits(panel, {y + filter / 8, pixel, flip});
  constexpr long kSome = 64;
  for (long first = panel.first, last = panel.last; first < last; first += kSome) {
    std::uint64_t some[kSome] = {};
    BinaryPanel part = panel;
    part.pixel_at += first, part.row_at += first;
    part.first = 0, part.last = std::min(kSome, last - first);
    kernels.bits(part, {reinterpret_cast<std::uint8_t*>(some), 8, flip});
    for (long i = 0; i < part.last; ++i)
      copy_bits(some + i, 0, reinterpret_cast<std::uint64_t*>(y + (first + i) * pixel), filter, panel.filters);
  }
}

}  // namespace accel
