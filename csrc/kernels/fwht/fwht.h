// SPDX-License-Identifier: BSD-3-Clause
// Walsh-Hadamard transform in natural order, y[i] = scale sum_j (-1)^popcount(i & j) x[j], along one axis of a plain
// array seen as outer x n x inner, n = 2^log2n; float, double, and int32 modulo 2^32 (scale 1).
//
// A pass adds and subtracts numbers that lie 2^k apart, for up to four bits k of the index at once, in registers. The
// bits below the length of a vector are stages within its lanes, which take twice the work of others (a shuffle and a
// sum): they are dealt out over the passes, each of which has idle pipes, since it waits for its stores. From the top
// bit down, and depth first, so that a block which fits into a cache stays there.
//
// Every number goes through the same sums whatever stands beside it: the bits depend on n, on whether inner is 1 and on
// the instruction set. x may be y; else they must not overlap.
#pragma once
#include <algorithm>
#include <cstdint>

#include "simd/isa.h"

namespace accel {

inline constexpr int kFwhtMostBits = 4;  // of one pass
inline constexpr int kFwhtMostLog2 = 62;

// Vectors of x at `stride`, 2 stride, ... from each other: `width` columns side by side, `blocks` times one after
// the other.
struct FwhtPass {
  long stride, width, blocks;
};

// The passes of one transform, from the top bit down. Three bits a pass: eight lines whose addresses differ by a power
// of two fit into a set of the L1 cache, sixteen do not. With registers for it, four bits in the last two passes, whose
// numbers lie closer, and before them as few passes as it takes. Of those the first one has the fewest bits, which is
// best for a result in other memory than x; where there are more than three, two go over the L3 cache, and those of
// three bits come first. With few registers a bit too many makes two passes of two, and two make one pass more.
struct FwhtPlan {
  struct Step {
    std::int8_t bits = 0, lanes = 0;  // lanes: bit k for the stage at lane distance 2^k
  };
  Step step[kFwhtMostLog2 / 3 + 2] = {};
  int steps = 0;

  constexpr FwhtPlan() = default;
  // `log2n` bits, of which the lowest `lane_bits` lie within a vector.
  constexpr FwhtPlan(int log2n, int lane_bits, int most_bits) {
    const int lanes = std::min(log2n, lane_bits), between = log2n - lanes;
    if (log2n == 0) return;
    if (most_bits > 3 && between >= 8) {
      const int first = between - 8, most = (first + 2) / 3;
      for (int left = first, passes = most; passes > 0; left -= step[steps++].bits, --passes)
        step[steps].bits = static_cast<std::int8_t>((left + (steps > 0 || most > 3 ? passes - 1 : 0)) / passes);
      step[steps++].bits = 4;
      step[steps++].bits = 4;
    } else {
      by_threes(between, most_bits);
    }
    // Of many passes those in the middle have none: the first ones wait for memory, the last ones, of four bits, have
    // idle pipes.
    const int none = most_bits > 3 ? std::max(steps - lanes, 0) : 0, head = (lanes + 1) / 2;
    for (int i = 0; i < steps; ++i)
      if (i < head || i >= head + none)
        step[i].lanes = static_cast<std::int8_t>(deal(lanes, i < head ? i : i - none, steps - none));
  }

 private:
  constexpr void by_threes(int between, int most_bits) {
    const int over = between % 3;
    for (int i = 0; i < between / 3; ++i) step[steps++].bits = 3;
    if (over == 1 && steps > 0 && most_bits > 3) {
      step[std::max(steps - 2, 0)].bits = 4;
    } else if (over == 1 && steps > 0) {
      step[steps - 1].bits = 2;
      step[steps++].bits = 2;
    } else if (over > 0 || steps == 0) {
      step[steps++].bits = static_cast<std::int8_t>(over);
    }
  }

  // The stages within lanes of pass `at` of `passes` that have any: one each; of fewer passes the last ones have two.
  static constexpr int deal(int lane_bits, int at, int passes) {
    if (passes == 1) return (1 << lane_bits) - 1;
    const int single = passes - std::max(lane_bits - passes, 0);  // passes with at most one
    const int first = at < single ? at : 2 * at - single, count = at < single ? 1 : 2;
    return first >= lane_bits ? 0 : ((1 << count) - 1) << (lane_bits - first - count);
  }
};

template <class T>
struct FwhtKernels {
  using Pass = void (*)(const T* x, T* y, const FwhtPass& shape, T scale) noexcept;
  int lane_bits;                     // log2 of the lanes of a vector
  FwhtPlan rows[kFwhtMostLog2 + 1];  // for inner = 1
  // [multiplied by scale][bits of the index][bits within lanes]; null where no plan asks for it.
  Pass pass[2][kFwhtMostBits + 1][16];
};
extern const FwhtKernels<float>* const kFwhtF32[kIsaCount];
extern const FwhtKernels<double>* const kFwhtF64[kIsaCount];
extern const FwhtKernels<std::int32_t>* const kFwhtI32[kIsaCount];

struct FwhtSpec {
  long outer = 1;
  int log2n = 0;
  long inner = 1;
};

template <class T>
void fwht(const FwhtSpec& spec, const FwhtKernels<T>& kernels, const T* x, T* y, T scale, int threads) noexcept;

}  // namespace accel
