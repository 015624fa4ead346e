// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>

#include "kernels/circulant/circulant.h"

namespace accel {
namespace {

constexpr long kLeastQuarter = 128;  // numbers of a transform that is worth a division

bool divides(long n, std::size_t isa) {
  return n % 4 == 0 && n / 4 >= kLeastQuarter && circulant_length(n / 4, isa) == n / 4 &&
         circulant_length(n / 2, isa) == n / 2;
}

// exp(i pi j / 2 m): [re, im][m]
LineFloats turns_of(long m) {
  LineFloats turns(2 * m);
  for (long j = 0; j < m; ++j) {
    const double angle = M_PI * static_cast<double>(j) / static_cast<double>(2 * m);
    turns.data()[j] = static_cast<float>(std::cos(angle)), turns.data()[m + j] = static_cast<float>(std::sin(angle));
  }
  return turns;
}

long lines(long floats) { return (floats + 15) / 16 * 16; }

}  // namespace

SingleCirculant::SingleCirculant(const float* r, long n, std::size_t isa) : n_(n), kernels_(*kCirculant[isa]) {
  LineFloats rest(n), parts(n), none(n);
  const float scale = 1.f / static_cast<float>(n);
  for (long i = 0; i < n; ++i) rest.data()[i] = r[i] * scale;
  for (;; n /= 2) {
    Level level;
    const bool divided = divides(n, isa);
    const long m = divided ? n / 4 : n;
    level.tables = circulant_tables(m, isa);
    const float *re = rest.data(), *im = none.data();
    LineFloats half(divided ? n / 2 : 0);
    if (divided) {
      level.turns = turns_of(m);
      kernels_.split(rest.data(), m, level.turns.data(), half.data(), parts.data(), parts.data() + m);
      re = parts.data(), im = parts.data() + m;
    }
    level.spectrum = level.tables->leaf_spectrum(re, im, isa);
    // The transform of m multiplies by m, and every `join` so far, this level's included, by 2: of what divides that
    // 1 / n of the whole is in the numbers already, and 2 is left where m is a quarter.
    const float left = divided ? 2.f : 1.f;
    for (long i = 0; i < 2 * level.tables->spectrum_floats(isa); ++i) level.spectrum.data()[i] *= left;
    levels_.push_back(std::move(level));
    if (!divided) break;
    rest = std::move(half);
  }
}

std::size_t SingleCirculant::nbytes() const noexcept {
  std::size_t sum = 0;
  for (const Level& level : levels_) sum += level.turns.nbytes() + level.spectrum.nbytes();
  return sum;
}

// Of the transforms; then per division the half, and the quarter's two parts.
long SingleCirculant::scratch_floats() const noexcept {
  long work = 0, parts = 0, n = n_;
  for (const Level& level : levels_) {
    work = std::max(work, 2 * level.tables->plane);
    parts += 2 * lines(n);
    n /= 2;
  }
  return lines(work) + parts;
}

void SingleCirculant::run(const float* x, float* y, float* scratch) const noexcept { run_level(0, n_, x, y, scratch); }

void SingleCirculant::run_level(std::size_t at, long n, const float* x, float* y, float* scratch) const noexcept {
  const Level& level = levels_[at];
  long work = 0;
  for (const Level& other : levels_) work = std::max(work, 2 * other.tables->plane);
  float* own = scratch + lines(work);
  for (std::size_t i = 0; i < at; ++i) own += 2 * lines(n_ >> i);
  const float* spectrum = level.spectrum.data();
  if (at + 1 == levels_.size()) {  // nothing stands beside it: zeros, and what comes of them
    float *zeros = own, *unused = own + lines(n);
    std::fill_n(zeros, n, 0.f);
    kernels_.apply(*level.tables, {x, zeros, false}, spectrum, y, unused, scratch);
    return;
  }
  const long m = n / 4;
  float *half = own, *re = own + lines(2 * m), *im = re + lines(m);
  kernels_.split(x, m, level.turns.data(), half, re, im);
  kernels_.apply(*level.tables, {re, im, false}, spectrum, re, im, scratch);
  run_level(at + 1, n / 2, half, half, scratch);
  kernels_.join(half, re, im, m, level.turns.data(), y);
}

}  // namespace accel
