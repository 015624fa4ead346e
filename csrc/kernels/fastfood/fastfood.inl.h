// SPDX-License-Identifier: BSD-3-Clause
// The passes of fastfood.h. Tried on Zen 4: quads of a vector inserted one after the other, in place of halves first,
// no gain; three or four stages in `gather`, whose addresses then no longer fit the registers, 40 % slower than in a
// pass of their own. A column block is `lanes` elements of four rows: four vectors, of which vector k holds the quads
// of elements k, 4 + k, ...; they lie one after the other.
// clang-format off
#include ACCEL_ISA_FILE(simd/lanes_)
// clang-format on
#include "kernels/fwht/butterflies.inl.h"

namespace accel::ACCEL_ISA {
namespace {

constexpr int kLanes = f32::lanes, kColumn = 4 * kLanes;  // floats of a column block
constexpr int kQuadStages = (kLanes - 1) & ~3;            // lane distances 4 and 8, as far as there are
constexpr int kOuterBits = kFwhtBits - 2;

ACCEL_INLINE f32 load_up_to(const float* p, long left) {
  return left >= kLanes ? load(p) : left > 0 ? load_n(p, static_cast<int>(left)) : zero();
}

// The stages of four vectors that are all of a transform no longer than a vector: those of its bits.
ACCEL_INLINE void short_stages(f32* v, int log2n, const Signs<float>& signs, f32 one) {
  if (log2n > 0) stage<4, 1, false>(v, one);
  if (log2n > 1) stage<4, 2, false>(v, one);
  if constexpr (kLanes >= 8)
    if (log2n > 2) lane_stage<4, 2>(v, signs);
  if constexpr (kLanes >= 16)
    if (log2n > 3) lane_stage<4, 3>(v, signs);
}

template <int BITS>
ACCEL_INLINE void outer_stages(f32* v, int log2n, const Signs<float>& signs, f32 one) {
  if constexpr (BITS == 0)
    if ((1 << log2n) < kLanes) return short_stages(v, log2n, signs, one);
  butterflies<2 + BITS, kQuadStages>(v, signs, one);
}

ACCEL_INLINE long column_blocks(const FastfoodBlock& a) { return std::max((1l << a.log2n) / kLanes, 1l); }

template <int BITS>
void fastfood_first(const FastfoodRows& rows, const FastfoodBlock& a, float* quads) noexcept {
  constexpr int kBlocks = 1 << BITS;
  const Signs<float> signs;
  const f32 one = signs.one();
  const long step = column_blocks(a) / kBlocks;
  for (long c = 0; c < step; ++c) {
    f32 v[4 * kBlocks];
    ACCEL_UNROLL(4)
    for (int i = 0; i < kBlocks; ++i) {
      const long at = (c + i * step) * kLanes;
      const f32 b = load(a.b + at);
      ACCEL_UNROLL(4)
      for (int r = 0; r < 4; ++r) v[4 * i + r] = load_up_to(rows.x[r] + at, a.in - at) * b;
      transpose_quads(v + 4 * i);
    }
    outer_stages<BITS>(v, a.log2n, signs, one);
    ACCEL_UNROLL(16)
    for (int i = 0; i < 4 * kBlocks; ++i) store(quads + (c + i / 4 * step) * kColumn + i % 4 * kLanes, v[i]);
  }
}

// Vector K of the column blocks `step` apart from number c on.
template <int BITS, int K>
ACCEL_INLINE void gather_stages(const FastfoodBlock& a, const float* quads, float* to, long c, long step, f32 one) {
  constexpr int kBlocks = 1 << BITS;
  f32 v[kBlocks];
  ACCEL_UNROLL(16)
  for (int i = 0; i < kBlocks; ++i) {
    const long at = (c + i * step) * kLanes;
    v[i] = gather_quads(quads, a.at + at + K * (kLanes / 4)) * spread<K>(load(a.g + at));
  }
  butterflies<BITS, 0>(v, Signs<float>(), one);
  ACCEL_UNROLL(16)
  for (int i = 0; i < kBlocks; ++i) store(to + (c + i * step) * kColumn + K * kLanes, v[i]);
}

template <int BITS>
void fastfood_gather(const FastfoodBlock& a, const float* quads, float* to, int skipped) noexcept {
  const f32 one = Signs<float>().one();
  const long below = column_blocks(a) >> skipped, step = below >> BITS;
  for (long top = 0; top < 1l << skipped; ++top)
    for (long c = top * below; c < top * below + step; ++c) {
      gather_stages<BITS, 0>(a, quads, to, c, step, one);
      gather_stages<BITS, 1>(a, quads, to, c, step, one);
      gather_stages<BITS, 2>(a, quads, to, c, step, one);
      gather_stages<BITS, 3>(a, quads, to, c, step, one);
    }
}

// cos(x) within 2e-7 for |x| <= 2^13, within [-1, 1] beyond: x = k pi + r, pi in three parts of which the first two
// have 11 bits, so that k times them is exact; then the even polynomial of degree 10 on |r| <= pi / 2, off by less than
// 2e-9.
ACCEL_INLINE f32 cosine(f32 x) {
  const f32 k = round_even(x * set1(0.318309886f));
  f32 r = fma(k, set1(-3.140625f), x);
  r = fma(k, set1(-9.67502593994140625e-4f), r);
  r = fma(k, set1(-1.50995799e-7f), r);
  r = min(set1(1.575f), max(set1(-1.575f), r));  // k may be one off
  const f32 q = r * r;
  f32 p = set1(-2.61937998e-7f);
  p = fma(p, q, set1(2.47693042e-5f));
  p = fma(p, q, set1(-1.38885691e-3f));
  p = fma(p, q, set1(4.16666567e-2f));
  p = fma(p, q, set1(-0.5f));
  p = fma(p, q, set1(1.f));
  const f32 odd = k - set1(2.f) * round_even(k * set1(0.5f));  // -1, 0 or 1
  return p * fma(odd * odd, set1(-2.f), set1(1.f));
}

template <FastfoodFinish::Kind KIND, int BITS>
void fastfood_last(const FastfoodRows& rows, const FastfoodBlock& a, const float* quads) noexcept {
  using Kind = FastfoodFinish::Kind;
  constexpr int kBlocks = 1 << BITS;
  const Signs<float> signs;
  const f32 one = signs.one(), amplitude = set1(a.amplitude);
  const long step = column_blocks(a) / kBlocks;
  for (long c = 0; c < step; ++c) {
    f32 v[4 * kBlocks];
    ACCEL_UNROLL(16)
    for (int i = 0; i < 4 * kBlocks; ++i) v[i] = load(quads + (c + i / 4 * step) * kColumn + i % 4 * kLanes);
    outer_stages<BITS>(v, a.log2n, signs, one);
    ACCEL_UNROLL(4)
    for (int i = 0; i < kBlocks; ++i) {
      const long at = (c + i * step) * kLanes, left = a.out - at;
      if (left <= 0) continue;
      transpose_quads(v + 4 * i);
      const f32 s = load(a.s + at);
      f32 offset = zero();
      if constexpr (KIND != Kind::none) offset = load(a.offset + at);
      ACCEL_UNROLL(4)
      for (int r = 0; r < 4; ++r) {
        if (r >= rows.rows) continue;
        f32 y = KIND == Kind::none ? v[4 * i + r] * s : fma(v[4 * i + r], s, offset);
        if constexpr (KIND == Kind::cosine) y = amplitude * cosine(y);
        if (left >= kLanes)
          store(rows.y[r] + at, y);
        else
          store_n(rows.y[r] + at, y, static_cast<int>(left));
      }
    }
  }
}

template <FastfoodFinish::Kind KIND, int BITS>
constexpr void fill_last(FastfoodKernels& k) {
  if constexpr (BITS <= kOuterBits) k.last[static_cast<int>(KIND)][BITS] = &fastfood_last<KIND, BITS>;
  if constexpr (BITS < 2) fill_last<KIND, BITS + 1>(k);
}
template <int BITS>
constexpr void fill_fastfood(FastfoodKernels& k) {
  if constexpr (BITS <= kOuterBits) k.first[BITS] = &fastfood_first<BITS>;
  k.gather[BITS] = &fastfood_gather<BITS>;
  if constexpr (BITS < kFastfoodGathered) fill_fastfood<BITS + 1>(k);
}
constexpr FastfoodKernels fastfood_kernels() {
  FastfoodKernels k{};
  k.lanes = kLanes;
  k.outer_bits = kOuterBits;
  k.between_bits = kFwhtBits;
  fill_fastfood<0>(k);
  fill_last<FastfoodFinish::Kind::none, 0>(k);
  fill_last<FastfoodFinish::Kind::add, 0>(k);
  fill_last<FastfoodFinish::Kind::cosine, 0>(k);
  return k;
}
constexpr FastfoodKernels kFastfoodKernels = fastfood_kernels();

}  // namespace
}  // namespace accel::ACCEL_ISA
