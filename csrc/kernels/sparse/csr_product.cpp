// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/csr_product.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>

#include "kernels/sparse/spmm.h"
#include "runtime/pool.h"

#define ACCEL_KERNEL_FILE "kernels/sparse/csr_product.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kCsrKernels
const CsrKernels* const kCsr[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr int kQuarter = 4;              // rows of x that make a tile of quarters
constexpr long kChunkRows = 32;          // whose sums wait in the L1 cache for their transposition
constexpr long kTileBytes = 512 * 1024;  // of x, half an L2 cache, unless a vector alone has more

struct Free {
  void operator()(float* p) const { ::operator delete(p, std::align_val_t{64}); }
};
std::unique_ptr<float, Free> floats(long count) {
  const auto bytes = static_cast<std::size_t>(count) * sizeof(float);
  return std::unique_ptr<float, Free>(static_cast<float*>(::operator new(bytes, std::align_val_t{64})));
}

// Kernels of shorter vectors where one holds the whole batch: a lane's sums are the same, and fewer lanes are laid out,
// added up and brought back for nothing. More than kQuarter rows keep those away that multiply and add apart.
std::size_t narrowest(std::size_t isa, long batch) noexcept {
  while (isa > 0 && batch > kQuarter && kCsr[isa - 1]->lanes >= batch) --isa;
  return isa;
}

// Some rows of x, which are the columns of the product.
struct Tile {
  const float* x;  // the first of the rows
  float* y;
  long columns;
  int vectors;   // 0: one row, read where it is
  bool quarter;  // four lanes in place of vectors
  bool first;    // of a thread: checks the indices
};

template <class P>
class Product {
 public:
  Product(const CsrMatrix<P>& a, std::size_t isa, int threads)  // isa: narrowest() of the batch
      : a_(a), kernels_(*kCsr[isa]), moves_(*kSpmm[isa]), threads_(threads) {}

  bool run(long batch, const float* x, float* y) {
    const bool alone = batch == 1 || a_.indptr[a_.rows] < a_.columns / 4;  // most of a tile would never be read
    const bool quarter = !alone && batch <= kQuarter;
    const long lanes = alone ? 1 : kernels_.lanes, vectors = (batch + lanes - 1) / lanes;
    const long fit = kTileBytes / 4 / lanes / std::max(a_.columns, 1l);
    const long most = alone ? 1 : std::clamp(fit, 1l, std::min<long>(kernels_.vectors, std::max(vectors, 1l)));
    const long tiles = quarter ? 1 : (vectors + most - 1) / most;
    const long width = alone ? 0 : quarter ? kQuarter : most * lanes;
    const int wanted = parts_for(static_cast<double>(a_.indptr[a_.rows]) * static_cast<double>(batch), tiles, threads_);
    const int shares = tiles % wanted == 0 || tiles >= 4L * wanted ? wanted : 1;  // else threads share each tile
    const auto memory = floats(a_.columns * width * shares);
    std::atomic<bool> inside{true};
    parallel(shares, [&](int share, int all) {
      float* const to = memory.get() + a_.columns * width * share;
      const Range mine = part_of(tiles, share, all);
      for (long t = mine.begin; t < mine.end && inside; ++t) {
        const Range v = part_of(vectors, static_cast<int>(t), static_cast<int>(tiles));
        const long first = v.begin * lanes;
        const int n = alone ? 0 : static_cast<int>(v.end - v.begin);
        const Tile tile{x + first * a_.columns, y + first * a_.rows, std::min(batch - first, n * lanes), n, quarter,
                        t == mine.begin};
        if (n > 0) pack(tile, to);
        if (!run_tile(tile, n > 0 ? to : tile.x)) inside = false;
      }
    });
    return inside;
  }

 private:
  void pack(const Tile& tile, float* to) const noexcept {
    if (tile.quarter) {
      for (long k = 0; k < a_.columns; ++k)
        for (long b = 0; b < kQuarter; ++b) to[k * kQuarter + b] = b < tile.columns ? tile.x[b * a_.columns + k] : 0.f;
      return;
    }
    const long width = static_cast<long>(tile.vectors) * kernels_.lanes, blocks = (a_.columns + 63) / 64;
    parallel(parts_for(static_cast<double>(a_.columns * width), blocks, threads_), [&](int part, int parts) {
      const Range r = part_of(blocks, part, parts);
      const long begin = r.begin * 64, end = std::min(r.end * 64, a_.columns);
      moves_.pack_rows(tile.x + begin, a_.columns, tile.columns, static_cast<int>(end - begin), tile.vectors,
                       to + begin * width);
    });
  }

  bool run_tile(const Tile& tile, const float* x) const noexcept {
    const double values = static_cast<double>(a_.indptr[a_.rows]), cost = values + 4. * static_cast<double>(a_.rows);
    const double width = tile.quarter || tile.vectors == 0 ? 8 : tile.vectors * kernels_.lanes;
    std::atomic<bool> inside{true};
    const int most = parts_for(cost * width, a_.rows, threads_);
    const int pieces = most == 1 ? 1 : static_cast<int>(std::min<long>(a_.rows, most * kPieces));
    parallel_pieces(most, pieces, [&](int part, int parts) {
      const auto begin_of = [&](int p) { return row_at(cost * p / parts); };
      const long end = part + 1 == parts ? a_.rows : begin_of(part + 1);
      for (long r = part == 0 ? 0 : begin_of(part); r < end; r += kChunkRows)
        if (!run_chunk(tile, x, {r, std::min(r + kChunkRows, end)})) {
          inside = false;
          return;
        }
    });
    return inside;
  }

  // The first row that this much work, values and four for each row, lies before.
  long row_at(double cost) const noexcept {
    long low = 0, high = a_.rows;
    while (low < high) {
      const long middle = (low + high) / 2;
      if (static_cast<double>(a_.indptr[middle]) + 4. * static_cast<double>(middle) < cost)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }

  bool run_chunk(const Tile& tile, const float* x, Range rows) const noexcept {
    long at[kChunkRows + 1];
    const long count = rows.end - rows.begin;
    for (long r = 0; r <= count; ++r) at[r] = static_cast<long>(a_.indptr[rows.begin + r]);
    if (tile.first && !kernels_.inside(a_.indices + at[0], at[count] - at[0], static_cast<std::int32_t>(a_.columns)))
      return false;
    const CsrRows some{a_.values, a_.indices, at, count};
    float* y = tile.y + rows.begin;
    if (tile.vectors == 0) {
      kernels_.rows[0](some, x, y);
      return true;
    }
    alignas(64) float sums[kChunkRows * kCsrVectors * 16];
    if (tile.quarter) {
      kernels_.quarter(some, x, sums);
      for (long b = 0; b < tile.columns; ++b)
        for (long r = 0; r < count; ++r) y[b * a_.rows + r] = sums[r * kQuarter + b];
    } else {
      kernels_.rows[tile.vectors](some, x, sums);
      moves_.unpack_rows(sums, count, tile.columns, tile.vectors, y, a_.rows);
    }
    return true;
  }

  const CsrMatrix<P>& a_;
  const CsrKernels& kernels_;
  const SpmmKernels& moves_;
  int threads_;
};

}  // namespace

template <class P>
bool csr_ascends(const P* indptr, long rows, long count) noexcept {
  bool ascends = indptr[0] == 0 && indptr[rows] == count;
  for (long r = 0; r < rows; ++r) ascends &= indptr[r] <= indptr[r + 1];
  return ascends;
}

template <class P>
bool csr_product(const CsrMatrix<P>& a, std::size_t isa, long batch, const float* x, float* y, int threads) {
  return Product<P>(a, narrowest(isa, batch), threads).run(batch, x, y);
}

template bool csr_ascends(const std::int32_t*, long, long) noexcept;
template bool csr_ascends(const std::int64_t*, long, long) noexcept;
template bool csr_product(const CsrMatrix<std::int32_t>&, std::size_t, long, const float*, float*, int);
template bool csr_product(const CsrMatrix<std::int64_t>&, std::size_t, long, const float*, float*, int);

}  // namespace accel
