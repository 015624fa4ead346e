// SPDX-License-Identifier: BSD-3-Clause
// y = f(x W^T + bias) where w[i][j] = xi values[h]: with u = hash64(hash64(seed) ^ (i depth + j)), h = (u >> 32) count
// >> 32 and xi = -1 if u is odd. hash64 is the finaliser of SplitMix64 (docs/formats/accel.md).
//
// Some rows of W at a time are unfolded as the register tile reads them, and multiplied; W is never there as a whole.
// It costs a hash a weight on top of the dense product, and saves nothing but memory.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/linear/linear.h"
#include "simd/isa.h"

namespace accel {

struct HashedValues {
  const float* values;
  std::uint64_t count;  // below 2^32
  std::uint64_t start;  // hash64(seed)
};
std::uint64_t hash64(std::uint64_t x) noexcept;

// Numbers begin .. end - 1 of kBlock rows of W from `row` on, into to[number][row]; zeros for rows from `rows` on.
using UnfoldFn = void (*)(const HashedValues&, long row, long rows, long depth, long begin, long end,
                          float* to) noexcept;
extern const UnfoldFn kUnfold[kIsaCount];

class HashedLinear {
 public:
  // `values` must live as long. Throws std::invalid_argument.
  HashedLinear(int rows, int depth, int out, const HashedValues& values, const Activation& activation, std::size_t isa);
  long scratch_floats() const noexcept;
  // bias is filled up to whole blocks.
  void run(const float* x, const float* bias, float* y, float* scratch, int threads) const noexcept;

 private:
  int rows_, depth_, out_, panels_;  // panels of kBlock rows of W in a tile
  HashedValues values_;
  UnfoldFn unfold_;
  Linear tile_;
};

}  // namespace accel
