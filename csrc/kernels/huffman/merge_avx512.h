// SPDX-License-Identifier: BSD-3-Clause
// Words of format HT for AVX-512 (VBMI2), 64 symbols at a time. Sinks take vectors one after another:
//   merge<kLeaf>(bitmap, n, symbol, l, r, sink)  bit clear: the next of l (or `symbol`), set: of r; the set bits
//   unpack(symbols, bits, p, n, sink)            n fields of `bits` bits, looked up
//   split(src, n, from, bitmap, l, r)                          ranks below `from` to l, others to r (unless null)
//   pack(src, n, bits, first, p), to_ranks(symbols, n, ranks, dst)
//   count_marked(symbols, n, marks, counts)                    adds those with marks[symbol] = 128, else 0
// The encoder's words write up to 64 bytes behind what they have to, its bitmaps and fields are padded by zero bits.
#ifndef ACCEL_HUFFMAN_MERGE_AVX512_H
#define ACCEL_HUFFMAN_MERGE_AVX512_H
namespace accel::avx512 {
namespace {

using V = __m512i;
ACCEL_INLINE V load_bytes(const u8* p) { return _mm512_loadu_si512(p); }
ACCEL_INLINE void store_bytes(u8* p, V v) { _mm512_storeu_si512(p, v); }
ACCEL_INLINE u64 low_bits(size_t n) { return n >= 64 ? ~u64{0} : (u64{1} << n) - 1; }
ACCEL_INLINE size_t ones_of(u64 m) { return static_cast<size_t>(__builtin_popcountll(m)); }

struct Cached {
  u8* p;
  void put(V v) {
    store_bytes(p, v);
    p += 64;
  }
  void end() {}
};

// Whole lines of an output at any address by streaming stores: ordinary ones read each line first, which halves the
// decoder on outputs beyond the cache. The first and the last line are written by mask.
struct Streaming {
  u8* line;
  u64 offset;
  bool inside = false;
  V before, shift;
  Streaming(u8* out, size_t) {
    offset = reinterpret_cast<std::uintptr_t>(out) % 64;
    line = out - offset;
    alignas(64) u8 index[64];
    for (u64 k = 0; k < 64; ++k) index[k] = static_cast<u8>(64 - offset + k);
    shift = load_bytes(index);
    before = _mm512_setzero_si512();
  }
  void put(V v) {
    const V shifted = offset ? _mm512_permutex2var_epi8(before, shift, v) : v;
    if (inside)
      _mm512_stream_si512(reinterpret_cast<V*>(line), shifted);
    else
      _mm512_mask_storeu_epi8(line, ~u64{0} << offset, shifted);
    inside = true;
    before = v;
    line += 64;
  }
  void end() {
    if (offset) _mm512_mask_storeu_epi8(line, low_bits(offset), _mm512_permutex2var_epi8(before, shift, before));
  }
};

ACCEL_INLINE V fold(V v, V by, V next) {
  const V low = _mm512_clmulepi64_epi128(v, by, 0x00), high = _mm512_clmulepi64_epi128(v, by, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}
ACCEL_INLINE V factors(CrcFactors f) { return _mm512_set4_epi64(f.high, f.low, f.high, f.low); }

// The part's CRC-32, 64 bytes with each vector of symbols that the root yields, where stores wait for memory: on its
// own it took a tenth of the decoder's time, so about half of that.
class Checksum {
 public:
  Checksum(const u8* part, size_t bytes) : next_(part), end_(part + bytes) {
    if (bytes < 256) return;
    started_ = true;
    last_[0] = load_bytes(part);
    for (size_t k = 1; k < 4; ++k) last_[k] = load_bytes(part + 64 * k);
    last_[0] = _mm512_xor_si512(last_[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128(-1)));
    next_ += 256;
  }

  template <class Sink>
  class Beside {
   public:
    Beside(Sink sink, Checksum& sum)
        : sink_(sink),
          sum_(sum),
          next_(sum.next_),
          left_(sum.started_ ? static_cast<size_t>(sum.end_ - next_) / 64 : 0) {
      for (size_t k = 0; k < 4; ++k) last_[k] = sum.last_[k];
    }
    ACCEL_FORCE_INLINE void put(V v) {
      sink_.put(v);
      if (!left_) return;
      const V folded = fold(last_[0], factors(kCrcBy2048), load_bytes(next_));
      last_[0] = last_[1], last_[1] = last_[2], last_[2] = last_[3], last_[3] = folded;
      next_ += 64, --left_;
    }
    ACCEL_FORCE_INLINE void end() {
      sink_.end();
      sum_.next_ = next_;
      for (size_t k = 0; k < 4; ++k) sum_.last_[k] = last_[k];
    }

   private:
    Sink sink_;
    Checksum& sum_;
    const u8* next_;
    size_t left_;  // lines
    V last_[4];
  };
  template <class Sink>
  Beside<Sink> beside(Sink sink) {
    return {sink, *this};
  }

  u32 finish() const {
    const size_t left = static_cast<size_t>(end_ - next_);
    if (!started_) return crc32(0, next_, left, true);
    const V by512 = factors(kCrcBy512);
    u8 line[64];  // with the CRC of all that was folded, its first state included
    store_bytes(line, fold(fold(fold(last_[0], by512, last_[1]), by512, last_[2]), by512, last_[3]));
    return crc32(crc32(~u32{0}, line, sizeof line, true), next_, left, true);
  }

 private:
  const u8 *next_, *end_;
  bool started_ = false;
  V last_[4] = {};
};

// VPEXPANDB waits for its old destination even with zeroing (Zen 4: 10.4 cycles a round as a chain); a register that
// was just zeroed is no wait (5.2).
ACCEL_INLINE V fresh_zero() {
  V z;
  asm volatile("vpxor %x0,%x0,%x0" : "=v"(z));
  return z;
}
ACCEL_INLINE V expand(V into, u64 m, const u8* p) { return _mm512_mask_expand_epi8(into, m, load_bytes(p)); }

ACCEL_INLINE u64 last_bits(const u8* p, size_t n) {  // n in 1..63
  u64 m = 0;
  std::memcpy(&m, p, (n + 7) / 8);
  return m;
}

// Asks for the bytes of a part ahead: each node is too short a stream for the hardware to see, and nodes are merged in
// another order than they stand, so that what is nearer than a part's size may be needed before it is asked for. Into
// L2: L1 is full of the nodes being merged.
ACCEL_INLINE void prefetch_ahead(const u8* p) {
  _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<std::uintptr_t>(p) + kTreePart), _MM_HINT_T1);
}

// Tried: children that are runs of two symbols, their bits spread by PDEP instead of unpacked first: 4 % slower.
template <bool kLeaf, class Sink>
size_t merge(const u8* bitmap, size_t n, u8 symbol, const u8* l, const u8* r, Sink sink) noexcept {
  const V left = _mm512_set1_epi8(static_cast<char>(symbol));
  const u8* const r0 = r;
  const auto step = [&](u64 m) __attribute__((always_inline)) {
    if constexpr (kLeaf)
      sink.put(expand(left, m, r));
    else
      sink.put(_mm512_or_si512(expand(fresh_zero(), ~m, l), expand(fresh_zero(), m, r)));
    const size_t k = ones_of(m);
    r += k;
    l += 64 - k;
  };
  size_t i = 0;
  for (; i + 512 <= n; i += 512) {  // a line of the bitmap; 10 % faster than step by step
    prefetch_ahead(bitmap + i / 8);
    ACCEL_UNROLL(8)
    for (size_t k = 0; k < 64; k += 8) step(read_word<u64>(bitmap + i / 8 + k));
  }
  for (; i + 64 <= n; i += 64) step(read_word<u64>(bitmap + i / 8));
  if (i < n) step(last_bits(bitmap + i / 8, n - i));
  sink.end();
  return static_cast<size_t>(r - r0);
}

template <class Sink>  // fields of one bit
void unpack_bits(const u8* symbols, const u8* p, size_t n, Sink sink) noexcept {
  const V a = _mm512_set1_epi8(static_cast<char>(symbols[0])), b = _mm512_set1_epi8(static_cast<char>(symbols[1]));
  size_t i = 0;
  ACCEL_UNROLL(4)
  for (; i + 64 <= n; i += 64) {
    prefetch_ahead(p + i / 8);
    sink.put(_mm512_mask_mov_epi8(a, read_word<u64>(p + i / 8), b));
  }
  if (i < n) sink.put(_mm512_mask_mov_epi8(a, last_bits(p + i / 8, n - i), b));
  sink.end();
}

struct FieldWords {
  u8 spread[64];  // `bits` bytes to a quadword of their own
  u8 close[64];   // and back
  u8 shift[64];   // of each field in its quadword
};
struct AllFieldWords {
  alignas(64) FieldWords of[9];  // by bits
};
constexpr AllFieldWords kFields = [] {
  AllFieldWords words{};
  for (size_t bits = 1; bits <= 8; ++bits) {
    for (size_t i = 0; i < 64; ++i) {
      words.of[bits].spread[i] = static_cast<u8>(i / 8 * bits + i % 8);
      words.of[bits].shift[i] = static_cast<u8>(i % 8 * bits);
      words.of[bits].close[i] = static_cast<u8>(i < 8 * bits ? i / bits * 8 + i % bits : 0);
    }
  }
  return words;
}();

template <int kTables, class Sink>  // of 64 symbols
void unpack_fields(const u8* symbols, size_t bits, const u8* p, size_t n, Sink sink) noexcept {
  const FieldWords& words = kFields.of[bits];
  const V spread = load_bytes(words.spread), shift = load_bytes(words.shift);
  const V mask = _mm512_set1_epi8(static_cast<char>((1u << bits) - 1));
  const V t0 = load_bytes(symbols), t1 = load_bytes(symbols + (kTables > 1 ? 64 : 0)),
          t2 = load_bytes(symbols + (kTables > 2 ? 128 : 0)), t3 = load_bytes(symbols + (kTables > 2 ? 192 : 0));
  __mmask64 valid = low_bits(8 * bits);
  ACCEL_UNROLL(4)
  for (size_t i = 0; i < n; i += 64, p += 8 * bits) {
    prefetch_ahead(p);
    if (n - i < 64) valid = low_bits(((n - i) * bits + 7) / 8);
    V v = _mm512_maskz_loadu_epi8(valid, p);
    if (kTables < 4) v = _mm512_multishift_epi64_epi8(shift, _mm512_permutexvar_epi8(spread, v));
    if (kTables == 1) {
      sink.put(_mm512_permutexvar_epi8(_mm512_and_si512(v, mask), t0));
    } else if (kTables == 2) {
      sink.put(_mm512_permutex2var_epi8(t0, v, t1));  // takes seven bits
    } else {
      sink.put(_mm512_mask_mov_epi8(_mm512_permutex2var_epi8(t0, v, t1), _mm512_movepi8_mask(v),
                                    _mm512_permutex2var_epi8(t2, v, t3)));
    }
  }
  sink.end();
}

template <class Sink>
void unpack(const u8* symbols, size_t bits, const u8* p, size_t n, Sink sink) noexcept {
  if (bits == 1)
    unpack_bits(symbols, p, n, sink);
  else if (bits <= 6)
    unpack_fields<1>(symbols, bits, p, n, sink);
  else if (bits == 7)
    unpack_fields<2>(symbols, bits, p, n, sink);
  else
    unpack_fields<4>(symbols, bits, p, n, sink);
}

struct ByteTable {
  V part[4];
  explicit ByteTable(const u8 table[256])
      : part{load_bytes(table), load_bytes(table + 64), load_bytes(table + 128), load_bytes(table + 192)} {}
  V operator()(V v) const {
    return _mm512_mask_mov_epi8(_mm512_permutex2var_epi8(part[0], v, part[1]), _mm512_movepi8_mask(v),
                                _mm512_permutex2var_epi8(part[2], v, part[3]));
  }
};

ACCEL_INLINE void to_ranks(const u8* symbols, size_t n, const u8 ranks[256], u8* dst) {
  const ByteTable rank(ranks);
  for (size_t i = 0; i < n; i += 64) store_bytes(dst + i, rank(_mm512_maskz_loadu_epi8(low_bits(n - i), symbols + i)));
}

ACCEL_INLINE void count_marked(const u8* symbols, size_t n, const u8 marks[256], u32 counts[256]) {
  const ByteTable marked(marks);
  for (size_t i = 0; i < n; i += 64) {
    const u64 valid = low_bits(n - i);
    u64 m = _mm512_movepi8_mask(marked(_mm512_maskz_loadu_epi8(valid, symbols + i))) & valid;
    for (; m; m &= m - 1) ++counts[symbols[i + static_cast<size_t>(__builtin_ctzll(m))]];
  }
}

// Compresses in registers: VPCOMPRESSB to memory is microcode on Zen 4.
ACCEL_INLINE size_t split(const u8* src, size_t n, u8 from, u8* bitmap, u8* l, u8* r) {
  const V first = _mm512_set1_epi8(static_cast<char>(from));
  size_t ones = 0;
  const auto step = [&](size_t i, u64 valid) __attribute__((always_inline)) {
    const V v = load_bytes(src + i);
    const u64 m = _mm512_cmpge_epu8_mask(v, first) & valid;
    std::memcpy(bitmap + i / 8, &m, sizeof m);
    if (l) store_bytes(l + (i - ones), _mm512_maskz_compress_epi8(~m & valid, v));
    if (r) store_bytes(r + ones, _mm512_maskz_compress_epi8(m, v));
    ones += ones_of(m);
  };
  size_t i = 0;
  for (; i + 64 <= n; i += 64) step(i, ~u64{0});
  if (i < n) step(i, low_bits(n - i));
  return ones;
}

// Fields are paired to 16, 32 and 64 bits, then the gaps between the quadwords are closed.
ACCEL_INLINE void pack(const u8* src, size_t n, size_t bits, u8 first, u8* p) {
  const FieldWords& words = kFields.of[bits];
  const V base = _mm512_set1_epi8(static_cast<char>(first)), close = load_bytes(words.close);
  const auto count = [&](size_t k) { return _mm_cvtsi64_si128(static_cast<long long>(k * (8 - bits))); };
  const __m128i s1 = count(1), s2 = count(2), s4 = count(4);
  const V m1 = _mm512_set1_epi16(0xFF), m2 = _mm512_set1_epi32(0xFFFF), m4 = _mm512_set1_epi64(0xFFFFFFFF);
  for (size_t i = 0; i < n; i += 64, p += 8 * bits) {
    V v = _mm512_maskz_sub_epi8(low_bits(n - i), load_bytes(src + i), base);
    v = _mm512_or_si512(_mm512_and_si512(v, m1), _mm512_srl_epi16(_mm512_andnot_si512(m1, v), s1));
    v = _mm512_or_si512(_mm512_and_si512(v, m2), _mm512_srl_epi32(_mm512_andnot_si512(m2, v), s2));
    v = _mm512_or_si512(_mm512_and_si512(v, m4), _mm512_srl_epi64(_mm512_andnot_si512(m4, v), s4));
    store_bytes(p, _mm512_permutexvar_epi8(close, v));
  }
}

}  // namespace
}  // namespace accel::avx512
#endif
