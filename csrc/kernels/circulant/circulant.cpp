// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/circulant/circulant.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/circulant/circulant.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kCirculantKernels
const CirculantKernels* const kCirculant[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kSkew = 32;  // floats between chunks, so that their stores do not fall into one cache set
constexpr long kGroupPairs = kMostTogether;

long lines(long floats) { return (floats + 15) / 16 * 16; }

// Block r as the transform of n numbers takes it: itself, or both ends of a linear convolution; times `scale`.
void unroll(const float* r, long b, long n, float scale, float* to) {
  std::fill_n(to, n, 0.f);
  for (long i = 0; i < b; ++i) to[i] = r[i] * scale;
  if (n != b)
    for (long i = 1; i < b; ++i) to[n - i] = r[b - i] * scale;
}

bool is_identity(const Activation& f) {
  constexpr float kInfinite = std::numeric_limits<float>::infinity();
  return f.kind == Activation::Kind::clamp && f.low == -kInfinite && f.high == kInfinite;
}

void check(const CirculantShape& s) {
  constexpr long kMost = 1l << 30;
  const bool positive = s.p > 0 && s.q > 0 && s.b > 0 && s.b <= kMost && s.p <= kMost / s.b && s.q <= kMost / s.b;
  if (!positive || s.in > s.q * s.b || s.in <= (s.q - 1) * s.b || s.out > s.p * s.b || s.out <= (s.p - 1) * s.b)
    throw std::invalid_argument("circulant: blocks and sizes do not fit");
}

// The instruction set whose kernels take blocks of b: the one below where b is a multiple of its eight lanes and not of
// sixteen. Twice the length on sixteen would take longer; eight instead of four would not.
std::size_t fitting(std::size_t isa, long b) {
  const bool below = isa > 0 && kCirculant[isa]->lanes == 16 && circulant_length(b, isa) != b;
  return below && circulant_length(b, isa - 1) == b ? isa - 1 : isa;
}

}  // namespace

struct Circulant::Call {
  long batch;
  const Activation& f;
  const float *x, *bias;
  float* y;
};

// One complex vector: two rows, or one with null in the second place.
struct Circulant::Job {
  const float* x[2];
  float* y[2];
};

Circulant::Circulant(const float* r, const float* signs, const CirculantShape& shape, bool single, std::size_t asked)
    : shape_(shape), kernels_(*kCirculant[fitting(asked, std::max(shape.b, 1l))]), signed_(signs != nullptr) {
  check(shape);
  const std::size_t isa = fitting(asked, shape.b);
  const long b = shape.b, blocks = shape.p * shape.q;
  const long n = circulant_length(b, isa) == b ? b : circulant_length(2 * b - 1, isa);
  tables_ = circulant_tables(n, isa);
  const long pair = 2l * kernels_.lanes, floats = tables_->spectrum_floats(isa);
  chunks_ = floats / pair;
  zeros_ = LineFloats(n), signs_ = LineFloats(signed_ ? shape.in : 0);
  if (signed_) std::copy_n(signs, shape.in, signs_.data());
  LineFloats block(n), work(2 * tables_->plane);
  const auto unrolled = [&](long i) {
    unroll(r + i * b, b, n, 1.f / static_cast<float>(n), block.data());
    return block.data();
  };
  spectra_ = blocks == 1 ? tables_->leaf_spectrum(unrolled(0), zeros_.data(), isa) : LineFloats(blocks * floats);
  for (long i = 0; blocks > 1 && i < blocks; ++i)
    kernels_.forward(*tables_, {unrolled(i), zeros_.data(), false}, {spectra_.data() + i * pair, blocks * pair},
                     work.data());
  if (single && blocks == 1 && n == b) single_ = std::make_unique<SingleCirculant>(r, n, isa);
}

std::size_t Circulant::nbytes() const noexcept {
  return spectra_.nbytes() + zeros_.nbytes() + signs_.nbytes() + (single_ ? single_->nbytes() : 0);
}

long Circulant::group_pairs(long batch) const noexcept { return std::min((batch + 1) / 2, kGroupPairs); }
long Circulant::x_step(long jobs) const noexcept { return shape_.q * jobs * 2 * kernels_.lanes + kSkew; }
long Circulant::y_step(long jobs) const noexcept { return shape_.p * jobs * 2 * kernels_.lanes + kSkew; }

// Of one thread: the transform's planes, and two vectors.
long Circulant::thread_floats() const noexcept { return lines(2 * tables_->plane) + 2 * lines(tables_->n + kSkew); }

// Of a group: the spectra of its input and of its output.
long Circulant::group_floats(long jobs) const noexcept {
  return shape_.p * shape_.q == 1 ? 0 : lines(chunks_ * (x_step(jobs) + y_step(jobs)));
}

