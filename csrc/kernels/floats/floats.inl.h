// SPDX-License-Identifier: BSD-3-Clause
// Between floating-point numbers and their byte planes. Merging interleaves bytes, then pairs of them, by vectors whose
// 32- or 64-bit pieces were put so that the results come out in order (words_<instruction set>.h).
// clang-format off
#include ACCEL_ISA_FILE(kernels/floats/words_)
// clang-format on
namespace accel::ACCEL_ISA {
namespace {

// Plane after plane: the compiler's vectors of one loop keep up with memory.
template <class Bits>
void split_numbers(const std::uint8_t* src, std::size_t n, std::uint8_t* const planes[kFloatMostPlanes]) noexcept {
  constexpr std::size_t kStep = 4096;  // numbers: what they take stays in L1 from plane to plane
  Bits bits[kStep];
  for (std::size_t at = 0; at < n; at += kStep) {
    const std::size_t count = std::min(kStep, n - at);
    std::memcpy(bits, src + sizeof(Bits) * at, sizeof(Bits) * count);
    for (std::size_t i = 0; i < count; ++i)
      bits[i] = static_cast<Bits>(bits[i] << 1 | bits[i] >> (8 * sizeof(Bits) - 1));
    for (std::size_t p = 0; p < sizeof(Bits); ++p) {
      std::uint8_t* const plane = planes[p] + at;
      for (std::size_t i = 0; i < count; ++i) plane[i] = static_cast<std::uint8_t>(bits[i] >> 8 * p);
    }
  }
}

void float_split(const std::uint8_t* src, std::size_t width, std::size_t n,
                 std::uint8_t* const planes[kFloatMostPlanes]) noexcept {
  if (width == 2)
    split_numbers<std::uint16_t>(src, n, planes);
  else
    split_numbers<std::uint32_t>(src, n, planes);
}

template <class Bits>
void merge_singly(const std::uint8_t* const* planes, std::size_t from, std::size_t to, std::uint8_t* dst) noexcept {
  for (std::size_t i = from; i < to; ++i) {
    Bits bits = 0;
    for (std::size_t p = 0; p < sizeof(Bits); ++p) bits = static_cast<Bits>(bits | Bits{planes[p][i]} << 8 * p);
    bits = static_cast<Bits>(bits >> 1 | bits << (8 * sizeof(Bits) - 1));
    std::memcpy(dst + sizeof(Bits) * i, &bits, sizeof bits);
  }
}

template <class Store>
ACCEL_INLINE void merge_vector(const std::uint8_t* const* planes, std::size_t i, std::uint8_t* dst, std::uint16_t,
                               Store store) {
  const Bytes low = in_quads(load_bytes(planes[0] + i)), high = in_quads(load_bytes(planes[1] + i));
  store(dst + 2 * i, rotate_16(zip_low_8(low, high)));
  store(dst + 2 * i + kBytes, rotate_16(zip_high_8(low, high)));
}

template <class Store>
ACCEL_INLINE void merge_vector(const std::uint8_t* const* planes, std::size_t i, std::uint8_t* dst, std::uint32_t,
                               Store store) {
  const Bytes b0 = in_pairs(load_bytes(planes[0] + i)), b1 = in_pairs(load_bytes(planes[1] + i));
  const Bytes b2 = in_pairs(load_bytes(planes[2] + i)), b3 = in_pairs(load_bytes(planes[3] + i));
  const Bytes low0 = zip_low_8(b0, b1), low1 = zip_high_8(b0, b1);
  const Bytes high0 = zip_low_8(b2, b3), high1 = zip_high_8(b2, b3);
  std::uint8_t* const to = dst + 4 * i;
  store(to, rotate_32(zip_low_16(low0, high0)));
  store(to + kBytes, rotate_32(zip_high_16(low0, high0)));
  store(to + 2 * kBytes, rotate_32(zip_low_16(low1, high1)));
  store(to + 3 * kBytes, rotate_32(zip_high_16(low1, high1)));
}

template <class Bits>
void merge_numbers(const std::uint8_t* const* planes, std::size_t n, std::uint8_t* dst, bool streaming) noexcept {
  // Streaming stores want whole vectors' addresses: the numbers before the first go singly.
  const std::size_t off = reinterpret_cast<std::uintptr_t>(dst) % kBytes;
  std::size_t i = streaming && off % sizeof(Bits) == 0 ? std::min((kBytes - off) % kBytes / sizeof(Bits), n) : 0;
  merge_singly<Bits>(planes, 0, i, dst);
  if (streaming && off % sizeof(Bits) == 0) {
    for (; i + kBytes <= n; i += kBytes) merge_vector(planes, i, dst, Bits{}, stream_bytes);
  } else {
    for (; i + kBytes <= n; i += kBytes) merge_vector(planes, i, dst, Bits{}, store_bytes);
  }
  merge_singly<Bits>(planes, i, n, dst);
}

void float_merge(const std::uint8_t* const planes[kFloatMostPlanes], std::size_t width, std::size_t n,
                 std::uint8_t* dst, bool streaming) noexcept {
  if (width == 2)
    merge_numbers<std::uint16_t>(planes, n, dst, streaming);
  else
    merge_numbers<std::uint32_t>(planes, n, dst, streaming);
}

}  // namespace
}  // namespace accel::ACCEL_ISA
