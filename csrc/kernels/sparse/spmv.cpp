// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/spmv.h"

#include <algorithm>
#include <cstring>

#include "runtime/pool.h"

#define ACCEL_KERNEL_FILE "kernels/sparse/spmv.inl.h"
#include "simd/foreach_isa.h"

namespace accel {

#define ACCEL_TABLE_ENTRY kSpmvKernels
const SpmvKernels* const kSpmv[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kL2Bytes = 256 * 1024;  // of weights that several x share: a quarter of a 1 MB L2 cache
constexpr long kMostBatch = 4;         // of x that share them

}  // namespace

std::size_t Spmv::nbytes() const noexcept {
  const auto values = static_cast<std::size_t>(value_bytes(kind_));
  return static_cast<std::size_t>(blocks_.back().values + blocks_.back().index) +
         windows_.size() * sizeof(std::int32_t) +
         static_cast<std::size_t>(singles()) * (values + 1 + sizeof(std::int32_t)) +
         order_.size() * sizeof(std::int32_t) + lane_.size() + (scale_.size() + book_.size()) * sizeof(float) +
         planes_.size() + blocks_.size() * sizeof(SpmvBlock);
}

long Spmv::slots() const noexcept {
  long sum = 0;
  for (std::size_t b = 0; b + 1 < blocks_.size(); ++b)
    sum += (blocks_[b + 1].step - blocks_[b].step) * blocks_[b].groups * kSpmvLanes;
  return sum;
}

void Spmv::run(long batch, const Activation& f, const float* x, const float* bias, float* y,
               int threads) const noexcept {
  const long count = static_cast<long>(blocks_.size()) - 1;
  const double work = blocks_.back().cost;
  const int most = parts_for(work * static_cast<double>(batch), count, threads);
  const int pieces = most == 1 ? 1 : static_cast<int>(std::min<long>(count, most * kPieces));
  parallel_pieces(most, pieces, [&](int part, int parts) {
    const auto begin_of = [&](int p) {
      return std::partition_point(blocks_.begin(), blocks_.end() - 1,
                                  [&](const SpmvBlock& b) { return b.cost * parts < work * p; });
    };
    const auto end = part + 1 == parts ? blocks_.end() - 1 : begin_of(part + 1);
    for (auto block = begin_of(part); block != end; ++block)
      for (long b = 0; b < batch; b += kMostBatch) {
        const long n = std::min(kMostBatch, batch - b);
        run_block(*block, f, {x + b * columns_, bias, y + b * rows_, n});
      }
  });
}

void Spmv::run_block(const SpmvBlock& block, const Activation& f, const Arrays& a) const noexcept {
  const int kind = static_cast<int>(kind_);
  const int bytes = value_bytes(kind_);
  const long value_step = spmv_lines(block.groups, bytes) * kSpmvLine,
             index_step = spmv_lines(block.groups, 1) * kSpmvLine;
  const SpmvBlock& next = *(&block + 1);
  const long chunk = a.batch == 1 ? next.step - block.step : kL2Bytes / (value_step + index_step);
  float sums[kMostBatch][kSpmvRows] = {}, narrow[kMostBatch][kSpmvMostWindow] = {};
  const bool wide = window_ != kSpmvWindow;
  const SpmvKernels::Steps kernel =
      wide ? kernels_.wide_steps[block.groups - 1] : kernels_.steps[kind][block.groups - 1];
  const SpmvBook book{book_.data(), planes_.data()};
  const float* x[kMostBatch];
  for (long b = 0; b < a.batch; ++b) {
    x[b] = a.x + b * columns_;
    if (columns_ >= window_) continue;
    std::copy_n(x[b], columns_, narrow[b]);  // a window is read whole
    x[b] = narrow[b];
  }
  for (long step = block.step; step < next.step; step += chunk) {
    const long done = step - block.step;
    const SpmvSteps steps{values_.begin + block.values + done * value_step,
                          index_.begin + block.index + done * index_step, windows_.data() + step,
                          std::min(chunk, next.step - step)};
    for (long b = 0; b < a.batch; ++b) kernel(steps, x[b], book, sums[b]);
  }
  const SpmvSingles singles{single_values_.data() + block.single * bytes, single_columns_.data() + block.single,
                            single_lanes_.data() + block.single, next.single - block.single};
  for (long b = 0; b < a.batch; ++b) {
    kernels_.singles[kind](singles, x[b], book, sums[b]);
    finish(block, f, sums[b], a.bias, a.y + b * rows_);
  }
}

// Sums of lanes to rows, in place, and rows to y.
void Spmv::finish(const SpmvBlock& block, const Activation& f, float* sums, const float* bias,
                  float* y) const noexcept {
  const long first = block.row;
  const int n = static_cast<int>((&block + 1)->row - first);
  const std::int32_t* order = order_.data() + first;
  const std::uint8_t* lane = lane_.data() + first;
  if (block.split)
    for (int i = 0; i < n; ++i) {
      const int end = i + 1 < n ? lane[i + 1] : block.groups * kSpmvLanes;  // lanes after the last row hold 0
      float sum = sums[lane[i]];
      for (int j = lane[i] + 1; j < end; ++j) sum += sums[j];
      sums[i] = sum;
    }
  float scale[kSpmvRows], shift[kSpmvRows] = {}, result[kSpmvRows];
  std::fill_n(scale, kSpmvRows, 1.f);
  if (!scale_.empty()) std::copy_n(scale_.data() + first, n, scale);
  for (int i = 0; i < n; ++i) shift[i] = bias[order[i]];
  kernels_.finish(f, sums, scale, shift, result, n);
  for (int i = 0; i < n; ++i) y[order[i]] = result[i];
}

}  // namespace accel
