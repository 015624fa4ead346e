// SPDX-License-Identifier: BSD-3-Clause
// Matrix product straight from codes: y[r][i] = f(bias[i] + sum_k book[codes[i][k]] x[r][k]), float32.
//
// Lanes are rows of W. Values are looked up in registers where they are multiplied, for a few rows of x; for more, a
// chunk of columns at a time is unfolded into the L1 cache and multiplied from there. Either way an output is added up
// column by column, bias first, as by the register tile of tile.h: the bits of the dense product, for any batch and
// number of threads. Only weights that `dots` says so of are multiplied otherwise: dot_bf16.cpp.
//
// In memory W is tiles of kCodebookRows rows. At most 16 values: column c of 8 is nibble c / 2 + 4 (c % 2) of a dword,
// and the dwords of a tile lie as [column / 8][row]. More: a byte, [column][row / 4 % 4][row / 16][row % 4].
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/activation/activation.h"
#include "runtime/memory.h"
#include "runtime/pool.h"
#include "simd/isa.h"

namespace accel {

inline constexpr int kCodebookRows = 64;     // of W in a tile
inline constexpr int kCodebookFew = 4;       // rows of x that a pass over the codes multiplies at most
inline constexpr int kCodebookBlock = 5;     // rows of x that a pass over an unfolded chunk multiplies at most
inline constexpr int kCodebookColumns = 64;  // of a chunk: 16 KB, half of an L1 cache

enum class CodeKind { nibbles, bytes64, bytes128, bytes256, halves64, halves128, halves256 };  // halves: bfloat16
inline constexpr int kCodeKinds = 7;

// A codebook as kernels look it up; zeros behind its values.
struct CodebookTable {
  float floats[256];
  std::uint8_t planes[4][256];  // their bytes, the lowest first
};

// Some rows of x times a tile.
struct CodebookTile {
  const std::uint8_t* codes;
  const CodebookTable* book;
  long depth;
  const float* x;
  long x_row;   // floats from one row to the next
  float* sums;  // [row of x][kCodebookRows], added to
};

struct CodebookKernels {
  int most_few[2];  // rows of x up to which codes are multiplied at once: of nibbles, of bytes
  void (*few[kCodeKinds][kCodebookFew])(const CodebookTile&) noexcept;  // [kind][rows of x - 1]
  // Columns begin .. end - 1 to[column - begin][kCodebookRows]; `begin` is a multiple of 8.
  void (*unfold[kCodeKinds])(const CodebookTile&, long begin, long end, float* to) noexcept;
  // sums += `columns` unfolded columns times x; [rows of x - 1].
  void (*multiply[kCodebookBlock])(const float* w, long columns, const float* x, long x_row, float* sums) noexcept;
  void (*finish)(const Activation& f, const float* sums, float* y, int n) noexcept;  // y = f(sums), n <= kCodebookRows
};
extern const CodebookKernels* const kCodebook[kIsaCount];

class CodebookLinear {
 public:
  // codes[out][depth], each below entries; books[count][entries], each of out / count rows. Throws std::bad_alloc.
  CodebookLinear(const std::uint8_t* codes, int out, int depth, const float* books, int count, int entries,
                 int threads);

  int out() const noexcept { return out_; }
  int depth() const noexcept { return depth_; }
  int bits() const noexcept { return kind_ == CodeKind::nibbles ? 4 : 8; }  // of a code in memory
  std::size_t nbytes() const noexcept;
  // Whether `isa` multiplies pairs of bfloat16 numbers: 4-bit codes of bfloat16 values, where the processor has it.
  bool dots(std::size_t isa) const noexcept;
  // Enough for any ISA.
  long scratch_floats(long rows, int threads) const noexcept;
  // x is rows x depth, y rows x out; bias is [out].
  void run(std::size_t isa, long rows, const Activation& f, const float* x, const float* bias, float* y, float* scratch,
           int threads) const noexcept;

 private:
  struct Job;
  void pack(const std::uint8_t* codes, int threads);
  void run_tile(const Job& job, long tile, float* scratch) const noexcept;
  void few_rows(const Job& job, const CodebookTile& tile) const noexcept;
  void many_rows(const Job& job, const CodebookTile& tile, float* chunk) const noexcept;
  long tiles() const noexcept { return tiles_per_book_ * static_cast<long>(books_.size()); }
  long columns() const noexcept { return (depth_ + 7l) / 8 * 8; }  // that are stored

  int out_, depth_;
  long rows_per_book_, tiles_per_book_, tile_bytes_;
  CodeKind kind_;
  bool halves_;  // 4-bit codes of values that are normal bfloat16 numbers or 0
  std::vector<CodebookTable> books_;
  Memory codes_;
};

// Rows of codes, each `depth` long, into a tile of zeros, with 4 or 8 bits for each.
void pack_codes(int bits, const std::uint8_t* codes, long rows, long depth, std::uint8_t* tile) noexcept;
constexpr int place_of_byte(int row) noexcept { return row % 16 / 4 * 16 + row / 16 * 4 + row % 4; }  // in a column

// Products of pairs of bfloat16 numbers, by VDPBF16PS.
inline constexpr int kDotFew = 2;  // rows of x at a time: sums of three leave registers
bool can_dot_bf16() noexcept;
// x as two bfloat16 numbers that add up to it within 2^-17 |x|, `columns` of each, zeros from `depth` on.
void split_bf16(const float* x, long depth, long columns, std::uint16_t* to) noexcept;
// As CodebookKernels::few, for 1 .. kDotFew rows of x as split_bf16 gives them, one after another.
void dot_bf16(const CodebookTile& tile, const std::uint16_t* x, int rows) noexcept;

// out[i] = book[codes[i]]; codes from `entries` on have its last value.
void unfold_codes(const std::uint8_t* codes, std::size_t n, const float* book, int entries, float* out) noexcept;

}  // namespace accel
