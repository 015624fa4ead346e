// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/fastfood/fastfood.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <numbers>
#include <type_traits>

#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/fastfood/fastfood.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kFastfoodKernels
const FastfoodKernels* const kFastfood[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

// All arrays in one piece of memory, every block padded to whole vectors. The two factors 1 / sqrt(n) are one in g:
// exact, and in the middle, where neither large nor small numbers leave the range sooner than they must.
Fastfood::Fastfood(const FastfoodSpec& spec, const FastfoodArrays& arrays, const FastfoodFinish& finish,
                   std::size_t isa)
    : spec_(spec), finish_(finish), isa_(isa), kernels_(*kFastfood[isa]) {
  const long n = 1l << spec.log2n, lanes = kernels_.lanes;
  padded_ = std::max(n, lanes);
  column_bits_ = 0;
  while (padded_ >> column_bits_ > lanes) ++column_bits_;
  const bool turns = finish.kind == FastfoodFinish::Kind::waves;
  const auto unit = [&](float v) { return turns ? static_cast<float>(v / (2 * std::numbers::pi)) : v; };
  const long all = spec.blocks * padded_;
  bytes_ = static_cast<std::size_t>(5 * all) * sizeof(float);
  memory_ = allocate(bytes_);
  float *b = reinterpret_cast<float*>(memory_.begin), *g = b + all, *s = g + all, *offset = s + all;
  auto* at = reinterpret_cast<std::uint32_t*>(offset + all);
  for (long k = 0; k < spec.blocks; ++k)
    for (long i = 0; i < n; ++i) {
      const long from = k * n + i, to = k * padded_ + i, p = arrays.perm[from];
      b[to] = arrays.b[from], g[to] = arrays.g[from] / static_cast<float>(n), s[to] = unit(arrays.s[from]);
      if (arrays.offset != nullptr && from < spec.d_out) offset[to] = unit(arrays.offset[from]);
      const long lane = to % lanes;  // the quads of one vector side by side
      at[to - lane + lane % 4 * (lanes / 4) + lane / 4] =
          static_cast<std::uint32_t>(p / lanes * 4 * lanes + p % 4 * lanes + p % lanes / 4 * 4);
    }
  b_ = b, g_ = g, s_ = s, offset_ = offset, at_ = at;
}

// The stages of `bits` bits of a column block's number, between the top `skipped` and the lowest `below` ones.
void Fastfood::between(float* quads, int skipped, int bits, int below) const noexcept {
  const auto& passes = kFwhtF32[isa_]->pass[0];
  long blocks = 1l << skipped;
  while (bits > 0) {
    const int now = std::min(bits, kernels_.between_bits);
    bits -= now;
    const long stride = 4l * kernels_.lanes << (bits + below);
    passes[now][0](quads, quads, {stride, stride, blocks}, 1.f);
    blocks <<= now;
  }
}

FastfoodBlock Fastfood::block(long number) const noexcept {
  const long at = number * padded_, n = 1l << spec_.log2n;
  return {
      b_ + at,     g_ + at,          s_ + at, offset_ + at, at_ + at, spec_.d_in, std::min(spec_.d_out - number * n, n),
      spec_.log2n, finish_.amplitude};
}

FastfoodRows Fastfood::rows_at(const float* x, float* y, long first, int height, long rows) const noexcept {
  FastfoodRows q;
  q.rows = static_cast<int>(std::min<long>(rows - first, height));
  q.sines = spec_.d_out;
  for (int r = 0; r < height; ++r) {
    const long row = first + std::min(r, q.rows - 1);
    q.x[r] = x + row * spec_.d_in;
    q.y[r] = y + row * row_floats();
  }
  return q;
}

void Fastfood::quads(const FastfoodRows& rows, const FastfoodBlock& a, float* scratch) const noexcept {
  const int outer = std::min(column_bits_, kernels_.outer_bits), inner = column_bits_ - outer;
  const int gathered = std::min(inner, kernels_.between_bits);
  float *const quads = scratch, *const permuted = scratch + 4 * padded_;
  kernels_.first[outer](rows, a, quads);
  between(quads, outer, inner, 0);
  kernels_.gather[gathered](a, quads, permuted);
  between(permuted, outer, inner - gathered, gathered);
  kernels_.last[static_cast<int>(finish_.kind)][outer](rows, a, permuted);
}

// `first`: of these rows; x stays transposed in the scratch for the blocks that follow.
void Fastfood::strip(const FastfoodRows& rows, const FastfoodBlock& a, bool first, float* scratch) const noexcept {
  const long floats = padded_ * kernels_.lanes;
  float *const x = scratch, *const transformed = x + floats, *const permuted = transformed + floats;
  if (first) kernels_.strip_in(rows, a, x);
  kernels_.strip_first[column_bits_](a, x, transformed);
  kernels_.strip_gather[column_bits_](a, transformed, permuted);
  kernels_.strip_last[static_cast<int>(finish_.kind)](rows, a, permuted);
}

bool Fastfood::has_strips() const noexcept {
  return spec_.log2n <= kernels_.strip_bits && 1l << spec_.log2n >= kernels_.lanes;
}
long Fastfood::thread_floats() const noexcept {
  return padded_ * std::max(2 * 4, has_strips() ? 3 * kernels_.lanes : 0);
}

// Strips of rows, and of what is left by no more than four rows, which they share with nothing, a quad.
void Fastfood::run(long rows, const float* x, float* y, float* scratch, int threads) const noexcept {
  const int lanes = kernels_.lanes, height = has_strips() && rows > 4 ? lanes : 4;
  const long groups = (rows + height - 1) / height, units = groups * spec_.blocks, n = 1l << spec_.log2n;
  const double work = static_cast<double>(rows) * static_cast<double>(spec_.blocks * padded_) * (spec_.log2n + 4);
  parallel(parts_for(work, units, threads), [&](int part, int parts) {
    const Range range = part_of(units, part, parts);
    float* const own = scratch + part * thread_floats();
    for (long u = range.begin; u < range.end;) {
      const long group = u / spec_.blocks, end = std::min((group + 1) * spec_.blocks, range.end);
      FastfoodRows q = rows_at(x, y + u % spec_.blocks * n, group * height, height, rows);
      const bool strips = height > 4 && q.rows > 4;
      for (bool first = true; u < end; ++u, first = false) {
        if (strips)
          strip(q, block(u % spec_.blocks), first, own);
        else
          quads(q, block(u % spec_.blocks), own);
        for (int r = 0; r < height; ++r) q.y[r] += n;
      }
    }
  });
}

}  // namespace accel
