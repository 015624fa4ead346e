// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/layout/layout.h"

#include <algorithm>
#include <cstring>

#include "runtime/pool.h"

namespace accel {
namespace {

constexpr double kFloatsWorthAThread = 64 * 1024;

// f(image, plane, row) for every row of every plane, split over the threads.
template <class F>
void for_rows(const Map& map, int planes, int threads, F&& f) {
  const long rows = static_cast<long>(map.images) * planes * map.height;
  const double floats = static_cast<double>(rows) * map.width * map.pixel();
  const int parts = static_cast<int>(std::clamp(floats / kFloatsWorthAThread, 1.0, static_cast<double>(threads)));
  parallel(parts, [&](int part, int n) {
    const Range r = part_of(rows, part, n);
    for (long i = r.begin; i < r.end; ++i) f(i / map.height / planes, i / map.height % planes, i % map.height);
  });
}

void fill_zero(float* x, long n) noexcept {
  if (n > 0) std::memset(x, 0, static_cast<std::size_t>(n) * sizeof(float));
}

}  // namespace

void zero_halo(const Map& m, float* x) noexcept {
  if (m.halo == 0) return;
  const long edge = static_cast<long>(m.halo) * m.row, side = static_cast<long>(m.halo) * m.pixel();
  for (int image = 0; image < m.images; ++image)
    for (int p = 0; p < m.planes(); ++p) {
      float* plane = x + image * m.image + p * m.plane;
      fill_zero(plane, edge + side);
      for (int y = 0; y + 1 < m.height; ++y) fill_zero(plane + (m.halo + y + 1) * m.row - side, 2 * side);
      fill_zero(plane + (m.halo + m.height) * m.row - side, edge + side);
    }
}

void import_plain(const float* plain, const Map& m, float* x, int threads) noexcept {
  for_rows(m, m.planes(), threads, [&](long image, long p, long row) {
    float* to = x + image * m.image + p * m.plane + m.origin() + row * m.row;
    const float* from = plain + ((image * m.channels + p * m.pixel()) * m.height + row) * m.width;
    if (!m.blocked) {
      std::memcpy(to, from, static_cast<std::size_t>(m.width) * sizeof(float));
      return;
    }
    const long lanes = std::min<long>(kBlock, m.channels - p * kBlock), step = m.pixels();
    for (int i = 0; i < m.width; ++i, to += kBlock) {
      for (long l = 0; l < lanes; ++l) to[l] = from[l * step + i];
      for (long l = lanes; l < kBlock; ++l) to[l] = 0.f;
    }
  });
  zero_halo(m, x);
}

void export_plain(const Map& m, const float* x, float* plain, int threads) noexcept {
  for_rows(m, m.planes(), threads, [&](long image, long p, long row) {
    const float* from = x + image * m.image + p * m.plane + m.origin() + row * m.row;
    float* to = plain + ((image * m.channels + p * m.pixel()) * m.height + row) * m.width;
    if (!m.blocked) {
      std::memcpy(to, from, static_cast<std::size_t>(m.width) * sizeof(float));
      return;
    }
    const long lanes = std::min<long>(kBlock, m.channels - p * kBlock), step = m.pixels();
    for (long l = 0; l < lanes; ++l)
      for (int i = 0; i < m.width; ++i) to[l * step + i] = from[i * kBlock + l];
  });
}

void copy_map(const Map& from, const float* x, const Map& to, float* y, int threads) noexcept {
  for_rows(to, to.planes(), threads, [&](long image, long p, long row) {
    float* out = y + image * to.image + p * to.plane + to.origin() + row * to.row;
    const float* in = x + image * from.image + from.origin() + row * from.row;
    if (to.blocked) {
      std::memcpy(out, in + p * from.plane, static_cast<std::size_t>(to.width) * kBlock * sizeof(float));
    } else {
      in += p / kBlock * from.plane + p % kBlock;
      for (int i = 0; i < to.width; ++i) out[i] = in[i * kBlock];
    }
  });
  zero_halo(to, y);
}

void close_groups(const Map& from, const float* x, int groups, const Map& to, float* y, int threads) noexcept {
  const long per_group = to.channels / groups, blocks = from.planes() / groups;
  for_rows(to, to.planes(), threads, [&](long image, long p, long row) {
    float* out = y + image * to.image + p * to.plane + to.origin() + row * to.row;
    const float* in = x + image * from.image + from.origin() + row * from.row;
    for (long l = 0; l < kBlock; ++l) {
      const long channel = p * kBlock + l, group = channel / per_group, lane = channel % per_group;
      const float* source = in + (group * blocks + lane / kBlock) * from.plane + lane % kBlock;
      for (int i = 0; i < to.width; ++i) out[i * kBlock + l] = channel < to.channels ? source[i * kBlock] : 0.f;
    }
  });
  zero_halo(to, y);
}

}  // namespace accel
