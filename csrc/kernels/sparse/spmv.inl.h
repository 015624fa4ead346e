// SPDX-License-Identifier: BSD-3-Clause
// The kernels of spmv.h. With float32 values they are bound by reading them, from L3 in 4 to 5 cycles per 16 slots.
// Tried on Zen 4: software prefetch 2, 4 or 8 KB ahead, 15 % slower; four groups to a window, 7 % slower; the places of
// a vector as 16 bytes of their own, widened by VPMOVZXBD, 10 % slower than four vectors' in one line and shifts.
// Values packed without gaps, for VEXPANDPS: 31 % slower in the cache; places read unaligned, not shifted: 21 %.
#include "kernels/activation/activation.inl.h"
// clang-format off
#include ACCEL_ISA_FILE(simd/window_)
// clang-format on

namespace accel::ACCEL_ISA {
namespace {

// The values of four groups in one step, `part` vectors into each: get<i>() of group i.
template <ValueKind KIND>
struct SpmvValues;
template <>
struct SpmvValues<ValueKind::f32> {
  explicit ACCEL_FORCE_INLINE SpmvValues(const SpmvBook&) {}
  template <int I>
  ACCEL_FORCE_INLINE f32 get() const {
    return load(reinterpret_cast<const float*>(at + I * kSpmvLine));
  }
  ACCEL_FORCE_INLINE void read(const std::uint8_t* p) { at = p; }
  const std::uint8_t* at;
};
template <>
struct SpmvValues<ValueKind::bf16> {
  explicit ACCEL_FORCE_INLINE SpmvValues(const SpmvBook&) {}
  template <int I>
  ACCEL_FORCE_INLINE f32 get() const {
    return bf16_to_f32<I % 2>(load_dwords(at + I / 2 * kSpmvLine));
  }
  ACCEL_FORCE_INLINE void read(const std::uint8_t* p) { at = p; }
  const std::uint8_t* at;
};
template <>
struct SpmvValues<ValueKind::i8> {
  explicit ACCEL_FORCE_INLINE SpmvValues(const SpmvBook&) {}
  template <int I>
  ACCEL_FORCE_INLINE f32 get() const {
    return i8_to_f32<I>(dwords);
  }
  ACCEL_FORCE_INLINE void read(const std::uint8_t* p) { dwords = load_dwords(p); }
  Dwords dwords;
};
template <>
struct SpmvValues<ValueKind::code16> {
  explicit ACCEL_FORCE_INLINE SpmvValues(const SpmvBook& b) : book(b.floats) {}
  template <int I>
  ACCEL_FORCE_INLINE f32 get() const {
    return look_up<I>(book, codes);
  }
  ACCEL_FORCE_INLINE void read(const std::uint8_t* p) { codes = load_dwords(p); }
  Book16 book;
  Dwords codes;
};
template <>
struct SpmvValues<ValueKind::code256> {
  explicit ACCEL_FORCE_INLINE SpmvValues(const SpmvBook& b) : book(b.floats, b.planes) {}
  template <int I>
  ACCEL_FORCE_INLINE f32 get() const {
    return four[I];
  }
  ACCEL_FORCE_INLINE void read(const std::uint8_t* p) { look_up_four(book, p, four); }
  Book256 book;
  f32 four[4];
};

template <ValueKind KIND, int GROUPS, class Columns>
void spmv_steps(const SpmvSteps& s, const float* x, const SpmvBook& book, float* sums) noexcept {
  constexpr int kParts = kSpmvLanes / f32::lanes;  // vectors of a group
  constexpr long kValues = spmv_lines(GROUPS, value_bytes(KIND)) * kSpmvLine,
                 kIndex = spmv_lines(GROUPS, 1) * kSpmvLine;
  const std::uint8_t *values = s.values, *index = s.index;
  f32 sum[GROUPS * kParts];
  ACCEL_UNROLL(32)
  for (int i = 0; i < GROUPS * kParts; ++i) sum[i] = load(sums + i * f32::lanes);
  SpmvValues<KIND> w(book);
  for (long t = 0; t < s.steps; ++t) {
    const Columns at(x + s.windows[t]);
    ACCEL_UNROLL(2)
    for (int first = 0; first < GROUPS; first += 4) {
      ACCEL_UNROLL(4)
      for (int part = 0; part < kParts; ++part) {
        const long lane = part * f32::lanes * 4;
        const Dwords places = load_dwords(index + first / 4 * kSpmvLine + lane);
        w.read(values + spmv_lines(first, value_bytes(KIND)) * kSpmvLine + lane);
        f32* to = sum + first * kParts + part;
        to[0] = fma_real<0>(places, w.template get<0>(), look_up<0>(at, places), to[0]);
        if (first + 1 < GROUPS)
          to[kParts] = fma_real<1>(places, w.template get<1>(), look_up<1>(at, places), to[kParts]);
        if (first + 2 < GROUPS)
          to[2 * kParts] = fma_real<2>(places, w.template get<2>(), look_up<2>(at, places), to[2 * kParts]);
        if (first + 3 < GROUPS)
          to[3 * kParts] = fma_real<3>(places, w.template get<3>(), look_up<3>(at, places), to[3 * kParts]);
      }
    }
    values += kValues;
    index += kIndex;
  }
  ACCEL_UNROLL(32)
  for (int i = 0; i < GROUPS * kParts; ++i) store(sums + i * f32::lanes, sum[i]);
}

template <ValueKind KIND>
ACCEL_INLINE float spmv_value(const void* values, long at, const float* book) {
  if constexpr (KIND == ValueKind::f32) return static_cast<const float*>(values)[at];
  if constexpr (KIND == ValueKind::i8) return static_cast<const std::int8_t*>(values)[at];
  if constexpr (KIND == ValueKind::bf16) {
    const std::uint32_t bits = static_cast<std::uint32_t>(static_cast<const std::uint16_t*>(values)[at]) << 16;
    float f;
    std::memcpy(&f, &bits, sizeof f);
    return f;
  }
  if constexpr (KIND == ValueKind::code16 || KIND == ValueKind::code256)
    return book[static_cast<const std::uint8_t*>(values)[at]];
}

// Neighbours in the list are of different lanes mostly, so their sums do not wait for one another.
template <ValueKind KIND>
void spmv_singles(const SpmvSingles& s, const float* x, const SpmvBook& book, float* sums) noexcept {
  for (long i = 0; i < s.count; ++i) sums[s.lanes[i]] += spmv_value<KIND>(s.values, i, book.floats) * x[s.columns[i]];
}

void spmv_finish(const Activation& f, const float* sums, const float* scale, const float* bias, float* y,
                 int n) noexcept {
  with_activation(f, [&](const auto& g) __attribute__((always_inline)) {
    for (int i = 0; i < n; i += f32::lanes) store(y + i, g(fma(load(scale + i), load(sums + i), load(bias + i))));
  });
}

#define ACCEL_SPMV_GROUPS(KIND, Columns)                                               \
  {&spmv_steps<ValueKind::KIND, 1, Columns>, &spmv_steps<ValueKind::KIND, 2, Columns>, \
   &spmv_steps<ValueKind::KIND, 3, Columns>, &spmv_steps<ValueKind::KIND, 4, Columns>, \
   &spmv_steps<ValueKind::KIND, 5, Columns>, &spmv_steps<ValueKind::KIND, 6, Columns>, \
   &spmv_steps<ValueKind::KIND, 7, Columns>, &spmv_steps<ValueKind::KIND, 8, Columns>}
}  // namespace

extern const SpmvKernels kSpmvKernels;
constexpr SpmvKernels kSpmvKernels = {
    {ACCEL_SPMV_GROUPS(f32, Window), ACCEL_SPMV_GROUPS(bf16, Window), ACCEL_SPMV_GROUPS(i8, Window),
     ACCEL_SPMV_GROUPS(code16, Window), ACCEL_SPMV_GROUPS(code256, Window)},
    kWideWindow,
    ACCEL_SPMV_GROUPS(f32, WideWindow),
    {&spmv_singles<ValueKind::f32>, &spmv_singles<ValueKind::bf16>, &spmv_singles<ValueKind::i8>,
     &spmv_singles<ValueKind::code16>, &spmv_singles<ValueKind::code256>},
    &spmv_finish};
#undef ACCEL_SPMV_GROUPS

}  // namespace accel::ACCEL_ISA
