// SPDX-License-Identifier: BSD-3-Clause
// Products with a block-circulant matrix by Fourier transforms, float32, row-major vectors:
//
//   y[o] = f(sum_i W[o][i] s[i] x[i] + bias[o]),   W[u b + i][v b + j] = r[u][v][(i - j) mod b]
//
// with p x q blocks of b x b; x and y may end inside the last blocks. p = q = 1 is a circulant matrix.
//
// Two real vectors make one complex vector x1 + i x2: r is real, so their products come out side by side. A vector of
// n numbers is a matrix of rows of as many as there are lanes: rounds of radix 8 and less run across rows; then pairs
// of neighbours are transposed in registers, transformed along the row, and transposed back. In between stands the
// product by the spectrum. Where it is one of one, pairs stay polynomials of two numbers, a0 + a1 z, multiplied modulo
// z^2 - w: no stage between neighbours, there or back. Where many are added up, a last stage parts them.
// Forward by decimation in frequency, backward in time: no order of bits is ever restored, spectra are kept in the
// order in which transforms leave them. Backward is forward with real and imaginary parts exchanged.
// A length that does not divide into columns and factors 2, 3, 5, 7 becomes a linear convolution of at least 2 b - 1.
//
// Pairs: rows 2 k and 2 k + 1 of x, where both are finite, above 1e-15, and their norms lie within a factor of 4 of
// each other, so that neither is lost in the other's rounding. Otherwise each is computed alone. So a row has the same
// bits for any number of threads, but not in the company of another row; NaN and infinity stay in theirs, and fill it.
// Threads split pairs, or for few of them the blocks. Nothing may overlap.
// Sources: G. Cheng et al., An Exploration of Parameter Redundancy in Deep Networks with Circulant Projections, ICCV
// 2015; C. Ding et al., CirCNN, MICRO 2017.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/activation/activation.h"
#include "simd/isa.h"

namespace accel {

inline constexpr int kMostRounds = 24;

// Zeroed floats on a cache line.
class LineFloats {
 public:
  explicit LineFloats(long floats = 0) : memory_(static_cast<std::size_t>(floats) + 16) {
    const auto at = reinterpret_cast<std::uintptr_t>(memory_.data());
    begin_ = memory_.data() + (64 - at % 64) % 64 / sizeof(float);
  }
  float* data() const noexcept { return begin_; }
  std::size_t nbytes() const noexcept { return memory_.size() * sizeof(float); }

 private:
  std::vector<float> memory_;  // moves keep its place, copies would not
  float* begin_;
};

// One round, over blocks of `length` rows.
struct CirculantRound {
  enum class Direction { first, forward, backward };  // first: forward, and adds up the squares of its input

  const float *re, *im;
  long step;  // floats between the rows of a butterfly
  float *to_re, *to_im;
  long to_step;
  long rows, length;
  const float* twiddles;
  float* squares;  // of re and of im
};
using CirculantRoundFn = void (*)(const CirculantRound&) noexcept;

// How vectors of one length are transformed on one instruction set; the same for all spectra.
struct CirculantTables {
  long n, rows;  // of `lanes` numbers
  int rounds, radix[kMostRounds];
  CirculantRoundFn run[kMostRounds][3];  // by direction
  long length[kMostRounds + 1];          // rows in a block of round i; 1 after the last
  long piece;  // floats between the parts into which the first round divides a plane, a few more than they hold
  long plane;  // floats of the real or the imaginary parts, and some that keep the two out of each other's cache sets
  const float* twiddles[kMostRounds];  // [place][radix][re, im]; of the last round [row][re, im][lanes]
  const float* turns;                  // [points][re, im][lanes] that part leaves, and signs [lanes]
  LineFloats memory;

