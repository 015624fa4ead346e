// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/layout/layout.h"

#include <algorithm>
#include <cstring>

#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/layout/layout.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {
namespace {

constexpr double kFloatsWorthAThread = 64 * 1024;

// f(image, plane, first, last) for rows first .. last-1 of a plane, until all rows are done; split over the threads.
template <class F>
void for_strips(const Map& map, int planes, int threads, F&& f) {
  const long rows = static_cast<long>(map.images) * planes * map.height;
  const double floats = static_cast<double>(rows) * map.width * kBlock;
  const int parts = static_cast<int>(std::clamp(floats / kFloatsWorthAThread, 1.0, static_cast<double>(threads)));
  parallel(parts, [&](int part, int n) {
    const Range r = part_of(rows, part, n);
    for (long i = r.begin, count; i < r.end; i += count) {
      const long plane = i / map.height, first = i % map.height;
      count = std::min(r.end - i, map.height - first);
      f(plane / planes, plane % planes, first, first + count);
    }
  });
}

void fill_zero(float* x, long n) noexcept {
  constexpr long kShort = 256;
  if (n <= 0) return;
  if (n < kShort)  // a call for every end of a row would take longer than small maps do
    for (; n >= kBlock; n -= kBlock, x += kBlock) std::memset(x, 0, kBlock * sizeof(float));
  if (n > 0) std::memset(x, 0, static_cast<std::size_t>(n) * sizeof(float));
}

void copy_rows(const float* from, long from_row, float* to, long to_row, long floats, long rows) noexcept {
  if (floats == from_row && floats == to_row) floats *= rows, rows = 1;
  for (; rows > 0; --rows, from += from_row, to += to_row)
    std::memcpy(to, from, static_cast<std::size_t>(floats) * sizeof(float));
}

BlockRows block_rows(const Map& m) noexcept {
  return {std::max(m.width, 1), m.row - static_cast<long>(m.width) * kBlock};
}

int lanes_of(const Map& m, long block) noexcept {
  return static_cast<int>(std::min<long>(kBlock, m.channels - block * kBlock));
}

}  // namespace

#define ACCEL_TABLE_ENTRY kKernels
const LayoutKernels* const kLayouts[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

void zero_halo_rows(const Map& m, float* plane, long first, long last) noexcept {
  if (m.halo == 0) return;
  const long edge = static_cast<long>(m.halo) * m.row, side = static_cast<long>(m.halo) * m.pixel();
  float* row = plane + (m.halo + first) * m.row;
  fill_zero(first == 0 ? plane : row, first == 0 ? edge + side : side);
  for (long y = first; y + 1 < last; ++y) fill_zero(row += m.row - side, 2 * side), row += side;
  fill_zero(plane + (m.halo + last) * m.row - side, last == m.height ? edge + side : side);
}

void zero_halo(const Map& m, float* x) noexcept {
  for (int image = 0; image < m.images; ++image)
    for (int p = 0; p < m.planes(); ++p) zero_halo_rows(m, x + image * m.image + p * m.plane, 0, m.height);
}

void import_plain(const float* plain, const Map& m, const LayoutKernels& kernels, float* x, int threads) noexcept {
  for_strips(m, m.planes(), threads, [&](long image, long p, long first, long last) {
    float* plane = x + image * m.image + p * m.plane;
    float* to = plane + m.origin() + first * m.row;
    const float* from = plain + ((image * m.channels + p * m.pixel()) * m.height + first) * m.width;
    if (m.blocked)
      kernels.import_block(from, m.pixels(), lanes_of(m, p), to, block_rows(m), (last - first) * m.width);
    else
      copy_rows(from, m.width, to, m.row, m.width, last - first);
    zero_halo_rows(m, plane, first, last);
  });
  if (m.height == 0) zero_halo(m, x);
}

void export_plain(const Map& m, const LayoutKernels& kernels, const float* x, float* plain, int threads) noexcept {
  for_strips(m, m.planes(), threads, [&](long image, long p, long first, long last) {
    const float* from = x + image * m.image + p * m.plane + m.origin() + first * m.row;
    float* to = plain + ((image * m.channels + p * m.pixel()) * m.height + first) * m.width;
    if (m.blocked)
      kernels.export_block(from, block_rows(m), (last - first) * m.width, to, m.pixels(), lanes_of(m, p));
    else
      copy_rows(from, m.row, to, m.width, m.width, last - first);
  });
}

void copy_map(const Map& from, const LayoutKernels& kernels, const float* x, const Map& to, float* y,
              int threads) noexcept {
  for_strips(from, from.planes(), threads, [&](long image, long p, long first, long last) {
    const float* in = x + image * from.image + p * from.plane + from.origin() + first * from.row;
    const int planes = to.blocked ? 1 : lanes_of(to, p);
    float* plane = y + image * to.image + p * (to.blocked ? to.plane : kBlock * to.plane);
    float* out = plane + to.origin() + first * to.row;
    if (to.blocked)
      copy_rows(in, from.row, out, to.row, static_cast<long>(to.width) * kBlock, last - first);
    else
      for (long row = first; row < last; ++row, in += from.row, out += to.row)
        kernels.export_block(in, block_rows(from), to.width, out, to.plane, planes);
    for (int i = 0; i < planes; ++i) zero_halo_rows(to, plane + i * to.plane, first, last);
  });
  if (to.height == 0) zero_halo(to, y);
}

void close_groups(const Map& from, const float* x, int groups, const Map& to, float* y, int threads) noexcept {
  const long per_group = to.channels / groups, blocks = from.planes() / groups;
  for_strips(to, to.planes(), threads, [&](long image, long p, long first, long last) {
    float* plane = y + image * to.image + p * to.plane;
    for (long row = first; row < last; ++row) {
      float* out = plane + to.origin() + row * to.row;
      const float* in = x + image * from.image + from.origin() + row * from.row;
      for (long l = 0; l < kBlock; ++l) {
        const long channel = p * kBlock + l, group = channel / per_group, lane = channel % per_group;
        const float* source = in + (group * blocks + lane / kBlock) * from.plane + lane % kBlock;
        for (int i = 0; i < to.width; ++i) out[i * kBlock + l] = channel < to.channels ? source[i * kBlock] : 0.f;
      }
    }
    zero_halo_rows(to, plane, first, last);
  });
  if (to.height == 0) zero_halo(to, y);
}

}  // namespace accel
