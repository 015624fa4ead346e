// SPDX-License-Identifier: BSD-3-Clause
// Real activations times weights of one bit (BinaryConnect): y[b, o] = f(scale[o] sum_i s[o, i] x[b, i] + bias[o]),
// s of +-1.
//
// Four columns have 16 sums of +-x: they are made once for all rows, and a row looks up the one that its four bits
// choose. Lanes are rows, a dword holds 32 columns of one. An entry of the tables is a sum of its four, then added up
// in the order of the columns: the same bits for any batch and number of threads, and NaN and infinity as in a product.
// Bound by look-ups, one in two cycles for 64 weights on AVX-512; the bits themselves are 1/32 of float32.
#pragma once
#include <cstdint>

#include "kernels/activation/activation.h"
#include "runtime/memory.h"
#include "simd/isa.h"

namespace accel {

inline constexpr int kSignRows = 16;     // of a block, on every ISA
inline constexpr int kSignColumns = 64;  // of a panel: 16 tables

struct SignKernels {
  // sums[16 blocks] += the products of `kSignColumns` x with `blocks` blocks; codes: [block][2][16].
  void (*panel)(const std::uint32_t* codes, const float* x, long blocks, float* sums) noexcept;
  void (*finish)(const Activation& f, const float* sums, const float* scale, const float* bias, float* y,
                 long n) noexcept;
};
extern const SignKernels* const kSigns[kIsaCount];

class SignMatrix {
 public:
  // bits: [rows][words]. Throws std::invalid_argument, std::bad_alloc.
  SignMatrix(const std::uint64_t* bits, long rows, long columns);
  long rows() const noexcept { return rows_; }
  long columns() const noexcept { return columns_; }
  std::size_t nbytes() const noexcept;
  long scratch_floats() const noexcept { return blocks_ * kSignRows; }

  // x is batch x columns, y batch x rows; scale and bias are [rows].
  void run(const SignKernels& kernels, long batch, const Activation& f, const float* x, const float* scale,
           const float* bias, float* y, float* scratch, int threads) const noexcept;

 private:
  long rows_, columns_, blocks_, panels_;
  Memory codes_;  // [panel][block][2][16]
};

}  // namespace accel
