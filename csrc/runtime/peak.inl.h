// SPDX-License-Identifier: BSD-3-Clause
// Two per cycle at a latency of four want eight chains; where a multiply-add is two instructions of three cycles each,
// twelve. With their operands these still fit into sixteen registers.

namespace accel::ACCEL_ISA {
namespace {

constexpr int kChains = 12;

float multiply_add(long rounds) noexcept {
  f32 sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = set1(static_cast<float>(c));
  const f32 half = set1(0.5f), one = set1(1.f);  // the chains tend to 2, far from denormals
  for (long r = 0; r < rounds; ++r) {
    ACCEL_UNROLL(12)
    for (int c = 0; c < kChains; ++c) sums[c] = fma(sums[c], half, one);
  }
  for (int c = 1; c < kChains; ++c) sums[0] = sums[0] + sums[c];
  float lanes[f32::lanes];
  store(lanes, sums[0]);
  return lanes[0];
}

float read(const float* x, long n) noexcept {
  constexpr int kStep = 8;
  f32 most[kStep];
  for (int s = 0; s < kStep; ++s) most[s] = load(x);
  for (long i = 0; i < n; i += kStep * f32::lanes) {
    ACCEL_UNROLL(8)
    for (int s = 0; s < kStep; ++s) most[s] = max(most[s], load(x + i + s * f32::lanes));
  }
  for (int s = 1; s < kStep; ++s) most[0] = max(most[0], most[s]);
  float lanes[f32::lanes];
  store(lanes, most[0]);
  return lanes[0];
}

constexpr Probe kProbe = {2L * kChains * f32::lanes, &multiply_add, &read};

}  // namespace
}  // namespace accel::ACCEL_ISA
