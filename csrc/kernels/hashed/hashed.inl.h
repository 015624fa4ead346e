// SPDX-License-Identifier: BSD-3-Clause
// Unfolding for hashed.h: the hashes of a column in vectors, by the compiler; the numbers one by one, since they lie
// anywhere.
namespace accel::ACCEL_ISA {
namespace {

void unfold(const HashedValues& v, long row, long rows, long depth, long begin, long end, float* to) noexcept {
  const std::uint64_t first = static_cast<std::uint64_t>(row) * static_cast<std::uint64_t>(depth);
  for (long j = begin; j < end; ++j, to += kBlock) {
    std::uint64_t u[kBlock];
    for (int i = 0; i < kBlock; ++i) {
      std::uint64_t x = v.start ^ (first + static_cast<std::uint64_t>(i * depth + j));
      x += 0x9E3779B97F4A7C15u;
      x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
      x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
      u[i] = x ^ (x >> 31);
    }
    for (int i = 0; i < kBlock; ++i) {
      const float w = v.values[(u[i] >> 32) * v.count >> 32];
      to[i] = row + i >= rows ? 0.f : u[i] & 1 ? -w : w;
    }
  }
}

}  // namespace
}  // namespace accel::ACCEL_ISA
