// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/sparse_conv.h"

#include <algorithm>
#include <stdexcept>

#include "runtime/pool.h"

namespace accel {
namespace {

constexpr long kLongRow = 64;  // values; with more, images share a tail

bool plain(const Map& map) { return !map.blocked && map.halo == 0; }

bool same_sizes(const Map& a, const Map& b) {
  return a.images == b.images && a.channels == b.channels && a.height == b.height && a.width == b.width;
}

// The wider tiles come first: the last has the tail, and its thread may have one more than the other.
Range tile_of(long vectors, long tile, long tiles) {
  const Range r = part_of(vectors, static_cast<int>(tiles - 1 - tile), static_cast<int>(tiles));
  return {vectors - r.end, vectors - r.begin};
}

void check(const ConvSpec& s, const std::vector<std::shared_ptr<const SparseMatrix>>& matrices) {
  const bool maps = plain(s.input) && plain(s.output) && (!s.has_residual || plain(s.residual)) &&
                    s.input.images == s.output.images && (!s.has_residual || same_sizes(s.residual, s.output));
  const bool window = s.kernel_h > 0 && s.kernel_w > 0 && s.stride_h > 0 && s.stride_w > 0 && s.top >= 0 &&
                      s.left >= 0 && s.dilation_h > 0 && s.dilation_w > 0;
  const bool groups = s.groups > 0 && s.input.channels % s.groups == 0 && s.output.channels % s.groups == 0 &&
                      std::ssize(matrices) == s.groups && s.input.pixels() > 0 && s.output.pixels() > 0;
  const bool pool = s.pool == 1 || (s.pool == 2 && !s.has_residual && s.activation.kind == Activation::Kind::clamp &&
                                    !matrices.empty() && matrices.front()->strips());
  if (!maps || !window || !groups || !pool || s.fold != 1)
    throw std::invalid_argument("sparse conv: maps, kernel or groups do not fit");
  const double depth = static_cast<double>(s.input.channels / s.groups) * s.kernel_h * s.kernel_w;
  for (const auto& m : matrices)
    if (m->rows() != s.output.channels / s.groups || static_cast<double>(m->columns()) != depth ||
        m->strips() != matrices.front()->strips())
      throw std::invalid_argument("sparse conv: a matrix does not fit");
}

}  // namespace

std::vector<StripTile> strip_tiles(int lanes, Range rows, long width, int pool) {
  std::vector<StripTile> tiles;
  const int most = lanes / pool >= 8 ? 2 : 1;  // y is written four at a time, whole vectors apart
  long column = 0;
  for (int segments = 1; segments <= most; ++segments) {
    const long wide = lanes / segments, high = kSpmmVectors / pool, results = (rows.end - rows.begin) / pool;
    const long units = (results + segments - 1) / segments, tall = (units + high - 1) / high;
    for (; column + wide <= width; column += wide)
      for (long i = 0; i < tall; ++i) {
        const Range part = part_of(units, static_cast<int>(i), static_cast<int>(tall));
        const long first = rows.begin + part.begin * segments * pool;
        tiles.push_back({first, column, static_cast<int>(part.end - part.begin), segments});
      }
  }
  if (column < width) return {};
  // Neighbours share what they read.
  std::stable_sort(tiles.begin(), tiles.end(), [](const StripTile& a, const StripTile& b) { return a.row < b.row; });
  return tiles;
}

// Segments take longer to pack and to write. Tried on Zen 4: 56 x 56 in three vectors and a half is 10 % faster than
// without strips with 32 or 64 channels, 2-6 % with 128 and 256 (and a maximum is taken at once), 40 x 40 in two and a
// half 5 %, 24 x 24 in one and a half 1 %; with vectors half as long 28 x 28 is 5 % faster, 12 x 12 4 % slower. 28 x 28
// in one vector and three quarters of one was slower, too.
bool strips_fit(int lanes, const SpmmWindow& window, long height, long width) {
  if (!strips_fit(lanes, window)) return false;
  long pixels = 0;
  for (const StripTile& t : strip_tiles(lanes, {0, height}, width, 1)) pixels += t.rows * static_cast<long>(lanes);
  return pixels > 0 && (width % lanes == 0 || (width >= 2l * lanes && pixels * 16 <= height * width * 17));
}

// Tried on Granite Rapids: a convolution of one tap tile by tile with the one before it, which leaves its results as
// the tile of the next. From many channels to few, pairs alone are 7-20 % faster, ResNet-50 2 %; from few to many,
// slower.
SparseConv::SparseConv(const ConvSpec& spec, std::vector<std::shared_ptr<const SparseMatrix>> matrices,
                       const TileSet& tiles, const PlaneKernels& planes, int threads)
    : spec_(spec), matrices_(std::move(matrices)), tiles_(tiles), planes_(planes), threads_(threads) {
  check(spec, matrices_);
  if (threads < 1) throw std::invalid_argument("sparse conv: threads do not fit");
  lanes_ = matrices_.front()->kernels().lanes;
  if (matrices_.front()->strips()) {
    prepare_strips();
    return;
  }
  int widest = kSpmmVectors;
  for (const auto& m : matrices_) widest = std::min(widest, m->vectors());
  const long pixels = spec.output.pixels(), left = pixels % lanes_;
  tail_ = lanes_ > 4 && pixels > lanes_ && left > 0 && left <= 4 && TapShifts::fits(spec);
  vectors_ = (pixels + (tail_ ? 0 : lanes_ - 1)) / lanes_;
  column_tiles_ = (vectors_ + widest - 1) / widest;
  if (TapShifts::fits(spec))
    taps_.emplace(spec, lanes_);
  else
    find_pixels();
  shared_tails_ = tail_ && left == 1 && share_tails();
  if (taps_ && taps_->strided()) phase_floats_ = (spec.input.channels * taps_->plane() + 15) / 16 * 16;
}

std::vector<StripTile> SparseConv::strips(Range rows) const {
  return strip_tiles(lanes_, rows, static_cast<long>(spec_.output.width) * spec_.pool, spec_.pool);
}

// A tail takes as long with one pixel as with four, which may be of four images. They lie far apart: results of short
// rows, and residuals, take more time than is saved. Measured on Zen 4, 7 x 7 and batch 16: 461 values a row 13 %
// faster, 102 to 205 values 5-11 %, 51 about as fast, with residuals 2-5 % slower. Tried: columns that are the pixels
// of all images side by side, in vectors that may lie in two: 6 % faster with 461 values, 18 % slower with 51 and
// residuals.
bool SparseConv::share_tails() const noexcept {
  return spec_.output.images > 1 && !spec_.has_residual && spec_.stride_h == 1 && spec_.stride_w == 1 &&
         std::all_of(matrices_.begin(), matrices_.end(),
                     [](const auto& m) { return m->values() > kLongRow * m->rows(); });
}

void SparseConv::prepare_strips() {
  strips_ = strips({0, static_cast<long>(spec_.output.height) * spec_.pool});
  bool fits = !strips_.empty() && spec_.stride_h == 1 && spec_.stride_w == 1;
  for (const auto& m : matrices_) {
    const SpmmWindow& w = m->window();
    fits = fits && w.kernel_h == spec_.kernel_h && w.kernel_w == spec_.kernel_w && w.dilation_h == spec_.dilation_h;
  }
  if (!fits) throw std::invalid_argument("sparse conv: a matrix packed for strips does not fit");
  const long channels = spec_.input.channels / spec_.groups;
  edge_floats_ = (channels * matrices_.front()->window().rows() + 15) / 16 * 16;
  tail_ = false;
  column_tiles_ = std::ssize(strips_);
}

void SparseConv::find_pixels() {
  const long width = spec_.output.width, pixels = spec_.output.pixels();
  const auto find = [&](long taps, long dilation, long before, long stride, long size, long step, bool row) {
    std::vector<std::int32_t> at;
    for (long t = 0; t < taps; ++t)
      for (long n = 0; n < vectors_ * lanes_; ++n) {
        const long i = (row ? n / width : n % width) * stride + t * dilation - before;
        at.push_back(n < pixels && i >= 0 && i < size ? static_cast<std::int32_t>(i * step) : -1);
      }
    return at;
  };
  row_at_ =
      find(spec_.kernel_h, spec_.dilation_h, spec_.top, spec_.stride_h, spec_.input.height, spec_.input.width, true);
  column_at_ = find(spec_.kernel_w, spec_.dilation_w, spec_.left, spec_.stride_w, spec_.input.width, 1, false);
}

void SparseConv::run(const ConvArrays& arrays, int threads) const noexcept {
  const int most = std::min(threads, threads_);
  const long images = spec_.output.images, together = phase_floats_ > 0 ? 1 : images;  // there are phases of one image
  const bool uneven = together % 2 != 0 && (tail_ || vectors_ % column_tiles_ != 0);
  for (long first = 0; first < images; first += together) {
    if (phase_floats_ > 0) split_phases(arrays.x + first * spec_.input.image, arrays.scratch, most);
    for (long g = 0; g < spec_.groups; ++g)
      share_tiles(*matrices_[static_cast<std::size_t>(g)], together * column_tiles_, uneven, most,
                  [&](Range tiles, Range parts, int thread) {
                    for (long end, t = tiles.begin; t < tiles.end; t = end) {
                      const long image = t / column_tiles_, begin = image * column_tiles_;
                      end = std::min(tiles.end, begin + column_tiles_);
                      ConvArrays here = of_image(arrays, first + image);
                      if (phase_floats_ > 0) here.x = arrays.scratch;
                      here.scratch += phase_floats_ + thread * thread_floats();
                      run_tiles(here, g, first + image, {t - begin, end - begin}, parts);
                    }
                  });
  }
}

void SparseConv::run_tiles(const ConvArrays& arrays, long group, long image, Range tiles, Range parts) const noexcept {
  if (!strips_.empty()) {
    const std::span<const StripTile> all(strips_);
    run_strips(arrays, group,
               all.subspan(static_cast<std::size_t>(tiles.begin), static_cast<std::size_t>(tiles.end - tiles.begin)),
               parts, {});
    return;
  }
  for (long t = tiles.begin; t < tiles.end; ++t) run_tile(arrays, group, t, tail_lanes(image), parts);
}

ConvArrays SparseConv::of_image(const ConvArrays& arrays, long image) const noexcept {
  ConvArrays here = arrays;
  here.x += image * spec_.input.image;
  here.y += image * spec_.output.image;
  if (here.residual) here.residual += image * spec_.residual.image;
  return here;
}

void SparseConv::split_phases(const float* x, float* phases, int threads) const noexcept {
  const Map& in = spec_.input;
  parallel(parts_for(static_cast<double>(in.image), in.channels, threads), [&](int part, int parts) {
    const Range r = part_of(in.channels, part, parts);
    for (long c = r.begin; c < r.end; ++c) taps_->split(x + c * in.plane, phases + c * taps_->plane(), planes_.copy);
  });
}

void SparseConv::gather(const float* x, long k, int count, long v, int n, float* tile) const noexcept {
  const long taps = static_cast<long>(spec_.kernel_h) * spec_.kernel_w, pixels = vectors_ * lanes_;
  for (long i = k; i < k + count; ++i) {
    const float* plane = x + i / taps * spec_.input.plane;
    const std::int32_t* rows = row_at_.data() + i % taps / spec_.kernel_w * pixels + v * lanes_;
    const std::int32_t* columns = column_at_.data() + i % taps % spec_.kernel_w * pixels + v * lanes_;
    for (int j = 0; j < n * lanes_; ++j) *tile++ = rows[j] < 0 || columns[j] < 0 ? 0.f : plane[rows[j] + columns[j]];
  }
}

// What is the same for all tiles of the rows of a group, `first` floats into each plane.
SpmmPiece SparseConv::results(const ConvArrays& arrays, long group, long first) const noexcept {
  const Activation& f = spec_.activation;
  const bool clamped = f.kind == Activation::Kind::clamp;
  const long filters = spec_.output.channels / spec_.groups;
  SpmmPiece to{};
  to.bias = arrays.bias + group * filters;
  to.low = clamped ? f.low : -std::numeric_limits<float>::infinity();
  to.high = clamped ? f.high : std::numeric_limits<float>::infinity();
  to.y = arrays.y + group * filters * spec_.output.plane + first;
  to.y_row = spec_.output.plane;
  if (arrays.residual) {
    to.residual = arrays.residual + group * filters * spec_.residual.plane + first;
    to.residual_row = spec_.residual.plane;
  }
  return to;
}

// What is read after `count` channels, from `channel` on, of a strip of n rows: further channels, or the strip to the
// right. Of each row one line, that of its last pixel: the strip to the left reads the others.
SpmmAhead SparseConv::next_block(const SpmmStrip& strip, const float* channels, long channel, int count,
                                 int n) const noexcept {
  const SpmmWindow& w = strip.window;
  const bool same = channel + count < spec_.input.channels / spec_.groups;
  const long wide = lanes_ / strip.segments;
  long last = strip.column + (w.kernel_w - 1l) * strip.dilation_w + (same ? 1 : 2) * wide - 1;
  if (same && strip.segments > 1) last = std::min(last, strip.width - 1);  // it reads more rows than those to the left
  if (last >= strip.width) return {};
  const long row = std::max(strip.row, 0l),
             end = std::min(strip.row + n * strip.segments + (w.kernel_h - 1l) * w.dilation_h, strip.height);
  const float* const from = channels + (same ? channel + count : 0) * strip.plane + row * strip.width + last;
  const int lines = static_cast<int>(std::max(end - row, 0l));
  return {from, strip.width, strip.plane, lines, static_cast<long>(lines) * count};
}

void SparseConv::run_strips(const ConvArrays& arrays, long group, std::span<const StripTile> tiles, Range parts,
                            const Rows& rows) const noexcept {
  float *left = arrays.scratch + SparseMatrix::scratch_floats(), *right = left + edge_floats_;
  const StripTile* before = nullptr;
  for (const StripTile& at : tiles) {
    const bool next = before && before->row == at.row && before->column + lanes_ == at.column;
    run_strip(arrays, group, at, parts, rows, {next ? left : nullptr, right});
    std::swap(left, right), before = &at;
  }
}

void SparseConv::run_strip(const ConvArrays& arrays, long group, const StripTile& at, Range parts, const Rows& rows,
                           const Edges& edges) const noexcept {
  const SparseMatrix& matrix = *matrices_[static_cast<std::size_t>(group)];
  const Map &in = spec_.input, &out = spec_.output;
  const int pool = spec_.pool;
  const int n = at.rows * pool;
  SpmmStrip strip{arrays.x + group * (in.channels / spec_.groups) * in.plane,
                  in.plane,
                  in.height - rows.x,
                  in.width,
                  at.row - spec_.top - rows.x,
                  at.column - spec_.left,
                  spec_.dilation_w,
                  at.segments,
                  matrix.window(),
                  edges.left,
                  edges.right};
  SpmmPiece to = results(arrays, group, (at.row / pool - rows.y) * out.width + at.column / pool);
  to.y_line = out.width;
  to.segments = at.segments;
  to.y_rows = std::min<long>(out.height, rows.end) - at.row / pool;
  to.halved = pool == 2;
  const float* const channels = strip.x;
  matrix.multiply(
      parts, n, false, to, arrays.scratch,
      [&](long k, int count, float* x_tile, float*) {
        const long channel = k / strip.window.taps(), edge = channel * strip.window.rows();
        strip.x = channels + channel * in.plane;
        strip.left = edges.left ? edges.left + edge : nullptr, strip.right = edges.right + edge;
        matrix.kernels().pack_strip(strip, count / strip.window.taps(), n, x_tile);
        return next_block(strip, channels, channel, count / strip.window.taps(), n);
      },
      [&](Range filters, float*) {
        if (spec_.activation.kind == Activation::Kind::clamp) return;
        for (long r = filters.begin; r < filters.end; ++r)
          for (long j = 0; j < std::min<long>(to.y_rows, static_cast<long>(n) * at.segments); ++j) {
            float* y = to.y + r * to.y_row + j * to.y_line;
            tiles_.activate(spec_.activation, y, y, lanes_ / at.segments);
          }
      });
}

// Of an image's last tile; 0 where it has no tail.
int SparseConv::tail_lanes(long image) const noexcept {
  if (!tail_) return 0;
  if (!shared_tails_) return static_cast<int>(spec_.output.pixels() % lanes_);
  const int before = static_cast<int>(image % 4);
  return before == 3 || image + 1 == spec_.output.images ? before + 1 : 0;
}

void SparseConv::activate(const SpmmPiece& to, Range rows, long columns) const noexcept {
  const Activation& f = spec_.activation;
  if (f.kind == Activation::Kind::clamp) return;
  for (long r = rows.begin; r < rows.end; ++r) {
    float* y = to.y + r * to.y_row;
    tiles_.activate(f, y, y, columns);
    for (int l = 1; to.tail_step > 0 && l < to.last_lanes; ++l) {
      float* last = y + columns - 1 - l * to.tail_step;
      tiles_.activate(f, last, last, 1);
    }
  }
}

void SparseConv::run_tile(const ConvArrays& arrays, long group, long tile, int tail_lanes, Range parts) const noexcept {
  const SparseMatrix& matrix = *matrices_[static_cast<std::size_t>(group)];
  const Range v = tile_of(vectors_, tile, column_tiles_);
  const int n = static_cast<int>(v.end - v.begin);
  const bool tail = tail_lanes > 0 && tile + 1 == column_tiles_, several = tail && shared_tails_;
  const long first = v.begin * lanes_, pixels = spec_.output.pixels(),
             columns = std::min(pixels, tail ? pixels : v.end * lanes_) - first;
  const long plane = taps_ ? taps_->plane() : spec_.input.plane;
  const float* channels = arrays.x + group * (spec_.input.channels / spec_.groups) * plane;
  SpmmImage image{};
  if (taps_) image = {channels, plane, taps_->taps(), taps_->at(), taps_->bits(), taps_->vectors()};
  if (several) image.tail_lanes = tail_lanes, image.tail_step = spec_.input.image;
  SpmmPiece to = results(arrays, group, first);
  to.last_lanes = tail ? tail_lanes : static_cast<int>(columns - (n - 1l) * lanes_);
  if (several) to.tail_step = spec_.output.image;
  matrix.multiply(
      parts, n, tail, to, arrays.scratch,
      [&](long k, int count, float* x_tile, float* tails) {
        if (taps_)
          matrix.kernels().pack_image[n](image, k, count, v.begin, x_tile, tails);
        else
          gather(channels, k, count, v.begin, n, x_tile);
        return SpmmAhead{};
      },
      [&](Range rows, float*) { activate(to, rows, columns); });
}

}  // namespace accel
