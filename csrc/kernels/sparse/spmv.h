// SPDX-License-Identifier: BSD-3-Clause
// Sparse matrix times a vector or a few: y[b, r] = f(scale[r] sum_k w[r, k] x[b, k] + bias[r]).
//
// Lanes are rows. Step t of a block of up to kSpmvGroups * 16 rows multiplies one value of each by an element of x that
// is looked up in a window of 32 columns held in registers, or of 64 on AVX-512 where there are few float32 values: no
// gather. Windows move right as fast as the rows' values let them, so a block of dense rows slides slowly, and columns
// that nobody needs are jumped over. A row that has no value in the window leaves its slot empty; values that their
// window would miss, and windows that would serve too few, go to a list of single values. A row much longer than the
// others is dealt out over several lanes, value by value.
//
// Memory: one byte of index and the value per slot, at most twice compressed sparse rows for any pattern.
// A row's sum is added up in the order of its packing, whatever the batch and the number of threads: the same bits.
// Slots that are empty take no part: NaN and infinity in x reach the rows only that hold their column.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/activation/activation.h"
#include "kernels/sparse/sparse.h"
#include "runtime/memory.h"
#include "simd/isa.h"

namespace accel {

inline constexpr int kSpmvLanes = 16;   // a group of rows, on every ISA
inline constexpr int kSpmvGroups = 8;   // that share a window at most
inline constexpr int kSpmvWindow = 32;  // columns, but for wide ones
inline constexpr int kSpmvMostWindow = 64;
inline constexpr int kSpmvRows = kSpmvLanes * kSpmvGroups;
inline constexpr std::uint8_t kSpmvReal = 0x80;  // marks a slot that holds a value

// A step in memory is lines of 16 dwords, one a lane. Of numbers of 4, 2, 1 bytes a dword holds those of 1, 2, 4
// groups, so that a shift brings them where a register wants them.
inline constexpr long kSpmvLine = 64;
constexpr long spmv_lines(int groups, int bytes) noexcept { return (groups * bytes + 3) / 4; }

// Some steps of a block.
struct SpmvSteps {
  const std::uint8_t* values;   // codes into 256 lie in a line as [lane / 4][group][lane % 4] instead
  const std::uint8_t* index;    // kSpmvReal and the place in the window, 0 where there is no value
  const std::int32_t* windows;  // [steps] first columns
  long steps;
};

// Single values, each with its lane of the block.
struct SpmvSingles {
  const void* values;
  const std::int32_t* columns;
  const std::uint8_t* lanes;
  long count;
};

struct SpmvBook {
  const float* floats;         // 16 or 256
  const std::uint8_t* planes;  // the first bytes of 256 floats, their second bytes, ...
};

struct SpmvKernels {
  // sums[groups * 16] += what the steps add up to.
  using Steps = void (*)(const SpmvSteps&, const float* x, const SpmvBook& book, float* sums) noexcept;
  Steps steps[kValueKinds][kSpmvGroups];  // [kind][groups - 1]
  int wide_window;                        // columns, of a matrix of float32 that has few values
  Steps wide_steps[kSpmvGroups];
  void (*singles[kValueKinds])(const SpmvSingles&, const float* x, const SpmvBook& book, float* sums) noexcept;
  // y = f(scale sums + bias), n floats; all arrays are kSpmvRows long.
  void (*finish)(const Activation& f, const float* sums, const float* scale, const float* bias, float* y,
                 int n) noexcept;
};
extern const SpmvKernels* const kSpmv[kIsaCount];

// A block as it lies in the arrays of Spmv.
struct SpmvBlock {
  long values, index;      // bytes into values and index
  long step, single, row;  // its first; where the next block's are, its own end
  double cost;             // of all blocks before, in slots
  int groups;
  bool split;  // some row has more than one lane
};

class Spmv {
 public:
  // Throws std::bad_alloc. The arrays of `a` are not needed afterwards.
  Spmv(const CsrView& a, const SpmvKernels& kernels, int threads);

  long rows() const noexcept { return rows_; }
  long columns() const noexcept { return columns_; }
  long slots() const noexcept;
  long singles() const noexcept { return blocks_.back().single; }
  std::size_t nbytes() const noexcept;
  const SpmvKernels& kernels() const noexcept { return kernels_; }

  // x is batch x columns, y batch x rows, row-major; bias is [rows].
  void run(long batch, const Activation& f, const float* x, const float* bias, float* y, int threads) const noexcept;

 private:
  struct Arrays {
    const float *x, *bias;
    float* y;
    long batch;
  };
  void run_block(const SpmvBlock& block, const Activation& f, const Arrays& a) const noexcept;
  void finish(const SpmvBlock& block, const Activation& f, float* sums, const float* bias, float* y) const noexcept;

  const SpmvKernels& kernels_;
  int window_;  // columns
  long rows_, columns_;
  ValueKind kind_;
  std::vector<SpmvBlock> blocks_;  // and one past the last
  Memory values_, index_;          // step by step
  std::vector<std::int32_t> windows_;
  std::vector<std::uint8_t> single_values_, single_lanes_;
  std::vector<std::int32_t> single_columns_;
  std::vector<std::int32_t> order_;   // the row that is packed i-th
  std::vector<std::uint8_t> lane_;    // its first lane in the block
  std::vector<float> scale_, book_;   // by place in order_; the codebook
  std::vector<std::uint8_t> planes_;  // of a codebook of 256
};

}  // namespace accel
