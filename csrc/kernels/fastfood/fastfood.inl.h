// SPDX-License-Identifier: BSD-3-Clause
// The passes of fastfood.h. Tried on Zen 4: quads of a vector inserted one after the other, in place of halves first,
// no gain; quads scattered by the pass before in place of gathered, whose stores of 16 bytes take as long as whole
// vectors, 3 % slower; stages of `gather` between column blocks that do not follow each other, whose addresses do not
// fit the registers, 40 % slower. A column block is `lanes` elements of four rows: four vectors, of which vector k
// holds the quads of elements k, 4 + k, ...; they lie one after the other.
// clang-format off
#include ACCEL_ISA_FILE(simd/lanes_)
// clang-format on
#include "kernels/fwht/butterflies.inl.h"
// after the words that it is made of
#include "kernels/fastfood/finish.inl.h"

namespace accel::ACCEL_ISA {
namespace {

constexpr int kLanes = f32::lanes, kColumn = 4 * kLanes;  // floats of a column block
constexpr int kQuadStages = (kLanes - 1) & ~3;            // lane distances 4 and 8, as far as there are
constexpr int kOuterBits = kFwhtBits - 2;

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

// The same in the other order: the bits of the column block's number first.
template <int BITS>
ACCEL_INLINE void last_stages(f32* v, int log2n, const Signs<float>& signs, f32 one) {
  if constexpr (BITS > 0) stage<4 << BITS, 4, false>(v, one);
  if constexpr (BITS > 1) stage<4 << BITS, 8, false>(v, one);
  ACCEL_UNROLL(4)
  for (int i = 0; i < 1 << BITS; ++i) outer_stages<0>(v + 4 * i, log2n, signs, one);
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

// Vector K of 2^BITS column blocks, one after the other: their places are constants.
template <int BITS, int K>
ACCEL_INLINE void gather_stages(const std::uint32_t* at, const float* g, const float* quads, float* to, f32 one) {
  constexpr int kBlocks = 1 << BITS;
  f32 v[kBlocks];
  ACCEL_UNROLL(16)
  for (int i = 0; i < kBlocks; ++i)
    v[i] = gather_quads(quads, at + i * kLanes + K * (kLanes / 4)) * spread<K>(load(g + i * kLanes));
  butterflies<BITS, 0>(v, Signs<float>(), one);
  ACCEL_UNROLL(16)
  for (int i = 0; i < kBlocks; ++i) store(to + i * kColumn + K * kLanes, v[i]);
}

template <int BITS>
void fastfood_gather(const FastfoodBlock& a, const float* quads, float* to) noexcept {
  constexpr int kElements = kLanes << BITS;
  const f32 one = Signs<float>().one();
  const std::uint32_t* at = a.at;
  const float* g = a.g;
  for (long left = column_blocks(a) >> BITS; left > 0; --left, at += kElements, g += kElements, to += 4 * kElements) {
    gather_stages<BITS, 0>(at, g, quads, to, one);
    gather_stages<BITS, 1>(at, g, quads, to, one);
    gather_stages<BITS, 2>(at, g, quads, to, one);
    gather_stages<BITS, 3>(at, g, quads, to, one);
  }
}

template <FastfoodFinish::Kind KIND, int BITS>
void fastfood_last(const FastfoodRows& rows, const FastfoodBlock& a, const float* quads) noexcept {
  constexpr int kBlocks = 1 << BITS;
  const Signs<float> signs;
  const f32 one = signs.one();
  const Finish<KIND> finish(rows, a);
  const long step = column_blocks(a) / kBlocks;
  for (long c = 0; c < step; ++c) {
    f32 v[4 * kBlocks];
    ACCEL_UNROLL(16)
    for (int i = 0; i < 4 * kBlocks; ++i) v[i] = load(quads + (c + i / 4 * step) * kColumn + i % 4 * kLanes);
    last_stages<BITS>(v, a.log2n, signs, one);
    ACCEL_UNROLL(4)
    for (int i = 0; i < kBlocks; ++i) {
      const long at = (c + i * step) * kLanes;
      if (at >= a.out) continue;
      transpose_quads(v + 4 * i);
      finish.template put<4>(v + 4 * i, at);
    }
  }
}

}  // namespace
}  // namespace accel::ACCEL_ISA
#include "kernels/fastfood/strips.inl.h"
namespace accel::ACCEL_ISA {
namespace {

template <FastfoodFinish::Kind KIND, int BITS>
constexpr void fill_last(FastfoodKernels& k) {
  if constexpr (BITS <= kOuterBits) k.last[static_cast<int>(KIND)][BITS] = &fastfood_last<KIND, BITS>;
  if constexpr (BITS < 2) fill_last<KIND, BITS + 1>(k);
}
template <int BITS>
constexpr void fill_fastfood(FastfoodKernels& k) {
  if constexpr (BITS <= kOuterBits) k.first[BITS] = &fastfood_first<BITS>;
  k.gather[BITS] = &fastfood_gather<BITS>;
  if constexpr (BITS < kFwhtBits) fill_fastfood<BITS + 1>(k);
}
template <FastfoodFinish::Kind KIND>
constexpr void fill_strip_last(FastfoodKernels& k) {
  k.strip_last[static_cast<int>(KIND)] = &strip_last<KIND>;
}
template <int UP>
constexpr void fill_strips(FastfoodKernels& k) {
  k.strip_first[UP] = &strip_first<UP>, k.strip_gather[UP] = &strip_gather<UP>;
  if constexpr (UP < kFwhtBits) fill_strips<UP + 1>(k);
}
constexpr FastfoodKernels fastfood_kernels() {
  FastfoodKernels k{};
  k.lanes = kLanes;
  k.outer_bits = kOuterBits;
  k.between_bits = kFwhtBits;
  fill_fastfood<0>(k);
  fill_last<FastfoodFinish::Kind::none, 0>(k);
  fill_last<FastfoodFinish::Kind::add, 0>(k);
  fill_last<FastfoodFinish::Kind::waves, 0>(k);
  k.strip_bits = log2_of(kLanes) + kFwhtBits;
  k.strip_in = &strip_in;
  fill_strips<0>(k);
  fill_strip_last<FastfoodFinish::Kind::none>(k);
  fill_strip_last<FastfoodFinish::Kind::add>(k);
  fill_strip_last<FastfoodFinish::Kind::waves>(k);
  return k;
}
constexpr FastfoodKernels kFastfoodKernels = fastfood_kernels();

}  // namespace
}  // namespace accel::ACCEL_ISA