  CirculantTables(long n, std::size_t isa);
  CirculantTables(const CirculantTables&) = delete;
  long spectrum_floats(std::size_t isa) const noexcept;  // that `forward` and `leaves` make
  // Of a vector, for `apply`: twice as many, in the order of multiply_leaves.
  LineFloats leaf_spectrum(const float* re, const float* im, std::size_t isa) const;
};

// Where chunk c of a spectrum lies: `re` of one vector's lanes and then `im`, at data + c * step.
struct Spectrum {
  float* data;
  long step;
};

inline constexpr float kCirculantRatio = 16.f;  // at most, of the squared norms of a pair

struct CirculantInput {
  const float *re, *im;
  bool pair;  // two rows, to be checked
};

// Products of spectra, sum over q of w[p][q] x[q][t]; T of the vectors at once.
struct SpectralProduct {
  const float* w;                                  // [chunk][p][q][re, im][lanes]
  const float* x;                                  // [chunk][q][t][re, im][lanes], chunks x_step apart
  float* y;                                        // [chunk][p][t][re, im][lanes]
  long x_step, y_step, p, q, chunks, first, last;  // rows first .. last-1 of w
};
inline constexpr int kMostTogether = 4;

struct CirculantKernels {
  int lanes, points;  // numbers in a row, and half of them
  CirculantRoundFn (*round)(int radix, bool last, CirculantRound::Direction) noexcept;
  // `work` is 2 planes, on a cache line. False, and nothing done, for two rows that are no pair.
  bool (*apply)(const CirculantTables&, const CirculantInput&, const float* spectrum, float* to_re, float* to_im,
                float* work) noexcept;
  // The transform but for its last stage, chunk after chunk.
  void (*leaves)(const CirculantTables&, const CirculantInput&, float* to, float* work) noexcept;
  void (*forward)(const CirculantTables&, const CirculantInput&, const Spectrum&, float* work) noexcept;
  void (*backward)(const CirculantTables&, const Spectrum&, float* to_re, float* to_im, float* work) noexcept;
  void (*multiply[kMostTogether])(const SpectralProduct&) noexcept;
  bool (*alike)(const float* x1, const float* x2, long n) noexcept;  // whether two rows are a pair
  void (*scale)(const float* x, const float* by, float* y, long n) noexcept;
  void (*finish)(float* y, const float* bias, long n, const Activation&) noexcept;  // bias may be null
  // x of 4 m numbers modulo z^2m - 1 to `sum`, and modulo z^2m + 1 as m complex numbers, turned; and back.
  void (*split)(const float* x, long m, const float* turns, float* sum, float* re, float* im) noexcept;
  void (*join)(const float* sum, const float* re, const float* im, long m, const float* turns, float* y) noexcept;
};
extern const CirculantKernels* const kCirculant[kIsaCount];

// The shortest length of at least `least` for which there are tables.
long circulant_length(long least, std::size_t isa) noexcept;
std::shared_ptr<const CirculantTables> circulant_tables(long n, std::size_t isa);  // the same for everyone

// One real vector alone, of n = 4 m numbers: modulo z^n - 1 = (z^2m - 1) (z^2m + 1) it is a vector of half the length,
// and one that with z^m = i, and turned, is a complex one of a quarter, whose products are complex ones modulo z^m - 1.
// The half divides again and again: transforms of half the numbers in all, and no spectrum of a real vector to
// separate.
class SingleCirculant {
 public:
  SingleCirculant(const float* r, long n, std::size_t isa);
  std::size_t nbytes() const noexcept;
  long scratch_floats() const noexcept;
  void run(const float* x, float* y, float* scratch) const noexcept;

 private:
  struct Level {
    std::shared_ptr<const CirculantTables> tables;
    LineFloats turns, spectrum;
  };
  void run_level(std::size_t level, long n, const float* x, float* y, float* scratch) const noexcept;

  long n_;
  const CirculantKernels& kernels_;
  std::vector<Level> levels_;  // the last is not divided
};

struct CirculantShape {
  long p, q, b, in, out;  // in in (q - 1) b + 1 .. q b, and out alike
};

class Circulant {
 public:
  // r: [p][q][b]; signs: [in] or null. For one row at a time, `single` prepares another way. Throws
  // std::invalid_argument, std::bad_alloc.
  Circulant(const float* r, const float* signs, const CirculantShape& shape, bool single, std::size_t isa);

  const CirculantShape& shape() const noexcept { return shape_; }
  std::size_t nbytes() const noexcept;
  bool divides(long batch) const noexcept;  // whether several threads would share it
  long scratch_floats(long batch, int threads) const noexcept;
  void run(long batch, const Activation& f, const float* x, const float* bias, float* y, float* scratch,
           int threads) const noexcept;

 private:
  struct Call;
  struct Job;
  long group_pairs(long batch) const noexcept;
  long thread_floats() const noexcept;
  long group_floats(long pairs) const noexcept;
  long x_step(long jobs) const noexcept;
  long y_step(long jobs) const noexcept;
  double work() const noexcept;
  int jobs_of(const Call& call, long pair, Job* jobs) const noexcept;
  const float* input(const float* row, long block, float* memory) const noexcept;
  void forward(const Job* jobs, int count, long block, float* group, float* scratch) const noexcept;
  void backward(const Job* jobs, int count, long block, const float* group, float* scratch) const noexcept;
  void multiply(int count, long first, long last, float* group) const noexcept;
  void run_single(const Call& call, float* scratch) const noexcept;
  bool run_job(const Call& call, const Job& job, float* scratch) const noexcept;
  void run_pairs(const Call& call, long first, long last, float* scratch) const noexcept;
  void run_groups(const Call& call, long first, long last, float* scratch) const noexcept;
  void run_group(const Call& call, const Job* jobs, int count, float* group, float* scratch,
                 int threads) const noexcept;
  void finish(const Call& call, float* y) const noexcept;

  CirculantShape shape_;
  const CirculantKernels& kernels_;
  std::shared_ptr<const CirculantTables> tables_;
  long chunks_;
  LineFloats spectra_, zeros_, signs_;
  bool signed_;
  std::unique_ptr<SingleCirculant> single_;
};

}  // namespace accel