long Circulant::scratch_floats(long batch, int threads) const noexcept {
  const long own = thread_floats() + group_floats(kMostTogether);
  const long alone = single_ && batch == 1 ? single_->scratch_floats() + 2 * lines(tables_->n) : 0;
  return std::max(threads * own, alone);
}

// Multiply-adds for one pair.
double Circulant::work() const noexcept {
  const auto n = static_cast<double>(tables_->n), p = static_cast<double>(shape_.p), q = static_cast<double>(shape_.q);
  return n * (2.5 * (p + q) * std::log2(n) + 4 * p * q);
}

bool Circulant::divides(long batch) const noexcept {
  return parts_for(work() * static_cast<double>((batch + 1) / 2), 2, 2) > 1;
}

// A pair of rows as one job, or as two; the last row of an odd number is alone.
int Circulant::jobs_of(const Call& call, long pair, Job* jobs) const noexcept {
  const float* x = call.x + 2 * pair * shape_.in;
  float* const y = call.y + 2 * pair * shape_.out;
  if (2 * pair + 1 == call.batch) {
    jobs[0] = {{x, nullptr}, {y, nullptr}};
    return 1;
  }
  if (kernels_.alike(x, x + shape_.in, shape_.in)) {
    jobs[0] = {{x, x + shape_.in}, {y, y + shape_.out}};
    return 1;
  }
  jobs[0] = {{x, nullptr}, {y, nullptr}};
  jobs[1] = {{x + shape_.in, nullptr}, {y + shape_.out, nullptr}};
  return 2;
}

// Block `block` of a row, by way of memory where it does not lie there as it is needed.
const float* Circulant::input(const float* row, long block, float* memory) const noexcept {
  if (!row) return zeros_.data();
  const long begin = block * shape_.b, count = std::min(shape_.b, shape_.in - begin);
  if (count == tables_->n && !signed_) return row + begin;
  if (signed_)
    kernels_.scale(row + begin, signs_.data() + begin, memory, count);
  else
    std::copy_n(row + begin, count, memory);
  std::fill_n(memory + count, tables_->n - count, 0.f);
  return memory;
}

void Circulant::finish(const Call& call, float* y) const noexcept {
  if (y && (call.bias || !is_identity(call.f))) kernels_.finish(y, call.bias, shape_.out, call.f);
}

void Circulant::run(long batch, const Activation& f, const float* x, const float* bias, float* y, float* scratch,
                    int threads) const noexcept {
  const Call call{batch, f, x, bias, y};
  if (single_ && batch == 1) return run_single(call, scratch);
  const long pairs = (batch + 1) / 2;
  const bool whole = shape_.p * shape_.q == 1;
  const long groups = whole ? pairs : (pairs + kGroupPairs - 1) / kGroupPairs;
  const double total = work() * static_cast<double>(pairs);
  if (!whole && groups < threads) {
    const int parts = parts_for(total / static_cast<double>(groups), std::max(shape_.p, shape_.q), threads);
    for (long pair = 0; pair < pairs; pair += kGroupPairs) {
      Job jobs[2 * kGroupPairs];
      int count = 0;
      for (long i = pair; i < std::min(pair + kGroupPairs, pairs); ++i) count += jobs_of(call, i, jobs + count);
      for (int i = 0; i < count; i += kMostTogether)
        run_group(call, jobs + i, std::min(count - i, kMostTogether), scratch + threads * thread_floats(), scratch,
                  parts);
    }
    return;
  }
  const long own = thread_floats() + group_floats(kMostTogether);
  parallel(parts_for(total, groups, threads), [&](int part, int parts) {
    const Range r = part_of(groups, part, parts);
    if (whole)
      run_pairs(call, r.begin, r.end, scratch + part * own);
    else
      run_groups(call, r.begin * kGroupPairs, std::min(r.end * kGroupPairs, pairs), scratch + part * own);
  });
}

void Circulant::run_single(const Call& call, float* scratch) const noexcept {
  float* const memory = scratch + single_->scratch_floats();
  float* const to = shape_.out == tables_->n ? call.y : memory + lines(tables_->n);
  single_->run(input(call.x, 0, memory), to, scratch);
  if (to != call.y) std::copy_n(to, shape_.out, call.y);
  finish(call, call.y);
}

