// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/fastfood/fastfood.h"

#include <algorithm>
#include <cassert>
#include <cstring>
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
  const long all = spec.blocks * padded_;
  bytes_ = static_cast<std::size_t>(5 * all) * sizeof(float);
  memory_ = allocate(bytes_);
  float *b = reinterpret_cast<float*>(memory_.begin), *g = b + all, *s = g + all, *offset = s + all;
  auto* at = reinterpret_cast<std::uint32_t*>(offset + all);
  for (long k = 0; k < spec.blocks; ++k)
    for (long i = 0; i < n; ++i) {
      const long from = k * n + i, to = k * padded_ + i, p = arrays.perm[from];
      b[to] = arrays.b[from], g[to] = arrays.g[from] / static_cast<float>(n), s[to] = arrays.s[from];
      if (arrays.offset != nullptr && from < spec.d_out) offset[to] = arrays.offset[from];
      const long lane = to % lanes;  // the quads of one vector side by side
      at[to - lane + lane % 4 * (lanes / 4) + lane / 4] =
          static_cast<std::uint32_t>(p / lanes * 4 * lanes + p % 4 * lanes + p % lanes / 4 * 4);
    }
  b_ = b, g_ = g, s_ = s, offset_ = offset, at_ = at;
}

// The stages of the low `bits` bits of a column block's number.
void Fastfood::between(float* quads, int skipped, int bits) const noexcept {
  const auto& passes = kFwhtF32[isa_]->pass[0];
  long blocks = 1l << skipped;
  while (bits > 0) {
    const int now = std::min(bits, kernels_.between_bits);
    bits -= now;
    const long below = 4l * kernels_.lanes << bits;
    passes[now][0](quads, quads, {below, below, blocks}, 1.f);
    blocks <<= now;
  }
}

void Fastfood::block(const FastfoodRows& rows, long number, float* scratch) const noexcept {
  const long at = number * padded_, n = 1l << spec_.log2n;
  const FastfoodBlock a{
      b_ + at,     g_ + at,          s_ + at, offset_ + at, at_ + at, spec_.d_in, std::min(spec_.d_out - number * n, n),
      spec_.log2n, finish_.amplitude};
  const int outer = std::min(column_bits_, kernels_.outer_bits), inner = column_bits_ - outer;
  const int gathered = std::min(inner, kFastfoodGathered);
  float *const quads = scratch, *const permuted = scratch + 4 * padded_;
  kernels_.first[outer](rows, a, quads);
  between(quads, outer, inner);
  kernels_.gather[gathered](a, quads, permuted, outer);
  between(permuted, outer + gathered, inner - gathered);
  kernels_.last[static_cast<int>(finish_.kind)][outer](rows, a, permuted);
}

void Fastfood::run(long rows, const float* x, float* y, float* scratch, int threads) const noexcept {
  const long groups = (rows + 3) / 4, units = groups * spec_.blocks, n = 1l << spec_.log2n;
  const double work = 4. * static_cast<double>(units) * static_cast<double>(padded_) * (spec_.log2n + 4);
  parallel(parts_for(work, units, threads), [&](int part, int parts) {
    const Range range = part_of(units, part, parts);
    for (long u = range.begin; u < range.end; ++u) {
      const long first = u / spec_.blocks * 4, number = u % spec_.blocks;
      FastfoodRows q;
      q.rows = static_cast<int>(std::min(rows - first, 4l));
      for (int r = 0; r < 4; ++r) {
        const long row = first + std::min(r, q.rows - 1);
        q.x[r] = x + row * spec_.d_in;
        q.y[r] = y + row * spec_.d_out + number * n;
      }
      block(q, number, scratch + part * 8 * padded_);
    }
  });
}

}  // namespace accel
