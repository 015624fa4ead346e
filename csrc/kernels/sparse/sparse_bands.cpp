// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/sparse_bands.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "runtime/pool.h"

namespace accel {
namespace {

constexpr long kTallest = 2l * kSpmmVectors;      // tile, of two segments: bands are whole ones
constexpr long kBetweenFloats = 160 * 1024;       // of a band: 5 / 8 of a 1 MB L2 cache
constexpr long kWorthBands = 2 * kBetweenFloats;  // of the map between
constexpr long kBandsPerThread = 6;               // where there are several: one more or less is a sixth

long pixel_rows(const ConvSpec& s) { return static_cast<long>(s.output.height) * s.pool; }

long reach(const ConvSpec& s) { return (s.kernel_h - 1l) * s.dilation_h; }

// Rows of its input that the rows of a convolution's results read.
Range rows_read(const ConvSpec& s, Range rows) {
  const long end = std::clamp(rows.end + reach(s) - s.top, 0l, static_cast<long>(s.input.height));
  return {std::clamp(rows.begin - s.top, 0l, end), end};
}

double work(const ConvSpec& s, const SparseBands::Matrices& matrices) {
  double values = 0;
  for (const auto& m : matrices) values += static_cast<double>(m->values());
  return values * static_cast<double>(pixel_rows(s)) * s.output.width * s.pool * s.output.images;
}

// The first convolution, writing a map of which memory has the rows that one band needs.
ConvSpec into_bands(ConvSpec first, const ConvSpec& second, long rows) {
  Map& map = first.output;
  const Map& in = second.input;
  const bool same =
      map.images == in.images && map.channels == in.channels && map.height == in.height && map.width == in.width;
  if (!same || first.has_residual || first.pool != 1 || rows < kTallest || rows % kTallest != 0)
    throw std::invalid_argument("sparse bands: the convolutions do not fit");
  map.plane = (rows + reach(second)) * map.width;
  map.image = map.plane * map.channels;
  return first;
}

// The second one, reading it.
ConvSpec from_bands(ConvSpec second, const ConvSpec& first) {
  second.input = first.output;
  return second;
}

}  // namespace

long band_rows(const ConvSpec& second, int threads) {
  const Map& map = second.input;
  const long row = static_cast<long>(map.channels) * map.width;
  const long rows = (kBetweenFloats / row - reach(second)) / kTallest * kTallest;
  if (rows < kTallest || row * map.height < kWorthBands) return 0;
  const long bands = (pixel_rows(second) + rows - 1) / rows * map.images;
  return threads > 1 && bands < threads * kBandsPerThread ? 0 : rows;
}

SparseBands::SparseBands(ConvSpec first, Matrices first_matrices, ConvSpec second, Matrices second_matrices,
                         const TileSet& tiles, const PlaneKernels& planes, long rows, int threads)
    : work_(work(first, first_matrices) + work(second, second_matrices)),
      first_spec_(into_bands(std::move(first), second, rows)),
      second_spec_(from_bands(std::move(second), first_spec_)),
      first_(first_spec_, std::move(first_matrices), tiles, planes, threads),
      second_(second_spec_, std::move(second_matrices), tiles, planes, threads),
      threads_(threads),
      between_floats_((second_spec_.input.image + 15) / 16 * 16) {
  if (!first_.has_strips() || !second_.has_strips()) throw std::invalid_argument("sparse bands: not packed for strips");
  long held = 0;
  for (long row = 0; row < pixel_rows(second_spec_); row += rows) {
    Band band{{}, {row, std::min(row + rows, pixel_rows(second_spec_))}, {}, {}, {}};
    band.needed = rows_read(second_spec_, band.rows);
    held = std::max(held, band.needed.begin);
    band.alone = first_.strips(band.needed);
    band.further = first_.strips({held, band.needed.end});
    band.tiles = second_.strips(band.rows);
    held = band.needed.end;
    bands_.push_back(std::move(band));
  }
}

// `between` holds the rows `held` of the map, of the band before.
void SparseBands::run_band(const ConvArrays& arrays, const Band& band, Range held, float* between) const noexcept {
  const Map& map = second_spec_.input;
  const long first = band.needed.begin, kept = std::max(held.end - first, 0l);
  if (kept > 0 && first > held.begin)
    for (long c = 0; c < map.channels; ++c) {
      float* plane = between + c * map.plane;
      std::memmove(plane, plane + (first - held.begin) * map.width, static_cast<std::size_t>(kept * map.width) * 4);
    }
  ConvArrays to = arrays, from = arrays;
  to.y = between, to.residual = nullptr;
  from.x = between, from.bias += first_.bias_floats();
  first_.run_strips(to, kept > 0 ? band.further : band.alone, {0, first, band.needed.end});
  second_.run_strips(from, band.tiles, {first, 0});
}

void SparseBands::run(const ConvArrays& arrays, int threads) const noexcept {
  const long images = first_spec_.input.images, bands = std::ssize(bands_), all = images * bands;
  parallel(parts_for(work_, all, std::min(threads, threads_)), [&](int part, int parts) {
    float* const between = arrays.scratch + part * thread_floats();
    const Range units = part_of(all, part, parts);
    Range held{0, 0};
    for (long unit = units.begin; unit < units.end; ++unit) {
      const long image = unit / bands;
      const Band& band = bands_[static_cast<std::size_t>(unit % bands)];
      if (unit % bands == 0) held = {0, 0};
      ConvArrays here = second_.of_image(arrays, image);
      here.x += image * first_spec_.input.image;
      here.scratch = between + between_floats_;
      run_band(here, band, held, between);
      held = band.needed;
    }
  });
}

}  // namespace accel
