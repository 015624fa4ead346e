// SPDX-License-Identifier: BSD-3-Clause
// The register tile of binary.h by counts of whole words; included by binary.inl.h.
namespace accel::ACCEL_ISA {
namespace {

inline constexpr int kBitPanel = 32;
inline constexpr bool kBitNibbles = false;

// A tile: P pixels from `pixel` on, or where CLAMPED as many of them as there are and the last again and again; V
// vectors of filters from `first` on. Fields of the panel are copied, as stores of bytes might change it otherwise.
template <int P, int V, bool CLAMPED>
struct BitTile {
  long pixel, last;
  int first;
  u64w v[P][V];
  ACCEL_FORCE_INLINE long at(int p) const { return CLAMPED && pixel + p >= last ? last - 1 : pixel + p; }
  ACCEL_FORCE_INLINE bool again(int p) const { return CLAMPED && pixel + p >= last; }
  // Dwords i * i32::lanes and on, in the filters' order.
  ACCEL_FORCE_INLINE i32 get(int p, int i) const { return interleave(v[p][2 * i], v[p][2 * i + 1]); }
  // Where four vectors take turns in pairs: bit i where filter i counts less than limits[i].
  ACCEL_FORCE_INLINE std::uint32_t below(int p, const std::uint16_t* limits) const {
    return counts_below(v[p][0], v[p][1], v[p][2], v[p][3], limits);
  }
};

template <bool FIRST, class Tile>
ACCEL_INLINE void count_word(const std::uint64_t* const* a, long k, const std::uint64_t* w, Tile& t) {
  constexpr int P = sizeof t.v / sizeof t.v[0], V = sizeof t.v[0] / sizeof t.v[0][0];
  ACCEL_UNROLL(8)
  for (int p = 0; p < P; ++p) {
    const u64w word = spread_word(a[p] + k);
    ACCEL_UNROLL(4)
    for (int v = 0; v < V; ++v) {
      const std::uint64_t* filters = w + v * u64w::lanes;
      t.v[p][v] = FIRST ? differing(word, filters) : add_differing(t.v[p][v], word, filters);
    }
  }
}

// Weights that one pixel uses once come from the second cache or further: it asks for a panel of 16 words ahead.
ACCEL_INLINE void fetch_ahead(const std::uint64_t* w) {
  constexpr int kAhead = 16 * kBitPanel, kLine = 8;
  for (int i = 0; i < kBitPanel; i += kLine) prefetch(w + kAhead + i);
}

template <int P, int V, bool CLAMPED>
ACCEL_INLINE void count_differing(const BinaryPanel& panel, BitTile<P, V, CLAMPED>& t) {
  const std::uint64_t* a[P];
  ACCEL_UNROLL(8)
  for (int p = 0; p < P; ++p) a[p] = panel.image + panel.pixel_at[t.at(p)];
  const std::uint64_t* w = panel.weights + t.first;
  const std::int32_t *at = panel.word_at, *end = at + panel.words;
  count_word<true>(a, *at, w, t);
  ACCEL_UNROLL(1)
  for (++at, w += kBitPanel; at != end; ++at, w += kBitPanel) {
    if constexpr (P == 1) fetch_ahead(w);
    count_word<false>(a, *at, w, t);
  }
}

}  // namespace
}  // namespace accel::ACCEL_ISA
