// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/codebook/codebook.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#define ACCEL_KERNEL_FILE "kernels/codebook/codebook.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kCodebookKernels
const CodebookKernels* const kCodebook[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr double kDecode = 4;  // multiply-adds that looking a value up takes as long as, at most

// VDPBF16PS takes denormal numbers for zeros.
bool is_half(float value) noexcept {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return (bits & 0xffff) == 0 && (value == 0 || std::fabs(value) >= 1.17549435e-38f);
}

CodeKind kind_of(int entries, bool halves) noexcept {
  if (entries <= 16) return CodeKind::nibbles;
  if (entries <= 64) return halves ? CodeKind::halves64 : CodeKind::bytes64;
  if (entries <= 128) return halves ? CodeKind::halves128 : CodeKind::bytes128;
  return halves ? CodeKind::halves256 : CodeKind::bytes256;
}

CodebookTable table_of(const float* values, int entries) noexcept {
  CodebookTable t{};
  std::copy_n(values, entries, t.floats);
  for (int i = 0; i < entries; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, values + i, 4);
    for (int b = 0; b < 4; ++b) t.planes[b][i] = static_cast<std::uint8_t>(bits >> 8 * b);
  }
  return t;
}

void pack_nibbles(const std::uint8_t* codes, long rows, long depth, std::uint8_t* tile) noexcept {
  for (long r = 0; r < rows; ++r)
    for (long k = 0; k < depth; ++k) {
      const long nibble = k % 8 / 2 + k % 2 * 4;
      std::uint8_t& to = tile[(k / 8 * kCodebookRows + r) * 4 + nibble / 2];
      to = static_cast<std::uint8_t>(to | codes[r * depth + k] << 4 * (nibble % 2));
    }
}
void pack_bytes(const std::uint8_t* codes, long rows, long depth, std::uint8_t* tile) noexcept {
  for (int r = 0; r < rows; ++r)
    for (long k = 0; k < depth; ++k) tile[k * kCodebookRows + place_of_byte(r)] = codes[r * depth + k];
}

}  // namespace

void pack_codes(int bits, const std::uint8_t* codes, long rows, long depth, std::uint8_t* tile) noexcept {
  (bits == 4 ? pack_nibbles : pack_bytes)(codes, rows, depth, tile);
}

struct CodebookLinear::Job {
  const CodebookKernels& kernels;
  const Activation& f;
  const float *x, *bias;
  const std::uint16_t* split;  // x as split_bf16 gives it, or null
  float* y;
  long rows;
  bool few;
};

CodebookLinear::CodebookLinear(const std::uint8_t* codes, int out, int depth, const float* books, int count,
                               int entries, int threads)
    : out_(out), depth_(depth), rows_per_book_(out / count) {
  tiles_per_book_ = (rows_per_book_ + kCodebookRows - 1) / kCodebookRows;
  halves_ = std::all_of(books, books + static_cast<long>(count) * entries, is_half);
  kind_ = kind_of(entries, halves_);
  tile_bytes_ = columns() * kCodebookRows * bits() / 8;
  for (long b = 0; b < count; ++b) books_.push_back(table_of(books + b * entries, entries));
  pack(codes, threads);
}

void CodebookLinear::pack(const std::uint8_t* codes, int threads) {
  codes_ = allocate(static_cast<std::size_t>(tiles() * tile_bytes_));
  const double work = static_cast<double>(out_) * depth_;
  parallel(parts_for(work, tiles(), threads), [&](int part, int parts) {
    const Range r = part_of(tiles(), part, parts);
    for (long t = r.begin; t < r.end; ++t) {
      const long in_book = t % tiles_per_book_ * kCodebookRows;
      const std::uint8_t* from = codes + (t / tiles_per_book_ * rows_per_book_ + in_book) * depth_;
      const long rows = std::min<long>(kCodebookRows, rows_per_book_ - in_book);
      pack_codes(bits(), from, rows, depth_, codes_.begin + t * tile_bytes_);
    }
  });
}

std::size_t CodebookLinear::nbytes() const noexcept {
  return static_cast<std::size_t>(tiles() * tile_bytes_) + books_.size() * sizeof(CodebookTable);
}

