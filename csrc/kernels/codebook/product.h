// SPDX-License-Identifier: BSD-3-Clause
// Matrix product with product-quantized weights: y[r][i] = f(bias[i] + sum_j t[j][codes[i][j]]), where
// t[j][c] = sum_s x[r][j size + s] centroids[j][c][s] is what sub-vector j of x makes of each of its centroids.
//
// The tables t are made once for a row of x; then a sub-vector of a row of W costs one look-up and one addition,
// whatever its length. Codes lie as in codebook.h, a sub-vector in the place of a column. An output is added up
// sub-vector by sub-vector, bias first: the same bits for any batch and number of threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/codebook/codebook.h"

namespace accel {

struct ProductTile {
  const std::uint8_t* codes;
  const float* tables;  // [sub-vector][wide]
  long subs, wide;
  float* sums;  // [kCodebookRows] rows, added to; of bytes in the order of codebook.h
};

struct ProductKernels {
  // sum[c] = sum_s x[s] centroids[s][c] for c < wide, a multiple of 16.
  void (*table)(const float* x, int size, const float* centroids, long wide, float* sum) noexcept;
  void (*add[2])(const ProductTile&) noexcept;  // nibbles, bytes
};
extern const ProductKernels* const kProduct[kIsaCount];

class ProductLinear {
 public:
  // codes[out][subs], each below `values`, at most 256; centroids[subs][values][size]; depth in
  // (subs - 1) size + 1 .. subs size: centroids beyond are not used. Throws std::bad_alloc.
  ProductLinear(const std::uint8_t* codes, int out, int subs, const float* centroids, int values, int size, int depth,
                int threads);

  int out() const noexcept { return out_; }
  int depth() const noexcept { return depth_; }
  std::size_t nbytes() const noexcept;
  long scratch_floats() const noexcept { return subs_ * wide_; }
  // x is rows x depth, y rows x out; bias is [out].
  void run(std::size_t isa, long rows, const Activation& f, const float* x, const float* bias, float* y, float* scratch,
           int threads) const noexcept;

 private:
  bool nibbles() const noexcept { return wide_ == 16; }
  long tiles() const noexcept { return (out_ + kCodebookRows - 1l) / kCodebookRows; }
  void run_tile(std::size_t isa, long tile, const Activation& f, const float* tables, const float* bias,
                float* y) const noexcept;

  int out_, depth_, size_;
  long subs_, wide_, tile_bytes_;
  std::vector<float> centroids_;  // [sub-vector][s][wide]
  Memory codes_;
};

}  // namespace accel
