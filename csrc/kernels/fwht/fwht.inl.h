// SPDX-License-Identifier: BSD-3-Clause
// The passes of fwht.h. After a stage within lanes, which is an FMA, the stage between vectors subtracts; elsewhere it
// takes the difference as an FMA: sums and FMAs have pipes of their own (Zen 4: 20 % of a pass).
// Tried on Zen 4: all stages within lanes in one pass, 15 to 30 % slower from 2^9 on; software prefetch in passes over
// L3 of the lines of all rows in turn, 3 to 8 % slower, of a whole tile at once, 7 %, of the block that follows while
// this one is in the L2 cache, 4 %; passes over strided columns copied to a padded tile, or from the array into a
// padded copy, 20 to 60 % slower from 2^14 on; four bits at strides of 4 KB and more, whose 16 lines share a set of the
// L1 cache, up to 3 times slower. 2^22 (us): reading alone takes 200, the pass of three bits over the L3 cache 240, as
// long as it does over the L2 cache; one of four bits 710, since stores to lines that are gone take 920 for all of
// them. 32 KB blocks in place of 128: no difference.
// clang-format off
#include ACCEL_ISA_FILE(simd/lanes_)
// clang-format on
#include "kernels/fwht/butterflies.inl.h"

namespace accel::ACCEL_ISA {
namespace {

constexpr long kFarBytes = 1l << 20;  // what an L2 cache holds

// Of one block that reaches beyond the L2 cache, as many columns as fill tiles of four lines or less: while one is
// worked on, the lines of y for the next one are fetched, row by row. Lines of all rows in turn are more streams than
// the processor fetches ahead by itself, and stores to lines that are not there wait for them one by one. (One loop:
// GCC keeps the rows of nested ones in memory.)
template <class T, int ROWS, class F>
ACCEL_INLINE long far_columns(const T* x, T* y, const FwhtPass& shape, const F& columns) {
  using V = VectorOf<T>;
  constexpr long kLine = 64 / sizeof(T), kSteps = std::min<long>(ROWS, 4 * 64 / sizeof(V)), kTile = kSteps * V::lanes;
  if (shape.blocks > 1 || ROWS * shape.stride * static_cast<long>(sizeof(T)) < kFarBytes) return 0;
  const long tiles = shape.width / kTile;
  const T* next = tiles > 1 ? y + kTile : y;
  for (long count = tiles * kSteps, left = kSteps; count > 0; --count, x += V::lanes, y += V::lanes) {
    ACCEL_UNROLL(8)
    for (long i = 0; i < ROWS / kSteps; ++i, next += shape.stride) {
      ACCEL_UNROLL(8)
      for (long k = 0; k < kTile; k += kLine) prefetch(next + k);
    }
    columns(x, y);
    if (--left > 0) continue;
    left = kSteps;
    next = count > 2 * kSteps ? y + V::lanes + kTile : y;
  }
  return tiles * kTile;
}

// Columns that fill no vector, by `pass` on a copy in which they do. Not inlined: with it in the same function GCC
// keeps the rows of whole vectors in memory, too, where half of a pass goes.
template <class T, int ROWS>
[[gnu::noinline]] void last_columns(const T* x, T* y, const FwhtPass& shape, T scale,
                                    typename FwhtKernels<T>::Pass pass) noexcept {
  constexpr long kLanes = VectorOf<T>::lanes;
  const long whole = shape.width / kLanes * kLanes;
  const auto bytes = static_cast<std::size_t>(shape.width - whole) * sizeof(T);
  T t[ROWS * kLanes] = {};
  for (long b = 0; b < (bytes > 0 ? shape.blocks : 0); ++b) {
    const long at = b * ROWS * shape.stride + whole;
    for (long i = 0; i < ROWS; ++i) std::memcpy(t + i * kLanes, x + at + i * shape.stride, bytes);
    pass(t, t, {kLanes, kLanes, 1}, scale);
    for (long i = 0; i < ROWS; ++i) std::memcpy(y + at + i * shape.stride, t + i * kLanes, bytes);
  }
}

// BITS stages between vectors, LANES stages within, on `width` columns of every block.
template <class T, int BITS, int LANES, bool SCALED>
void fwht_pass(const T* x, T* y, const FwhtPass& sizes, T scale) noexcept {
  using V = VectorOf<T>;
  constexpr int kRows = 1 << BITS;
  FwhtPass shape = sizes;                 // a copy: for all the compiler knows, y holds the other one
  if constexpr (BITS == 0 || LANES == 0)  // else vectors are whole
    if (shape.width % V::lanes != 0) last_columns<T, kRows>(x, y, shape, scale, &fwht_pass<T, BITS, LANES, SCALED>);
  const Signs<T> signs;
  const V factor = splat(scale), one = signs.one();
  long at[8];  // in registers, for rows 0 .. 7 and 8 .. 15
  at[0] = 0;
  for (int i = 1; i < 8; ++i) {
    at[i] = at[i - 1] + shape.stride;
    ACCEL_OPAQUE(at[i]);
  }
  const auto columns = [&](const T* from, T* to) __attribute__((always_inline)) {
    V v[kRows];
    const T* const from8 = from + 8 * shape.stride;
    T* const to8 = to + 8 * shape.stride;
    ACCEL_UNROLL(16)
    for (int i = 0; i < kRows; ++i) {
      v[i] = load((i < 8 ? from : from8) + at[i % 8]);
      hide(v[i]);  // or it is loaded once for the shuffle and again for the sum
      if constexpr (SCALED) v[i] = v[i] * factor;
    }
    butterflies<BITS, LANES>(v, signs, one);
    ACCEL_UNROLL(16)
    for (int i = 0; i < kRows; ++i) store((i < 8 ? to : to8) + at[i % 8], v[i]);
  };
  if constexpr (BITS == 2 || BITS == 3) {
    const long done = far_columns<T, kRows>(x, y, shape, columns);
    x += done, y += done, shape.width -= done;
  }
  // One loop over all blocks: those of the last pass are one or a few vectors wide.
  const long steps = shape.width / V::lanes, block = kRows * shape.stride;
  for (long count = shape.blocks * steps, left = steps; count > 0; --count, x += V::lanes, y += V::lanes) {
    columns(x, y);
    if (--left > 0) continue;
    left = steps, x += block - steps * V::lanes, y += block - steps * V::lanes;
  }
}

// What FwhtPlan asks for. Without stages between vectors: a transform no longer than one. Else none, one, two or all
// stages within, the topmost of them in the first pass, which is the one that scales.
constexpr bool fwht_wanted(int bits, int lanes, int all, bool scaled) {
  if (bits == 0) return lanes > 0 && (lanes & (lanes + 1)) == 0;
  if (scaled && lanes > 0 && lanes <= all / 2) return false;
  return lanes == all || lanes <= 4 || lanes == 8 || lanes == 12;
}

template <class T, bool SCALED, int BITS, int LANES>
constexpr void fill_fwht(FwhtKernels<T>& k) {
  if constexpr (BITS <= kFwhtBits) {
    if constexpr (fwht_wanted(BITS, LANES, VectorOf<T>::lanes - 1, SCALED))
      k.pass[SCALED][BITS][LANES] = &fwht_pass<T, BITS, LANES, SCALED>;
    if constexpr (LANES < VectorOf<T>::lanes - 1)
      fill_fwht<T, SCALED, BITS, LANES + 1>(k);
    else
      fill_fwht<T, SCALED, BITS + 1, 0>(k);
  }
}

template <class T>
constexpr FwhtKernels<T> fwht_kernels() {
  FwhtKernels<T> k{};
  k.lane_bits = log2_of(VectorOf<T>::lanes);
  for (int l = 0; l <= kFwhtMostLog2; ++l) k.rows[l] = FwhtPlan(l, k.lane_bits, kFwhtBits);
  fill_fwht<T, false, 0, 0>(k);
  if constexpr (!std::is_integral_v<T>) fill_fwht<T, true, 0, 0>(k);
  return k;
}

constexpr FwhtKernels<float> kF32 = fwht_kernels<float>();
constexpr FwhtKernels<double> kF64 = fwht_kernels<double>();
constexpr FwhtKernels<std::int32_t> kI32 = fwht_kernels<std::int32_t>();

}  // namespace
}  // namespace accel::ACCEL_ISA
