// SPDX-License-Identifier: BSD-3-Clause
// Words of format HT, 8 symbols at a time by a table of 256 shuffles, for instruction sets without VPEXPANDB; what they
// mean is said in merge_avx512.h. Included inside the namespace of each, after
//   shuffle(low, high, index)  byte k of the result is byte index[k] (0..15) of low and high
//   at_least(x, from)          bit k: byte k of x is not below `from`
//   spread(x, bits)            the 8 lowest fields of `bits` bits to a byte each, and close(x, bits) back.
constexpr bool kMergesPairs = false;
struct Cached {
  u8* p;
  void put(u64 v) {
    std::memcpy(p, &v, sizeof v);
    p += 8;
  }
};
class Checksum {  // before the symbols
 public:
  Checksum(const u8* part, size_t bytes) : crc_(crc32(0, part, bytes, kFolding)) {}
  template <class Work>  // not streamed: what is 8 bytes wide would fill a line piece by piece
  auto beside_stream(u8* out, Work work) {
    return work(Cached{out});
  }
  u32 finish() const { return crc_; }

 private:
  u32 crc_;
};

template <bool kLeaf, class Sink>
size_t merge(const u8* bitmap, size_t n, u8 symbol, const u8* l, const u8* r, Sink sink) noexcept {
  const u64 left = kEachByte * symbol;
  size_t ones = 0;
  for (size_t i = 0; i < n; i += 8) {
    const u8 m = bitmap[i / 8];
    sink.put(shuffle(kLeaf ? left : read_word<u64>(l + (i - ones)), read_word<u64>(r + ones), kEights.merge[m]));
    ones += kEights.ones[m];
  }
  return ones;
}

template <class Sink>
void unpack(const u8* symbols, size_t bits, const u8* p, size_t n, Sink sink) noexcept {
  const u64 low = read_word<u64>(symbols), high = read_word<u64>(symbols + 8);
  const u8* const end = p + (n * bits + 7) / 8;
  for (size_t i = 0; i < n; i += 8, p += bits) {
    u64 fields = 0;
    if (end - p >= 8)
      fields = read_word<u64>(p);
    else
      std::memcpy(&fields, p, static_cast<size_t>(end - p));
    const u64 index = spread(fields, bits);
    u64 v = 0;
    if (bits <= 4) {
      v = shuffle(low, high, index);
    } else {
      ACCEL_UNROLL(8)
      for (int k = 0; k < 8; ++k) v |= u64{symbols[index >> 8 * k & 255]} << 8 * k;
    }
    sink.put(v);
  }
}

ACCEL_INLINE void to_ranks(const u8* symbols, size_t n, const u8 ranks[256], u8* dst) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {  // stored as one: 16 % of an encoder's time
    const u64 eight = read_word<u64>(symbols + i);
    u64 v = 0;
    ACCEL_UNROLL(8)
    for (int k = 0; k < 8; ++k) v |= u64{ranks[eight >> 8 * k & 255]} << 8 * k;
    std::memcpy(dst + i, &v, sizeof v);
  }
  for (; i < n; ++i) dst[i] = ranks[symbols[i]];
}

ACCEL_INLINE void count_marked(const u8* symbols, size_t n, const u8 marks[256], u32 counts[256]) {
  u32 table[4][256] = {};  // of all: faster than looking for the marked ones
  count_eights(symbols, n / 8 * 8, table);
  for (size_t i = n / 8 * 8; i < n; ++i) ++table[0][symbols[i]];
  for (int s = 0; s < 256; ++s)
    if (marks[s]) counts[s] += table[0][s] + table[1][s] + table[2][s] + table[3][s];
}

ACCEL_INLINE size_t split(const u8* src, size_t n, u8 from, u8* bitmap, u8* l, u8* r) {
  size_t ones = 0;
  for (size_t i = 0; i < n; i += 8) {
    const size_t count = std::min<size_t>(8, n - i);
    const u64 v = read_word<u64>(src + i);
    const u32 valid = (1u << count) - 1, m = at_least(v, from) & valid;
    bitmap[i / 8] = static_cast<u8>(m);
    const u64 to_left = shuffle(v, 0, kEights.pick[~m & valid]), to_right = shuffle(v, 0, kEights.pick[m]);
    if (l) std::memcpy(l + (i - ones), &to_left, 8);
    if (r) std::memcpy(r + ones, &to_right, 8);
    ones += kEights.ones[m];
  }
  return ones;
}

ACCEL_INLINE void pack(const u8* src, size_t n, size_t bits, u8 first, u8* p) {
  for (size_t i = 0; i < n; i += 8, p += bits) {
    u64 v = read_word<u64>(src + i) - kEachByte * first;  // no byte of the n is below `first`: none borrows
    if (n - i < 8) v &= (u64{1} << 8 * (n - i)) - 1;
    const u64 fields = close(v, bits);
    std::memcpy(p, &fields, sizeof fields);
  }
}
