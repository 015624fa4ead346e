// SPDX-License-Identifier: BSD-3-Clause
// Compressed sparse rows as they are, times a few or many vectors: y[b][r] = sum_p values[p] x[b][indices[p]], float32.
//
// For arrays that are used once, so that packing them (spmm.h, spmv.h) would not pay. Indices of a row may come in any
// order and more than once. Lanes are rows of x: up to four vectors of them are laid out column by column, so that an
// index finds its numbers side by side; four rows take a quarter of a vector, and a single one is read where it is.
// Value number p of a row goes to accumulator p % 4, and those are added up in pairs: a row of x has the same bits
// alone, in any batch, and on any number of threads, which split the tiles or the rows of the matrix by their values.
#pragma once
#include <cstdint>

#include "simd/isa.h"

namespace accel {

// Some rows of the matrix.
struct CsrRows {
  const float* values;
  const std::int32_t* indices;
  const long* at;  // row r has the values at[r] .. at[r + 1] - 1
  long rows;
};

inline constexpr int kCsrVectors = 4;  // the most that are summed at once
struct CsrKernels {
  int lanes, vectors;  // the most vectors that registers allow
  bool (*inside)(const std::int32_t* indices, long count, std::int32_t columns) noexcept;
  // sums[row][n vectors] of the tile x[column][n vectors]; [0]: a row of x and a sum per row.
  void (*rows[kCsrVectors + 1])(const CsrRows&, const float* x, float* sums) noexcept;
  void (*quarter)(const CsrRows&, const float* x, float* sums) noexcept;  // the same with four lanes
};
extern const CsrKernels* const kCsr[kIsaCount];

// The arrays of the caller. P is int32_t or int64_t; indptr ascends from 0 (csr_ascends), indices may be anything.
template <class P>
struct CsrMatrix {
  long rows, columns;  // columns below 2^31
  const P* indptr;     // [rows + 1]
  const std::int32_t* indices;
  const float* values;
};

template <class P>
bool csr_ascends(const P* indptr, long rows, long count) noexcept;  // from 0 to count

// x is batch x columns, y batch x rows, row-major. False if an index is outside: y is then not to be used.
// Throws std::bad_alloc.
template <class P>
bool csr_product(const CsrMatrix<P>& a, std::size_t isa, long batch, const float* x, float* y, int threads);

}  // namespace accel
