// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/binary/sign.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "kernels/binary/binary.h"
#include "runtime/pool.h"

#define ACCEL_KERNEL_FILE "kernels/binary/sign.inl.h"
#include "simd/foreach_isa.h"

namespace accel {

#define ACCEL_TABLE_ENTRY kSignKernels
const SignKernels* const kSigns[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr std::size_t kReadPast = 4;  // bytes, by the loads of the last block

}  // namespace

SignMatrix::SignMatrix(const std::uint64_t* bits, long rows, long columns) : rows_(rows), columns_(columns) {
  if (rows < 1 || columns < 1) throw std::invalid_argument("sign matrix: expected rows and columns");
  blocks_ = (rows + kSignRows - 1) / kSignRows;
  panels_ = words_of(columns);
  codes_ = allocate(nbytes() + kReadPast);
  auto* codes = reinterpret_cast<std::uint32_t*>(codes_.begin);
  for (long r = 0; r < rows; ++r)
    for (long p = 0; p < panels_; ++p) {
      const std::uint64_t word = bits[r * panels_ + p];
      std::uint32_t* block = codes + (p * blocks_ + r / kSignRows) * 2 * kSignRows + r % kSignRows;
      block[0] = static_cast<std::uint32_t>(word), block[kSignRows] = static_cast<std::uint32_t>(word >> 32);
    }
}

std::size_t SignMatrix::nbytes() const noexcept {
  return static_cast<std::size_t>(panels_ * blocks_) * kSignRows * sizeof(std::uint64_t);
}

void SignMatrix::run(const SignKernels& kernels, long batch, const Activation& f, const float* x, const float* scale,
                     const float* bias, float* y, float* scratch, int threads) const noexcept {
  const auto* codes = reinterpret_cast<const std::uint32_t*>(codes_.begin);
  constexpr double kWorthOne = 2;  // weights in the time of a multiply-add
  const double work = static_cast<double>(batch * blocks_ * kSignRows) * static_cast<double>(columns_) / kWorthOne;
  parallel(parts_for(work, blocks_, threads), [&](int part, int parts) {
    const Range r = part_of(blocks_, part, parts);
    const long first = r.begin * kSignRows, n = std::min(rows_, r.end * kSignRows) - first;
    float* sums = scratch + first;
    for (long b = 0; b < batch; ++b) {
      std::fill_n(sums, (r.end - r.begin) * kSignRows, 0.f);
      for (long p = 0; p < panels_; ++p) {
        const float* columns = x + b * columns_ + p * kSignColumns;
        float some[kSignColumns] = {};
        if (columns_ - p * kSignColumns < kSignColumns) {
          std::copy_n(columns, columns_ - p * kSignColumns, some);
          columns = some;
        }
        kernels.panel(codes + (p * blocks_ + r.begin) * 2 * kSignRows, columns, r.end - r.begin, sums);
      }
      kernels.finish(f, sums, scale + first, bias + first, y + b * rows_ + first, n);
    }
  });
}

}  // namespace accel
