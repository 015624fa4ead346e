// SPDX-License-Identifier: BSD-3-Clause
// y = S H G Pi H B x for blocks of n = 2^log2n, stacked: H orthonormal, S, G, B diagonal, (Pi z)[i] = z[perm[i]].
// x is rows x d_in with zeros behind (d_in <= n), y is rows x d_out, the first d_out of blocks x n outputs.
//
// Four rows at a time: once 4 x 4 numbers are transposed, each 16 bytes hold the same element of four rows, a quad.
// Then the permutation moves quads, which is four times less work than moving floats, two stages less lie within lanes,
// and everything stays in the L1 cache up to n = 512. Four passes for n = 1024 with AVX-512: rows to quads and six
// stages; four stages; quads gathered by the permutation and four stages; six stages, and quads to rows.
//
// Where n is at most 16 vectors long (8 with 16 registers), at least one, and there are more than four rows, as many
// rows at a time as a vector has lanes: strips.inl.h.
//
// A row has the same bits alone, in any batch, and on any number of threads. x and y must not overlap.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/fwht/fwht.h"
#include "runtime/memory.h"

namespace accel {

inline constexpr int kFastfoodMostLog2 = 26;  // an offset into the quads has 32 bits

// What is done to S H G Pi H B x = v, by its element i.
struct FastfoodFinish {
  // v; v + offset[i]; amplitude cos(v + offset[i]), and in d_out more numbers of the row the sines of the same.
  enum class Kind { none, add, waves };
  Kind kind = Kind::none;
  float amplitude = 1.f;
};

// Four rows on their way in or out, or a strip of `lanes`; `rows` of them are real, the pointers of others repeat one.
struct FastfoodRows {
  const float* x[16];
  float* y[16];
  int rows;
  long sines;  // where in a row of y they begin
};
// Of one block: its column blocks (each of `lanes` elements), and how many numbers of x and y it has.
struct FastfoodBlock {
  const float *b, *g, *s, *offset;
  const std::uint32_t* at;  // where quad perm[i] lies
  long in, out;
  int log2n;
  float amplitude;
};
struct FastfoodKernels {
  int lanes;
  int outer_bits;    // most bits of the column block's number that `first` and `last` take, from the top
  int between_bits;  // most bits of a pass that is neither, and of `gather`
  // Rows to quads, times b, and the stages of the top `bits` bits, of the quad and of the elements in a vector.
  void (*first[3])(const FastfoodRows&, const FastfoodBlock&, float* quads) noexcept;
  // Quads by the permutation, times g, and the stages of the lowest `bits` bits.
  void (*gather[kFwhtMostBits + 1])(const FastfoodBlock&, const float* quads, float* to) noexcept;  // [bits]
  // As `first`, back to rows, times s.
  void (*last[3][3])(const FastfoodRows&, const FastfoodBlock&, const float* quads) noexcept;  // [kind][bits]
  // Strips: from one vector to 2^strip_bits elements. `up`: log2 of the number of column blocks.
  int strip_bits;
  void (*strip_in)(const FastfoodRows&, const FastfoodBlock&, float* x) noexcept;                        // transposed
  void (*strip_first[kFwhtMostBits + 1])(const FastfoodBlock&, const float* x, float* to) noexcept;      // [up]
  void (*strip_gather[kFwhtMostBits + 1])(const FastfoodBlock&, const float* from, float* to) noexcept;  // [up]
  void (*strip_last[3])(const FastfoodRows&, const FastfoodBlock&, const float* from) noexcept;          // [kind]
};
extern const FastfoodKernels* const kFastfood[kIsaCount];

struct FastfoodArrays {  // blocks x n each; offset [d_out] or null
  const float *b, *g, *s, *offset;
  const std::int32_t* perm;  // of every block a permutation of 0 .. n - 1
};
struct FastfoodSpec {
  long d_in, d_out, blocks;
  int log2n;
};

class Fastfood {
 public:
  // Throws std::bad_alloc. The arrays are copied.
  Fastfood(const FastfoodSpec& spec, const FastfoodArrays& arrays, const FastfoodFinish& finish, std::size_t isa);

  const FastfoodSpec& spec() const noexcept { return spec_; }
  std::size_t isa() const noexcept { return isa_; }
  std::size_t nbytes() const noexcept { return bytes_; }
  long scratch_floats(int threads) const noexcept { return thread_floats() * threads; }
  long row_floats() const noexcept {
    return finish_.kind == FastfoodFinish::Kind::waves ? 2 * spec_.d_out : spec_.d_out;
  }
  void run(long rows, const float* x, float* y, float* scratch, int threads) const noexcept;

 private:
  FastfoodBlock block(long number) const noexcept;
  FastfoodRows rows_at(const float* x, float* y, long first, int height, long rows) const noexcept;
  void quads(const FastfoodRows& rows, const FastfoodBlock& a, float* scratch) const noexcept;
  void strip(const FastfoodRows& rows, const FastfoodBlock& a, bool first, float* scratch) const noexcept;
  bool has_strips() const noexcept;
  long thread_floats() const noexcept;
  void between(float* quads, int skipped, int bits, int below) const noexcept;

  FastfoodSpec spec_;
  FastfoodFinish finish_;
  std::size_t isa_;
  const FastfoodKernels& kernels_;
  long padded_;  // n, or the lanes of a vector
  int column_bits_;
  std::size_t bytes_;
  Memory memory_;
  const float *b_, *g_, *s_, *offset_;
  const std::uint32_t* at_;
};

}  // namespace accel
