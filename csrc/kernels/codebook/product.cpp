// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/codebook/product.h"

#include <algorithm>
#include <cstring>

#define ACCEL_KERNEL_FILE "kernels/codebook/product.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kProductKernels
const ProductKernels* const kProduct[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr double kLookUp = 16;  // multiply-adds that a look-up takes as long as, at most

}  // namespace

ProductLinear::ProductLinear(const std::uint8_t* codes, int out, int subs, const float* centroids, int values, int size,
                             int depth, int threads)
    : out_(out), depth_(depth), size_(size), subs_(subs), wide_((values + 15l) / 16 * 16) {
  const int bits = nibbles() ? 4 : 8;
  tile_bytes_ = (subs_ + 7) / 8 * 8 * kCodebookRows * bits / 8;
  codes_ = allocate(static_cast<std::size_t>(tiles() * tile_bytes_));
  centroids_.resize(static_cast<std::size_t>(subs_ * size_ * wide_));
  for (long j = 0; j < subs_; ++j)
    for (int c = 0; c < values; ++c)
      for (int s = 0; s < size_; ++s)
        centroids_[static_cast<std::size_t>((j * size_ + s) * wide_ + c)] = centroids[(j * values + c) * size_ + s];
  parallel(parts_for(static_cast<double>(out_) * static_cast<double>(subs_), tiles(), threads),
           [&](int part, int parts) {
             const Range r = part_of(tiles(), part, parts);
             for (long t = r.begin; t < r.end; ++t) {
               const long first = t * kCodebookRows, rows = std::min<long>(kCodebookRows, out_ - first);
               pack_codes(bits, codes + first * subs_, rows, subs_, codes_.begin + t * tile_bytes_);
             }
           });
}

std::size_t ProductLinear::nbytes() const noexcept {
  return static_cast<std::size_t>(tiles() * tile_bytes_) + centroids_.size() * sizeof(float);
}

void ProductLinear::run(std::size_t isa, long rows, const Activation& f, const float* x, const float* bias, float* y,
                        float* scratch, int threads) const noexcept {
  const double subs = static_cast<double>(subs_);
  const int makers = parts_for(static_cast<double>(depth_ * wide_), subs_, threads);
  const int adders = parts_for(subs * out_ * kLookUp, tiles(), threads);
  for (long r = 0; r < rows; ++r, x += depth_, y += out_) {
    parallel(makers, [&](int part, int parts) {
      const Range range = part_of(subs_, part, parts);
      for (long j = range.begin; j < range.end; ++j)
        kProduct[isa]->table(x + j * size_, static_cast<int>(std::min<long>(size_, depth_ - j * size_)),
                             centroids_.data() + j * size_ * wide_, wide_, scratch + j * wide_);
    });
    parallel(adders, [&](int part, int parts) {
      const Range range = part_of(tiles(), part, parts);
      for (long t = range.begin; t < range.end; ++t) run_tile(isa, t, f, scratch, bias, y);
    });
  }
}

void ProductLinear::run_tile(std::size_t isa, long tile, const Activation& f, const float* tables, const float* bias,
                             float* y) const noexcept {
  const long first = tile * kCodebookRows;
  const int count = static_cast<int>(std::min<long>(kCodebookRows, out_ - first));
  float rows[kCodebookRows] = {}, lying[kCodebookRows];
  std::copy_n(bias + first, count, rows);
  float* sums = rows;
  if (!nibbles()) {
    sums = lying;
    for (int r = 0; r < kCodebookRows; ++r) lying[place_of_byte(r)] = rows[r];
  }
  kProduct[isa]->add[!nibbles()]({codes_.begin + tile * tile_bytes_, tables, subs_, wide_, sums});
  if (!nibbles())
    for (int r = 0; r < kCodebookRows; ++r) rows[r] = lying[place_of_byte(r)];
  kCodebook[isa]->finish(f, rows, y + first, count);
}

}  // namespace accel
