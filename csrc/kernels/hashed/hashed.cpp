// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/hashed/hashed.h"

#include <algorithm>
#include <cstring>

#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/hashed/hashed.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY unfold
const UnfoldFn kUnfold[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kTileFloats = 64 * 1024;  // of W, a quarter of an L2 cache, unless one panel has more
constexpr int kMostPanels = 8;           // of a tile: more rows of W make y no faster

int panels_of(int depth, int out) {
  const long fit = std::clamp(kTileFloats / kBlock / std::max(depth, 1), 1l, static_cast<long>(kMostPanels));
  return static_cast<int>(std::min<long>(fit, (out + kBlock - 1) / kBlock));
}

}  // namespace

std::uint64_t hash64(std::uint64_t x) noexcept {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

HashedLinear::HashedLinear(int rows, int depth, int out, const HashedValues& values, const Activation& activation,
                           std::size_t isa)
    : rows_(rows),
      depth_(depth),
      out_(out),
      panels_(panels_of(depth, out)),
      values_(values),
      unfold_(kUnfold[isa]),
      tile_(rows, depth, panels_ * kBlock, activation, *kTileSets[isa]) {}

long HashedLinear::scratch_floats() const noexcept {
  return panels_ * kBlock * (static_cast<long>(depth_) + rows_) + tile_.scratch_floats();
}

void HashedLinear::run(const float* x, const float* bias, float* y, float* scratch, int threads) const noexcept {
  const long width = panels_ * kBlock, per_panel = static_cast<long>(depth_) * kBlock;
  float *const w = scratch, *const part_y = w + width * depth_, *const rest = part_y + width * rows_;
  float tile_bias[kMostPanels * kBlock] = {};
  for (long first = 0; first < out_; first += width) {
    const long wide = std::min(width, out_ - first);
    std::memcpy(tile_bias, bias + first, static_cast<std::size_t>(wide) * sizeof(float));
    parallel(parts_for(8. * static_cast<double>(width) * depth_, depth_, threads), [&](int part, int parts) {
      const Range r = part_of(depth_, part, parts);
      for (int p = 0; p < panels_; ++p)
        unfold_(values_, first + p * kBlock, out_, depth_, r.begin, r.end, w + p * per_panel + r.begin * kBlock);
    });
    tile_.run(x, w, tile_bias, part_y, rest, threads);
    for (long r = 0; r < rows_; ++r)
      std::memcpy(y + r * out_ + first, part_y + r * width, static_cast<std::size_t>(wide) * sizeof(float));
  }
}

}  // namespace accel
