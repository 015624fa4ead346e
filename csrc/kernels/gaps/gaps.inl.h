// SPDX-License-Identifier: BSD-3-Clause
// Gaps, 64 entries a step; bitmaps, 64 places a step, bytes by expand_whole(word, values, out) of
// words_<instruction set>.h: 64 bytes at once where it can, false where it cannot. Tried: stores past the caches, no
// gain on new pages, which the system has just cleared.
// clang-format off
#include ACCEL_ISA_FILE(kernels/gaps/words_)
// clang-format on
namespace accel::ACCEL_ISA {
namespace {

constexpr std::size_t kGroup = 64;
constexpr std::size_t kClearAhead = 4096;  // bytes, still in L1 when entries are put; 16384 and 65536 were slower

ACCEL_INLINE std::uint64_t word_of(const std::uint8_t* p) {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

struct GapGroup {
  std::size_t places;  // that the entries and the gaps before them take
  bool fits;           // each gap is `most` at most
};

ACCEL_INLINE GapGroup group_of(const std::uint8_t* gaps, std::uint8_t most) {
  constexpr std::uint64_t kEven = 0x00FF00FF00FF00FF, kEach = 0x0101010101010101;
  std::uint64_t sums = 0, any = 0;
  for (std::size_t k = 0; k < kGroup; k += 8) {
    const std::uint64_t word = word_of(gaps + k);
    any |= word;
    sums += (word & kEven) + (word >> 8 & kEven);  // four of 16 bits, that together stay below 2^16
  }
  return {kGroup + (sums * 0x0001000100010001 >> 48), (any & kEach * static_cast<std::uint8_t>(~most)) == 0};
}

template <std::size_t kWidth>
void clear_to(GapsOutput& to, std::size_t place) noexcept {
  while (to.cleared < place) {
    const std::size_t count = std::min(kClearAhead / kWidth, to.size - to.cleared);
    std::memset(to.out + kWidth * to.cleared, 0, kWidth * count);
    to.cleared += count;
  }
}

// Checks stand before a group of entries, so that putting one is an addition and a store.
template <std::size_t kWidth>
std::int64_t put_by_gaps(const std::uint8_t* gaps, std::size_t entries, std::uint8_t most, const std::uint8_t* values,
                         GapsOutput& to) noexcept {
  std::size_t k = 0;
  for (; k + kGroup <= entries; k += kGroup) {
    const GapGroup group = group_of(gaps + k, most);
    if (!group.fits || group.places > to.size - to.place) break;
    clear_to<kWidth>(to, to.place + group.places);
    std::uint8_t* out = to.out + kWidth * to.place;
    ACCEL_UNROLL(64)
    for (std::size_t i = 0; i < kGroup; ++i) {
      out += kWidth * gaps[k + i];
      std::memcpy(out + kWidth * i, values + kWidth * (k + i), kWidth);
    }
    to.place += group.places;
  }
  for (; k < entries; ++k) {
    if (gaps[k] > most || gaps[k] >= to.size - to.place) return static_cast<std::int64_t>(k);
    to.place += gaps[k];
    clear_to<kWidth>(to, to.place + 1);
    std::memcpy(to.out + kWidth * to.place++, values + kWidth * k, kWidth);
  }
  return -1;
}

std::int64_t gaps_expand(const std::uint8_t* gaps, std::size_t entries, std::uint8_t most, const std::uint8_t* values,
                         GapsOutput& to) noexcept {
  switch (to.width) {
    case 1:
      return put_by_gaps<1>(gaps, entries, most, values, to);
    case 2:
      return put_by_gaps<2>(gaps, entries, most, values, to);
    case 4:
      return put_by_gaps<4>(gaps, entries, most, values, to);
    default:
      return put_by_gaps<8>(gaps, entries, most, values, to);
  }
}

template <std::size_t kWidth>
BitmapProgress expand(const std::uint8_t* bitmap, std::size_t places, const std::uint8_t* values, std::size_t count,
                      std::uint8_t* out) noexcept {
  std::size_t used = 0;
  for (std::size_t at = 0; at < places; at += 64, out += kWidth * 64) {
    const std::size_t here = std::min<std::size_t>(64, places - at);
    std::uint64_t word = 0;
    if (here == 64)
      word = word_of(bitmap + at / 8);
    else
      std::memcpy(&word, bitmap + at / 8, (here + 7) / 8);
    const std::size_t ones = static_cast<std::size_t>(std::popcount(word)), left = count - used;
    if (ones > left) return {at, used};
    const std::uint8_t* next = values + kWidth * used;
    used += ones;
    if (kWidth == 1 && here == 64 && left >= 64 && expand_whole(word, next, out)) continue;
    std::memset(out, 0, kWidth * here);
    for (; word; word &= word - 1, next += kWidth)
      std::memcpy(out + kWidth * static_cast<std::size_t>(std::countr_zero(word)), next, kWidth);
  }
  return {places, used};
}

BitmapProgress bitmap_expand(const std::uint8_t* bitmap, std::size_t places, const std::uint8_t* values,
                             std::size_t count, std::size_t width, std::uint8_t* out) noexcept {
  switch (width) {
    case 1:
      return expand<1>(bitmap, places, values, count, out);
    case 2:
      return expand<2>(bitmap, places, values, count, out);
    case 4:
      return expand<4>(bitmap, places, values, count, out);
    default:
      return expand<8>(bitmap, places, values, count, out);
  }
}

// Per instruction set: without POPCNT a word is a call of the compiler's library.
std::size_t bitmap_count(const std::uint8_t* bitmap, std::size_t n) noexcept {
  std::size_t count = 0;
  for (; n >= 8; n -= 8, bitmap += 8) count += static_cast<std::size_t>(std::popcount(word_of(bitmap)));
  for (; n; --n) count += static_cast<std::size_t>(std::popcount(*bitmap++));
  return count;
}

}  // namespace
}  // namespace accel::ACCEL_ISA
