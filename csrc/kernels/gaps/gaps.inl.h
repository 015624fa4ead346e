// SPDX-License-Identifier: BSD-3-Clause
// Gaps, a window of places a step; bitmaps, 64 places a step, bytes by expand_whole(word, values, out) of
// words_<instruction set>.h: 64 bytes at once where it can, false where it cannot. Tried: stores past the caches, no
// gain on new pages, which the system has just cleared.
// clang-format off
#include ACCEL_ISA_FILE(kernels/gaps/words_)
// clang-format on
namespace accel::ACCEL_ISA {
namespace {

// Entries are put into a window that stays in L1, which is written as a whole: one by one into a large output, each
// line would be read first, and written back later.
template <std::size_t kWidth>
std::int64_t put_by_gaps(const std::uint8_t* gaps, std::size_t entries, std::uint8_t most, const std::uint8_t* values,
                         std::uint8_t* out, std::size_t size, bool clear) noexcept {
  constexpr std::size_t kNone = ~std::size_t{0}, kPlaces = 8192 / kWidth;
  alignas(64) std::uint8_t window[kWidth * kPlaces];
  std::size_t k = 0, place = entries ? gaps[0] : kNone;  // of entry k
  for (std::size_t first = 0; first < size; first += kPlaces) {
    const std::size_t end = std::min(first + kPlaces, size), bytes = kWidth * (end - first);
    if (place >= end && !clear) continue;
    std::memset(window, 0, bytes);
    while (place < end) {
      if (gaps[k] > most) return static_cast<std::int64_t>(k);
      std::memcpy(window + kWidth * (place - first), values + kWidth * k, kWidth);
      ++k;
      place = k < entries ? place + gaps[k] + 1 : kNone;
    }
    std::memcpy(out + kWidth * first, window, bytes);
  }
  return k < entries ? static_cast<std::int64_t>(k) : -1;
}

std::int64_t gaps_expand(const std::uint8_t* gaps, std::size_t entries, std::uint8_t most, const std::uint8_t* values,
                         std::size_t width, std::uint8_t* out, std::size_t size, bool clear) noexcept {
  switch (width) {
    case 1:
      return put_by_gaps<1>(gaps, entries, most, values, out, size, clear);
    case 2:
      return put_by_gaps<2>(gaps, entries, most, values, out, size, clear);
    case 4:
      return put_by_gaps<4>(gaps, entries, most, values, out, size, clear);
    default:
      return put_by_gaps<8>(gaps, entries, most, values, out, size, clear);
  }
}

template <std::size_t kWidth>
void expand(const std::uint8_t* bitmap, const std::uint8_t* values, std::size_t count, std::uint8_t* out,
            std::size_t size) noexcept {
  const std::uint8_t* const end = values + kWidth * count;
  for (std::size_t at = 0; at < size; at += 64, out += kWidth * 64) {
    const std::size_t places = std::min<std::size_t>(64, size - at);
    std::uint64_t word = 0;
    if (places == 64)
      std::memcpy(&word, bitmap + at / 8, sizeof word);
    else
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
