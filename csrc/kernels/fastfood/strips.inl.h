// SPDX-License-Identifier: BSD-3-Clause
// As many rows at a time as a vector has lanes, one in each: no stage lies within vectors, the permutation moves whole
// ones, and the rows of x are transposed once for all blocks. Four passes, each of one half of the bits; the sums are
// those of quads, in the same order, so that a row has the same bits either way. Column blocks of the transformed x lie
// as quads do, by the same table of the permutation.
// Tried on Zen 4: results transposed after the stages in place of between them, 2.6 cycles a vector slower; stores past
// the caches, 5 % faster into memory that is there, 60 % slower into fresh pages.
namespace accel::ACCEL_ISA {
namespace {

constexpr int kLaneBits = log2_of(kLanes);
constexpr int quad_place(int j) { return j % 4 * (kLanes / 4) + j / 4; }  // of element j of a column block
constexpr int swapped(int j) { return (j & ~3) | (j & 1) << 1 | (j & 2) >> 1; }

// The stages of the elements within a column block.
ACCEL_INLINE void low_stages(f32* v, f32 one) {
  if constexpr (kLanes >= 16) stage<kLanes, 8, false>(v, one);
  stage<kLanes, 1, false>(v, one);
  if constexpr (kLanes >= 8) stage<kLanes, 4, false>(v, one);
  stage<kLanes, 2, false>(v, one);
}

// The same, and lanes for vectors: element j of all rows is in lane j of vectors 0 .. kLanes - 1 afterwards.
template <bool BUSY>
ACCEL_INLINE void low_stages_transposed(f32* v, f32 one) {
  if constexpr (kLanes >= 16) stage<kLanes, 8, BUSY>(v, one);
  stage<kLanes, 1, BUSY>(v, one);
  transpose_step<0>(v);
  if constexpr (kLanes >= 8) stage<kLanes, 4, BUSY>(v, one), transpose_step<2>(v);
  stage<kLanes, 2, BUSY>(v, one);
  if constexpr (kLanes >= 16) transpose_step<3>(v);
  transpose_step<1>(v);
}

// Stage `bit` of the number of a column block.
template <int UP, int BIT>
ACCEL_INLINE void up_stage(f32* v, f32 one) {
  if constexpr (BIT >= 0 && BIT < UP) stage<1 << UP, 1 << BIT, false>(v, one);
}

void strip_in(const FastfoodRows& rows, const FastfoodBlock& a, float* x) noexcept {
  for (long at = 0; at < 1l << a.log2n; at += kLanes, x += kLanes * kLanes) {
    f32 v[kLanes];
    ACCEL_UNROLL(16)
    for (int r = 0; r < kLanes; ++r) v[r] = load_up_to(rows.x[r] + at, a.in - at);
    transpose(v);
    ACCEL_UNROLL(16)
    for (int j = 0; j < kLanes; ++j) store(x + j * kLanes, v[j]);
  }
}

// From x times b, the low bits; then those of the column block's number: the outer ones of quads first.
template <int UP>
void strip_first(const FastfoodBlock& a, const float* x, float* to) noexcept {
  constexpr int kOuter = UP < kOuterBits ? UP : kOuterBits, kInner = UP - kOuter;
  const f32 one = Signs<float>().one();
  for (long c = 0; c < kLanes << UP; c += kLanes) {
    f32 v[kLanes];
    ACCEL_UNROLL(16)
    for (int j = 0; j < kLanes; ++j) v[j] = load(x + (c + j) * kLanes) * set1(a.b[c + j]);
    low_stages(v, one);
    ACCEL_UNROLL(16)
    for (int j = 0; j < kLanes; ++j) store(to + (c + quad_place(j)) * kLanes, v[j]);
  }
  if constexpr (UP > 0)
    for (long j = 0; j < kLanes; ++j) {
      f32 v[1 << UP];
      ACCEL_UNROLL(16)
      for (int i = 0; i < 1 << UP; ++i) v[i] = load(to + (i * kLanes + j) * kLanes);
      up_stage<UP, kInner>(v, one), up_stage<UP, kInner + 1>(v, one);
      up_stage<UP, kInner - 2>(v, one), up_stage<UP, kInner - 1>(v, one);
      ACCEL_UNROLL(16)
      for (int i = 0; i < 1 << UP; ++i) store(to + (i * kLanes + j) * kLanes, v[i]);
    }
}

template <int UP>
void strip_gather(const FastfoodBlock& a, const float* from, float* to) noexcept {
  const f32 one = Signs<float>().one();
  for (int j = 0; j < kLanes; ++j) {
    const long place = quad_place(j);
    f32 v[1 << UP];
    ACCEL_UNROLL(16)
    for (int i = 0; i < 1 << UP; ++i)
      v[i] = load(from + static_cast<long>(a.at[i * kLanes + place]) * (kLanes / 4)) * set1(a.g[i * kLanes + j]);
    up_stage<UP, 0>(v, one), up_stage<UP, 1>(v, one), up_stage<UP, 2>(v, one), up_stage<UP, 3>(v, one);
    ACCEL_UNROLL(16)
    for (int i = 0; i < 1 << UP; ++i) store(to + (i * kLanes + j) * kLanes, v[i]);
  }
}

template <FastfoodFinish::Kind KIND>
void strip_last(const FastfoodRows& rows, const FastfoodBlock& a, const float* from) noexcept {
  const f32 one = Signs<float>().one();
  const Finish<KIND> finish(rows, a);
  for (long at = 0; at < a.out; at += kLanes) {
    f32 v[kLanes], y[kLanes];
    ACCEL_UNROLL(16)
    for (int j = 0; j < kLanes; ++j) v[j] = load(from + (at + j) * kLanes);
    low_stages_transposed<KIND == FastfoodFinish::Kind::waves>(v, one);
    ACCEL_UNROLL(16)
    for (int r = 0; r < kLanes; ++r) y[r] = v[swapped(r)];
    finish.template put<kLanes>(y, at);
  }
}

}  // namespace
}  // namespace accel::ACCEL_ISA
