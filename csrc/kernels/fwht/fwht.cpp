// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/fwht/fwht.h"

#include <algorithm>
#include <type_traits>

#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/fwht/fwht.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kF32
const FwhtKernels<float>* const kFwhtF32[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY
#define ACCEL_TABLE_ENTRY kF64
const FwhtKernels<double>* const kFwhtF64[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY
#define ACCEL_TABLE_ENTRY kI32
const FwhtKernels<std::int32_t>* const kFwhtI32[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kBlockBytes = 128 * 1024;  // an eighth of an L2 cache: in here all passes follow each other
constexpr long kTileBytes = 512 * 1024;   // half an L2 cache: columns of an inner axis that are worked on together
constexpr long kLeastColumns = 64;        // of such a tile
constexpr long kShared = 1 << 15;         // from this size on threads share one transform

template <class T>
class Transform {
 public:
  Transform(const FwhtSpec& s, const FwhtKernels<T>& k, const FwhtPlan& plan, T scale, int threads) noexcept
      : s_(s), k_(k), plan_(plan), scale_(scale), threads_(threads) {}

  void run(const T* x, T* y) const noexcept {
    const long n = 1l << s_.log2n, work = n * s_.inner, bytes = work * static_cast<long>(sizeof(T));
    if (plan_.steps == 0) return scale_only(x, y);
    if (s_.outer == 1 && s_.inner == 1 && n >= kShared && threads_ > 1) return share(x, y);
    long columns = s_.inner;
    if (bytes > kTileBytes) columns = std::min(columns, std::max(kTileBytes / (bytes / s_.inner), kLeastColumns));
    const long tiles = (s_.inner + columns - 1) / columns;
    const long group = tiles > 1 ? 1 : std::max(kBlockBytes / bytes, 1l);
    const long units = tiles > 1 ? s_.outer * tiles : (s_.outer + group - 1) / group;
    const double cost = static_cast<double>(s_.outer) * static_cast<double>(work) * plan_.steps;
    parallel(parts_for(cost, units, threads_), [&](int part, int parts) {
      const Range range = part_of(units, part, parts);
      for (long u = range.begin; u < range.end; ++u) {
        if (tiles > 1) {
          const Range c = part_of(s_.inner, static_cast<int>(u % tiles), static_cast<int>(tiles));
          const long at = u / tiles * work + c.begin;
          deep(x + at, y + at, s_.log2n, 0, c.end - c.begin, 1);
        } else {
          const long at = u * group * work;
          deep(x + at, y + at, s_.log2n, 0, s_.inner, std::min(group, s_.outer - u * group));
        }
      }
    });
  }

 private:
  // Passes `at` and later on blocks of 2^bits numbers, each of `columns` of the inner axis.
  void deep(const T* x, T* y, int bits, int at, long columns, long blocks) const noexcept {
    const long floats = (columns * blocks) << bits;
    if (floats * static_cast<long>(sizeof(T)) <= kBlockBytes) {
      for (; at < plan_.steps; ++at, x = y) {
        step(x, y, bits, at, columns, blocks);
        bits -= plan_.step[at].bits;
        blocks <<= plan_.step[at].bits;
      }
      return;
    }
    step(x, y, bits, at, columns, blocks);
    const int left = bits - plan_.step[at].bits;
    if (at + 1 == plan_.steps) return;
    const long all = blocks << plan_.step[at].bits, bytes = (columns << left) * static_cast<long>(sizeof(T));
    const long group = columns == s_.inner ? std::max(kBlockBytes / bytes, 1l) : 1;
    for (long b = 0; b < all; b += group) {
      T* const to = y + ((b * s_.inner) << left);
      deep(to, to, left, at + 1, columns, std::min(group, all - b));
    }
  }

  void step(const T* x, T* y, int bits, int at, long columns, long blocks) const noexcept {
    const FwhtPlan::Step& p = plan_.step[at];
    const bool scaled = at == 0 && scale_ != T(1);
    const auto pass = k_.pass[scaled][p.bits][p.lanes];
    const long below = 1l << (bits - p.bits);
    if (p.bits == 0) return pass(x, y, {0, (s_.inner * blocks) << bits, 1}, scale_);
    if (columns == s_.inner) return pass(x, y, {below * s_.inner, below * s_.inner, blocks}, scale_);
    for (long b = 0; b < blocks; ++b)
      for (long i = 0; i < below; ++i) {
        const long at = ((b << bits) + i) * s_.inner;
        pass(x + at, y + at, {below * s_.inner, columns, 1}, scale_);
      }
  }

  // One long transform: threads share the columns of the first pass, then the blocks that it leaves.
  void share(const T* x, T* y) const noexcept {
    const FwhtPlan::Step& p = plan_.step[0];
    const int left = s_.log2n - p.bits;
    const long below = 1l << left, chunk = kLeastColumns, chunks = below / chunk;
    const auto pass = k_.pass[scale_ != T(1)][p.bits][p.lanes];
    parallel(parts_for(static_cast<double>(1l << s_.log2n), chunks, threads_), [&](int part, int parts) {
      const Range r = part_of(chunks, part, parts);
      const long at = r.begin * chunk;
      pass(x + at, y + at, {below, (r.end - r.begin) * chunk, 1}, scale_);
    });
    const long blocks = 1l << p.bits;
    const double cost = static_cast<double>(1l << s_.log2n) * plan_.steps;
    parallel(parts_for(cost, blocks, threads_), [&](int part, int parts) {
      const Range r = part_of(blocks, part, parts);
      for (long b = r.begin; b < r.end; ++b) deep(y + b * below, y + b * below, left, 1, 1, 1);
    });
  }

  void scale_only(const T* x, T* y) const noexcept {  // n = 1, and 1 / sqrt(1) is 1
    if (x != y) std::copy_n(x, s_.outer * s_.inner, y);
  }

  const FwhtSpec& s_;
  const FwhtKernels<T>& k_;
  const FwhtPlan& plan_;
  const T scale_;
  const int threads_;
};

// In 10 ns less than a Transform takes to see that there is nothing to share or to divide.
template <class T>
void one_row(const FwhtPlan& plan, const FwhtKernels<T>& k, int bits, const T* x, T* y, T scale) noexcept {
  long blocks = 1;
  for (int at = 0; at < plan.steps; ++at, x = y) {
    const auto [between, lanes] = plan.step[at];
    bits -= between;
    k.pass[at == 0 && scale != T(1)][between][lanes](x, y, {1l << bits, 1l << bits, blocks}, scale);
    blocks <<= between;
  }
}

}  // namespace

template <class T>
void fwht(const FwhtSpec& spec, const FwhtKernels<T>& kernels, const T* x, T* y, T scale, int threads) noexcept {
  if (spec.outer == 0 || spec.inner == 0) return;
  const FwhtPlan& rows = kernels.rows[spec.log2n];
  if (spec.inner == 1 && spec.outer == 1 && rows.steps > 0 &&
      (static_cast<long>(sizeof(T)) << spec.log2n) <= kBlockBytes)
    return one_row(rows, kernels, spec.log2n, x, y, scale);
  if (spec.inner == 1) return Transform<T>(spec, kernels, rows, scale, threads).run(x, y);
  const FwhtPlan plan(spec.log2n, 0, 3);
  Transform<T>(spec, kernels, plan, scale, threads).run(x, y);
}
template void fwht(const FwhtSpec&, const FwhtKernels<float>&, const float*, float*, float, int) noexcept;
template void fwht(const FwhtSpec&, const FwhtKernels<double>&, const double*, double*, double, int) noexcept;
template void fwht(const FwhtSpec&, const FwhtKernels<std::int32_t>&, const std::int32_t*, std::int32_t*, std::int32_t,
                   int) noexcept;

}  // namespace accel
