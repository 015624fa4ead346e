// SPDX-License-Identifier: BSD-3-Clause
// Bitmaps, 64 places a step. Bytes go by expand_whole(word, values, left, out) of words_<instruction set>.h: 64 bytes
// at once where it can, false where it cannot.
// clang-format off
#include ACCEL_ISA_FILE(kernels/gaps/words_)
// clang-format on
namespace accel::ACCEL_ISA {
namespace {

template <std::size_t kWidth>
void expand(const std::uint8_t* bitmap, const std::uint8_t* values, std::size_t count, std::uint8_t* out,
            std::size_t size) noexcept {
  const std::uint8_t* const end = values + kWidth * count;
  for (std::size_t at = 0; at < size; at += 64, out += kWidth * 64) {
    const std::size_t places = std::min<std::size_t>(64, size - at);
    std::uint64_t word = 0;
    std::memcpy(&word, bitmap + at / 8, (places + 7) / 8);
    const std::size_t left = static_cast<std::size_t>(end - values);
    if (kWidth == 1 && places == 64 && left >= 64 && expand_whole(word, values, out)) {
      values += static_cast<std::size_t>(std::popcount(word));
      continue;
    }
    std::memset(out, 0, kWidth * places);
    for (; word && values < end; word &= word - 1, values += kWidth)
      std::memcpy(out + kWidth * static_cast<std::size_t>(std::countr_zero(word)), values, kWidth);
  }
}

void bitmap_expand(const std::uint8_t* bitmap, const std::uint8_t* values, std::size_t count, std::size_t width,
                   std::uint8_t* out, std::size_t size) noexcept {
  switch (width) {
    case 1:
      return expand<1>(bitmap, values, count, out, size);
    case 2:
      return expand<2>(bitmap, values, count, out, size);
    case 4:
      return expand<4>(bitmap, values, count, out, size);
    default:
      return expand<8>(bitmap, values, count, out, size);
  }
}

}  // namespace
}  // namespace accel::ACCEL_ISA