bool CodebookLinear::dots(std::size_t isa) const noexcept {
  return kind_ == CodeKind::nibbles && halves_ && kCodebook[isa]->most_few[0] > kCodebookFew && can_dot_bf16();
}

long CodebookLinear::scratch_floats(long rows, int threads) const noexcept {
  const long sums = rows * kCodebookRows, chunk = kCodebookColumns * kCodebookRows;
  return threads * (sums + chunk) + rows * columns();
}

void CodebookLinear::run(std::size_t isa, long rows, const Activation& f, const float* x, const float* bias, float* y,
                         float* scratch, int threads) const noexcept {
  const CodebookKernels& kernels = *kCodebook[isa];
  Job job{kernels, f, x, bias, nullptr, y, rows, rows <= kernels.most_few[bits() == 8]};
  const double work = (kDecode + static_cast<double>(rows)) * out_ * depth_;
  const int n = parts_for(work, tiles(), threads);
  const long each = rows * kCodebookRows + kCodebookColumns * kCodebookRows;
  if (dots(isa)) {
    auto* split = reinterpret_cast<std::uint16_t*>(scratch + n * each);
    for (long r = 0; r < rows; ++r) split_bf16(x + r * depth_, depth_, columns(), split + r * 2 * columns());
    job.split = split;
  }
  parallel(n, [&](int part, int parts) {
    const Range r = part_of(tiles(), part, parts);
    for (long t = r.begin; t < r.end; ++t) run_tile(job, t, scratch + part * each);
  });
}

void CodebookLinear::run_tile(const Job& job, long tile, float* scratch) const noexcept {
  const long book = tile / tiles_per_book_, in_book = tile % tiles_per_book_ * kCodebookRows;
  const long first = book * rows_per_book_ + in_book;
  const int count = static_cast<int>(std::min<long>(kCodebookRows, rows_per_book_ - in_book));
  float bias[kCodebookRows] = {};
  std::copy_n(job.bias + first, count, bias);
  for (long r = 0; r < job.rows; ++r) std::memcpy(scratch + r * kCodebookRows, bias, sizeof bias);
  const CodebookTile t{
      codes_.begin + tile * tile_bytes_, &books_[static_cast<std::size_t>(book)], depth_, job.x, depth_, scratch};
  if (job.few || job.split)
    few_rows(job, t);
  else
    many_rows(job, t, scratch + job.rows * kCodebookRows);
  for (long r = 0; r < job.rows; ++r)
    job.kernels.finish(job.f, scratch + r * kCodebookRows, job.y + r * out_ + first, count);
}

void CodebookLinear::few_rows(const Job& job, const CodebookTile& tile) const noexcept {
  const long most = job.split ? kDotFew : kCodebookFew, blocks = (job.rows + most - 1) / most;
  for (long b = 0; b < blocks; ++b) {
    const Range r = part_of(job.rows, static_cast<int>(b), static_cast<int>(blocks));
    CodebookTile t = tile;
    t.x += r.begin * depth_;
    t.sums += r.begin * kCodebookRows;
    const int rows = static_cast<int>(r.end - r.begin);
    if (job.split)
      dot_bf16(t, job.split + r.begin * 2 * columns(), rows);
    else
      job.kernels.few[static_cast<int>(kind_)][rows - 1](t);
  }
}

void CodebookLinear::many_rows(const Job& job, const CodebookTile& tile, float* chunk) const noexcept {
  const long blocks = (job.rows + kCodebookBlock - 1) / kCodebookBlock;
  for (long k = 0; k < depth_; k += kCodebookColumns) {
    const long columns = std::min<long>(kCodebookColumns, depth_ - k);
    job.kernels.unfold[static_cast<int>(kind_)](tile, k, k + columns, chunk);
    for (long b = 0; b < blocks; ++b) {
      const Range r = part_of(job.rows, static_cast<int>(b), static_cast<int>(blocks));
      job.kernels.multiply[r.end - r.begin - 1](chunk, columns, tile.x + r.begin * depth_ + k, depth_,
                                                tile.sums + r.begin * kCodebookRows);
    }
  }
}

}  // namespace accel
