// SPDX-License-Identifier: BSD-3-Clause
// The kernels of sign.h.
#include "kernels/activation/activation.inl.h"
// clang-format off
#include ACCEL_ISA_FILE(simd/bits_)
// clang-format on

namespace accel::ACCEL_ISA {
namespace {

// Entry j: x[i] is added where bit i of j is set, and subtracted where it is not.
ACCEL_INLINE void fill_table(const float* x, float* table) {
  constexpr unsigned kSet[4] = {0xaaaa, 0xcccc, 0xf0f0, 0xff00};  // the j whose bit i is set
  ACCEL_UNROLL(4)
  for (int j = 0; j < 16; j += f32::lanes) {
    f32 part[4];
    ACCEL_UNROLL(4)
    for (int i = 0; i < 4; ++i) part[i] = sign_by_bits(set1(x[i]), kSet[i] >> j);
    store(table + j, (part[0] + part[1]) + (part[2] + part[3]));
  }
}

void sign_panel(const std::uint32_t* codes, const float* x, long blocks, float* sums) noexcept {
  alignas(64) float tables[kSignColumns / 4][16];
  for (int t = 0; t < kSignColumns / 4; ++t) fill_table(x + 4 * t, tables[t]);
  const auto* c = reinterpret_cast<const std::uint8_t*>(codes);
  for (long b = 0; b < blocks; ++b, c += 8 * kSignRows, sums += kSignRows) {
    ACCEL_UNROLL(4)
    for (int lane = 0; lane < kSignRows; lane += f32::lanes) {
      f32 sum = load(sums + lane);
      ACCEL_UNROLL(8)
      for (int t = 0; t < kSignColumns / 4; t += 2) {
        // A byte further on stands the next byte of every dword: half of the shifts are loads instead.
        const auto* at = c + t / 8 * 4 * kSignRows + 4 * lane + t % 8 / 2;
        const i32 code = load_i32(reinterpret_cast<const std::int32_t*>(at));
        sum = sum + look_up(Sixteen(tables[t]), code);
        sum = sum + look_up(Sixteen(tables[t + 1]), next_nibble(code));
      }
      store(sums + lane, sum);
    }
  }
}

void sign_finish(const Activation& f, const float* sums, const float* scale, const float* bias, float* y,
                 long n) noexcept {
  for (long i = 0; i < n; i += f32::lanes) {
    const int left = n - i < f32::lanes ? static_cast<int>(n - i) : f32::lanes;
    const f32 r = fma(load_n(scale + i, left), load_n(sums + i, left), load_n(bias + i, left));
    store_n(y + i, activate(f, r), left);
  }
}

}  // namespace

extern const SignKernels kSignKernels;
const SignKernels kSignKernels = {&sign_panel, &sign_finish};

}  // namespace accel::ACCEL_ISA
