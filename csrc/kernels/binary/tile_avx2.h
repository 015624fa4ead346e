// SPDX-License-Identifier: BSD-3-Clause
// The register tile of binary.h by look-ups of nibbles: AVX2 has no population count. Four bits of a pixel choose one
// of 16 tables in memory, which holds for any four bits of a filter how many differ: VPSHUFB looks up those of 32
// filters at once, and bytes are added. Twice as fast as looking up the bits of a xor w, which takes five operations
// more.
namespace accel::ACCEL_ISA {
namespace {

inline constexpr int kBitPanel = 64;  // filters; a line of 64 bytes holds 8 bits of each
inline constexpr bool kBitNibbles = true;

struct NibbleTables {
  alignas(64) std::uint8_t differ[16][16];
  constexpr NibbleTables() : differ() {
    for (int a = 0; a < 16; ++a)
      for (int b = 0; b < 16; ++b)
        for (int bit = 0; bit < 4; ++bit) differ[a][b] = static_cast<std::uint8_t>(differ[a][b] + ((a ^ b) >> bit & 1));
  }
};
inline constexpr NibbleTables kNibbleTables;

// P pixels and V / 8 halves of a panel; otherwise as in tile_words.inl.h.
template <int P, int V, bool CLAMPED>
struct BitTile {
  static constexpr int kHalves = V / 8;
  long pixel, last;
  int first;
  alignas(32) std::int32_t sums[P][kHalves * 32];
  ACCEL_FORCE_INLINE long at(int p) const { return CLAMPED && pixel + p >= last ? last - 1 : pixel + p; }
  ACCEL_FORCE_INLINE bool again(int p) const { return CLAMPED && pixel + p >= last; }
  ACCEL_FORCE_INLINE i32 get(int p, int i) const { return load_i32(sums[p] + i * i32::lanes); }
};

template <int P, int H>
struct ByteSums {
  __m256i v[P][H];
};

// Adds what differs in one nibble of every filter; at[p]: 16 times the pixel's own.
template <int P, int H>
ACCEL_INLINE void look_up_nibbles(const std::uint8_t* const* at, long offset, const __m256i* nibbles,
                                  ByteSums<P, H>& sums) {
  const std::uint8_t* tables = kNibbleTables.differ[0];
  ACCEL_UNROLL(4)
  for (int p = 0; p < P; ++p) {
    const auto* table = reinterpret_cast<const __m128i*>(tables + at[p][offset]);
    const __m256i differ = _mm256_broadcastsi128_si256(_mm_load_si128(table));
    ACCEL_UNROLL(2)
    for (int h = 0; h < H; ++h) {
      sums.v[p][h] = _mm256_add_epi8(sums.v[p][h], _mm256_shuffle_epi8(differ, nibbles[h]));
      asm("" : "+x"(sums.v[p][h]));  // GCC would add up the look-ups of both nibbles first, and spill them
    }
  }
}

// One word of every filter.
template <int P, int H>
ACCEL_INLINE void look_up_word(const std::uint8_t* const* at, long offset, const std::uint8_t* w,
                               ByteSums<P, H>& sums) {
  const __m256i low = _mm256_set1_epi8(15);
  ACCEL_UNROLL(1)
  for (int i = 0; i < 8; ++i, w += kBitPanel) {
    __m256i both[H], nibbles[H];
    ACCEL_UNROLL(2)
    for (int h = 0; h < H; ++h) {
      both[h] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32 * h));
      nibbles[h] = _mm256_and_si256(both[h], low);
    }
    look_up_nibbles<P, H>(at, offset + 2 * i, nibbles, sums);
    ACCEL_UNROLL(2)
    for (int h = 0; h < H; ++h) nibbles[h] = _mm256_and_si256(_mm256_srli_epi16(both[h], 4), low);
    look_up_nibbles<P, H>(at, offset + 2 * i + 1, nibbles, sums);
  }
}

// words[] = or += 16 bytes widened.
template <bool FRESH>
ACCEL_INLINE void put_words(std::uint16_t* words, __m256i more) {
  __m256i_u* to = reinterpret_cast<__m256i_u*>(words);  // `auto` would forget that it may alias
  _mm256_storeu_si256(to, FRESH ? more : _mm256_add_epi16(_mm256_loadu_si256(to), more));
}

// The first halves of both 16 bytes before the second: weights are packed in that order.
template <bool FRESH, int P, int H>
ACCEL_INLINE void widen(const ByteSums<P, H>& bytes, std::uint16_t (&words)[P][H * 32]) {
  const __m256i none = _mm256_setzero_si256();
  ACCEL_UNROLL(4)
  for (int p = 0; p < P; ++p) {
    ACCEL_UNROLL(2)
    for (int h = 0; h < H; ++h) {
      put_words<FRESH>(words[p] + 32 * h, _mm256_unpacklo_epi8(bytes.v[p][h], none));
      put_words<FRESH>(words[p] + 32 * h + 16, _mm256_unpackhi_epi8(bytes.v[p][h], none));
    }
  }
}

// sums[] = or += the words.
template <bool FRESH, int P, int N>
ACCEL_INLINE void widen(const std::uint16_t (&words)[P][N], std::int32_t (&sums)[P][N]) {
  for (int p = 0; p < P; ++p) {
    ACCEL_UNROLL(8)
    for (int i = 0; i < N; i += i32::lanes) {
      const __m128i eight = _mm_load_si128(reinterpret_cast<const __m128i*>(words[p] + i));
      const i32 more = {_mm256_cvtepu16_epi32(eight)};
      store(sums[p] + i, FRESH ? more : i32{_mm256_add_epi32(load_i32(sums[p] + i).v, more.v)});
    }
  }
}

template <int P, int V, bool CLAMPED>
ACCEL_INLINE void count_differing(const BinaryPanel& panel, BitTile<P, V, CLAMPED>& t) {
  constexpr int H = V / 8, kBytes = 3, kWords = 1020;  // words whose counts a byte and 16 bits hold
  const std::uint8_t* at[P];
  ACCEL_UNROLL(4)
  for (int p = 0; p < P; ++p)
    at[p] = reinterpret_cast<const std::uint8_t*>(panel.image) + panel.pixel_at[t.at(p)] * kNibbleBytes;
  const auto* w = reinterpret_cast<const std::uint8_t*>(panel.weights);
  alignas(32) std::uint16_t words[P][H * 32];
  for (int first = 0; first < panel.words; first += kWords) {
    const int last = panel.words - first < kWords ? panel.words : first + kWords;
    for (int k = first; k < last;) {
      const bool fresh = k == first;
      ByteSums<P, H> bytes = {};
      for (const int end = last - k < kBytes ? last : k + kBytes; k < end; ++k, w += 8 * kBitPanel)
        look_up_word<P, H>(at, panel.word_at[k] * kNibbleBytes, w, bytes);
      if (fresh)
        widen<true, P, H>(bytes, words);
      else
        widen<false, P, H>(bytes, words);
    }
    if (first == 0)
      widen<true>(words, t.sums);
    else
      widen<false>(words, t.sums);
  }
}

}  // namespace
}  // namespace accel::ACCEL_ISA
