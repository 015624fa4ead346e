// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "kernels/layout/layout.h"
#include "kernels/movement/movement.h"
#include "runtime/pool.h"

namespace accel {
namespace {

// f(image, plane, row) for every row of every block, split over the threads.
template <class F>
void for_rows(const Map& map, int threads, F&& f) {
  const long rows = static_cast<long>(map.images) * map.planes() * map.height;
  parallel(parts_for(static_cast<double>(rows) * map.width * kBlock, rows, threads), [&](int part, int parts) {
    const Range r = part_of(rows, part, parts);
    for (long i = r.begin; i < r.end; ++i)
      f(i / map.height / map.planes(), i / map.height % map.planes(), i % map.height);
  });
}

// The places i of 0 .. size-1 whose source first + i step is inside 0 .. length-1.
Range places_inside(long first, long step, long size, long length) noexcept {
  long begin = 0, end = size;
  if (step < 0) first = length - 1 - first, step = -step;
  if (first < 0) begin = (-first + step - 1) / step;
  if (first + (size - 1) * step >= length) end = first >= length ? 0 : (length - first + step - 1) / step;
  return {std::min(begin, size), std::max(std::min(begin, size), end)};
}

// The lanes of block `plane` of the target that have a source channel, and the channel of the first.
struct Lanes {
  int begin, end, channel;
};
Lanes lanes_of(const MapWindow& s, long plane) noexcept {
  const long low = plane * kBlock - s.channel;  // the source channel of lane 0
  const long high = std::min<long>(s.from.channels, s.to.channels - static_cast<long>(s.channel));
  const int begin = static_cast<int>(std::clamp<long>(-low, 0, kBlock));
  const int end = static_cast<int>(std::clamp<long>(high - low, begin, kBlock));
  return {begin, end, static_cast<int>(low + begin)};
}

// `count` lanes of `pixels` pixels; the common counts are moves of a fixed size.
void copy_lanes(const float* x, long step, float* y, long pixels, int count) noexcept {
  const auto each = [&](auto&& move) {
    for (long i = 0; i < pixels; ++i) move(y + i * kBlock, x + i * step);
  };
  if (count == kBlock)
    each([](float* to, const float* from) { std::memcpy(to, from, kBlock * sizeof(float)); });
  else if (count == kBlock / 2)
    each([](float* to, const float* from) { std::memcpy(to, from, kBlock / 2 * sizeof(float)); });
  else
    each([=](float* to, const float* from) { std::copy_n(from, count, to); });
}

// What the lanes of a block hold where there is no source; lanes past the last channel are zero.
void fill_row(const MapWindow& s, long plane, float* y) noexcept {
  float values[kBlock] = {};
  std::fill_n(values, std::min<long>(kBlock, s.to.channels - plane * kBlock), s.value);
  for (int i = 0; i < s.to.width; ++i) std::memcpy(y + long{i} * kBlock, values, sizeof(values));
}

template <int COUNT>
void last_channels(const float* x, long pixels, float* y, long step) noexcept {
  for (long i = 0; i < pixels; ++i) std::memcpy(y + i * step, x + i * kBlock, COUNT * sizeof(float));
}
using LastChannels = void (*)(const float* x, long pixels, float* y, long step) noexcept;

template <int... I>
constexpr std::array<LastChannels, kBlock> last_channels_table(std::integer_sequence<int, I...>) {
  return {&last_channels<I + 1>...};
}
constexpr auto kLastChannels = last_channels_table(std::make_integer_sequence<int, kBlock>{});

}  // namespace

void check_map_window(const MapWindow& s) {
  if (!s.from.blocked || !s.to.blocked || s.from.images != s.to.images || s.step_h == 0 || s.step_w == 0)
    throw std::invalid_argument("copy_window: maps do not fit");
}

void copy_window(const MapWindow& s, const float* x, float* y, int threads) noexcept {
  const Range rows = places_inside(s.first_h, s.step_h, s.to.height, s.from.height);
  const Range columns = places_inside(s.first_w, s.step_w, s.to.width, s.from.width);
  const long pixels = columns.end - columns.begin;
  for_rows(s.to, threads, [&](long image, long plane, long row) {
    float* to = y + image * s.to.image + plane * s.to.plane + s.to.origin() + row * s.to.row;
    const Lanes lanes = lanes_of(s, plane);
    const bool whole = lanes.end - lanes.begin == kBlock && pixels == s.to.width;
    const bool any = row >= rows.begin && row < rows.end && pixels > 0;
    if (!any || !whole) fill_row(s, plane, to);
    if (!any) return;
    const float* from = x + image * s.from.image + s.from.origin() + (s.first_h + row * s.step_h) * s.from.row +
                        (s.first_w + columns.begin * s.step_w) * kBlock;
    to += columns.begin * kBlock;
    for (int lane = lanes.begin, channel = lanes.channel; lane < lanes.end;) {  // from at most two blocks
      const int count = std::min(lanes.end - lane, kBlock - channel % kBlock);
      copy_lanes(from + channel / kBlock * s.from.plane + channel % kBlock, long{s.step_w} * kBlock, to + lane, pixels,
                 count);
      lane += count, channel += count;
    }
  });
  zero_halo(s.to, y);
}

void export_channels_last(const Map& m, const float* x, float* y, int threads) noexcept {
  for_rows(m, threads, [&](long image, long plane, long row) {
    const float* from = x + image * m.image + plane * m.plane + m.origin() + row * m.row;
    float* to = y + ((image * m.height + row) * m.width) * m.channels + plane * kBlock;
    const long lanes = std::min<long>(kBlock, m.channels - plane * kBlock);
    kLastChannels[static_cast<std::size_t>(lanes - 1)](from, m.width, to, m.channels);
  });
}

}  // namespace accel