// One block: transform, product and transform back in one go. False if the job's rows are no pair.
bool Circulant::run_job(const Call& call, const Job& job, float* scratch) const noexcept {
  float* const memory[] = {scratch + lines(2 * tables_->plane),
                           scratch + lines(2 * tables_->plane) + lines(tables_->n + kSkew)};
  const CirculantInput from{input(job.x[0], 0, memory[0]), input(job.x[1], 0, memory[1]), job.x[1] != nullptr};
  const bool direct = shape_.out == tables_->n;
  float* const to[] = {direct ? job.y[0] : memory[0], direct && job.y[1] ? job.y[1] : memory[1]};
  if (!kernels_.apply(*tables_, from, spectra_.data(), to[0], to[1], scratch)) return false;
  for (int k = 0; k < 2; ++k) {
    if (job.y[k] && !direct) std::copy_n(memory[k], shape_.out, job.y[k]);
    finish(call, job.y[k]);
  }
  return true;
}

void Circulant::run_pairs(const Call& call, long first, long last, float* scratch) const noexcept {
  for (long pair = first; pair < last; ++pair) {
    const float* const x = call.x + 2 * pair * shape_.in;
    float* const y = call.y + 2 * pair * shape_.out;
    const bool two = 2 * pair + 1 < call.batch;
    if (two && run_job(call, {{x, x + shape_.in}, {y, y + shape_.out}}, scratch)) continue;
    run_job(call, {{x, nullptr}, {y, nullptr}}, scratch);
    if (two) run_job(call, {{x + shape_.in, nullptr}, {y + shape_.out, nullptr}}, scratch);
  }
}

void Circulant::run_groups(const Call& call, long first, long last, float* scratch) const noexcept {
  float* const group = scratch + thread_floats();
  Job jobs[kMostTogether + 1];
  int count = 0;
  for (long pair = first; pair < last; ++pair) {
    count += jobs_of(call, pair, jobs + count);
    if (count < kMostTogether) continue;
    run_group(call, jobs, kMostTogether, group, scratch, 1);
    count -= kMostTogether;
    if (count > 0) jobs[0] = jobs[kMostTogether];
  }
  if (count > 0) run_group(call, jobs, count, group, scratch, 1);
}

// The spectrum of block `block` of every job.
void Circulant::forward(const Job* jobs, int count, long block, float* group, float* scratch) const noexcept {
  float* const memory = scratch + lines(2 * tables_->plane);
  for (int i = 0; i < count; ++i) {
    const float* re = input(jobs[i].x[0], block, memory);
    const float* im = input(jobs[i].x[1], block, memory + lines(tables_->n + kSkew));
    kernels_.forward(*tables_, {re, im, false}, {group + (block * count + i) * 2 * kernels_.lanes, x_step(count)},
                     scratch);
  }
}

void Circulant::multiply(int count, long first, long last, float* group) const noexcept {
  SpectralProduct a{};
  a.w = spectra_.data();
  a.x = group, a.x_step = x_step(count);
  a.y = group + chunks_ * a.x_step, a.y_step = y_step(count);
  a.p = shape_.p, a.q = shape_.q, a.chunks = chunks_, a.first = first, a.last = last;
  kernels_.multiply[count - 1](a);
}

void Circulant::backward(const Job* jobs, int count, long block, const float* group, float* scratch) const noexcept {
  float* const memory[] = {scratch + lines(2 * tables_->plane),
                           scratch + lines(2 * tables_->plane) + lines(tables_->n + kSkew)};
  const long begin = block * shape_.b, size = std::min(shape_.b, shape_.out - begin);
  const bool direct = size == tables_->n;
  for (int i = 0; i < count; ++i) {
    float* const y[] = {jobs[i].y[0] + begin, jobs[i].y[1] ? jobs[i].y[1] + begin : nullptr};
    float* const to[] = {direct ? y[0] : memory[0], direct && y[1] ? y[1] : memory[1]};
    const float* from = group + chunks_ * x_step(count) + (block * count + i) * 2 * kernels_.lanes;
    kernels_.backward(*tables_, {const_cast<float*>(from), y_step(count)}, to[0], to[1], scratch);
    for (int k = 0; k < 2; ++k)
      if (y[k] && !direct) std::copy_n(memory[k], size, y[k]);
  }
}

void Circulant::run_group(const Call& call, const Job* jobs, int count, float* group, float* scratch,
                          int threads) const noexcept {
  const long own = thread_floats();
  parallel(threads, [&](int part, int parts) {
    const Range r = part_of(shape_.q, part, parts);
    for (long v = r.begin; v < r.end; ++v) forward(jobs, count, v, group, scratch + part * own);
  });
  parallel(threads, [&](int part, int parts) {
    const Range r = part_of(shape_.p, part, parts);
    if (r.begin == r.end) return;
    multiply(count, r.begin, r.end, group);
    for (long u = r.begin; u < r.end; ++u) backward(jobs, count, u, group, scratch + part * own);
  });
  for (int i = 0; i < count; ++i)
    for (float* y : jobs[i].y) finish(call, y);
}

}  // namespace accel
