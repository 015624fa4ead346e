// SPDX-License-Identifier: BSD-3-Clause
// The kernels of product.h. Tables of bytes are in memory, not in registers: the next sub-vector has another.
// clang-format off
#include ACCEL_ISA_FILE(simd/window_)
// clang-format on

namespace accel::ACCEL_ISA {
namespace {

constexpr int kPanels = kCodebookRows / 16;
constexpr int kParts = 16 / f32::lanes;  // vectors of a panel

void table(const float* x, int size, const float* centroids, long wide, float* sum) noexcept {
  for (long c = 0; c < wide; c += f32::lanes) {
    f32 t = zero();
    for (int s = 0; s < size; ++s) t = fma(set1(x[s]), load(centroids + s * wide + c), t);
    store(sum + c, t);
  }
}

// Sums by multiply-adds: they run where shifts and permutations do not.
template <int C = 0>
ACCEL_INLINE void add_eight(const float* tables, const Dwords* codes, long count, f32 one, f32* sum) {
  if constexpr (C < 8) {
    if (C >= count) return;
    const Book16 book(tables + C * 16);
    ACCEL_UNROLL(4)
    for (int p = 0; p < kPanels; ++p) sum[p] = fma(one, look_up_nibble<C / 2 + C % 2 * 4>(book, codes[p]), sum[p]);
    add_eight<C + 1>(tables, codes, count, one, sum);
  }
}

void add_nibbles(const ProductTile& t) noexcept {
  const f32 one = set1(1.f);
  for (int part = 0; part < kParts; ++part) {
    const std::uint8_t* codes = t.codes + part * f32::lanes * 4;
    f32 sum[kPanels];
    ACCEL_UNROLL(4)
    for (int p = 0; p < kPanels; ++p) sum[p] = load(t.sums + p * 16 + part * f32::lanes);
    for (long j = 0; j < t.subs; j += 8, codes += kCodebookRows * 4) {
      Dwords q[kPanels];
      ACCEL_UNROLL(4)
      for (int p = 0; p < kPanels; ++p) {
        q[p] = load_dwords(codes + p * 64);
        prefetch(codes + p * 64 + 4096);
      }
      if (t.subs - j >= 8)
        add_eight(t.tables + j * 16, q, 8, one, sum);
      else
        add_eight(t.tables + j * 16, q, t.subs - j, one, sum);
    }
    ACCEL_UNROLL(4)
    for (int p = 0; p < kPanels; ++p) store(t.sums + p * 16 + part * f32::lanes, sum[p]);
  }
}

// COLUMNS sub-vectors of every row: several, so that sums are read and written less often.
template <int COLUMNS>
ACCEL_INLINE void add_columns(const std::uint8_t* codes, const float* tables, long wide, float* sums) {
  for (int first = 0; first < kCodebookRows; first += 8) {
    std::uint64_t eight[COLUMNS];
    ACCEL_UNROLL(4)
    for (int c = 0; c < COLUMNS; ++c) std::memcpy(eight + c, codes + c * kCodebookRows + first, 8);
    ACCEL_UNROLL(8)
    for (int i = 0; i < 8; ++i) {
      float sum = sums[first + i];
      ACCEL_UNROLL(4)
      for (int c = 0; c < COLUMNS; ++c) sum += tables[c * wide + static_cast<long>(eight[c] >> 8 * i & 255)];
      sums[first + i] = sum;
    }
  }
}
void add_bytes(const ProductTile& t) noexcept {
  long j = 0;
  for (; j + 4 <= t.subs; j += 4) add_columns<4>(t.codes + j * kCodebookRows, t.tables + j * t.wide, t.wide, t.sums);
  for (; j < t.subs; ++j) add_columns<1>(t.codes + j * kCodebookRows, t.tables + j * t.wide, t.wide, t.sums);
}

}  // namespace

extern const ProductKernels kProductKernels;
constexpr ProductKernels kProductKernels = {&table, {&add_nibbles, &add_bytes}};

}  // namespace accel::ACCEL_ISA
