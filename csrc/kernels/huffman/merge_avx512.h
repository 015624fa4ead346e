// SPDX-License-Identifier: BSD-3-Clause
// Words of format HT for AVX-512 (VBMI2), 64 symbols at a time, into the sinks of sinks_avx512.h:
//   merge<kLeaf>(bitmap, n, symbol, l, r, sink)  bit clear: the next of l (or `symbol`), set: of r; the set bits
//   merge_pair(bitmap, n, symbols, run, r, sink) the same where l is a run of two symbols, its bits at `run`
//   unpack(symbols, bits, p, n, sink)            n fields of `bits` bits, looked up
//   split(src, n, from, bitmap, l, r)            ranks below `from` to l, others to r (unless null)
//   pack(src, n, bits, first, p), to_ranks(symbols, n, ranks, dst)
//   count_marked(symbols, n, marks, counts)      adds those with marks[symbol] = 128, else 0
// The encoder's words write up to 64 bytes behind what they have to, its bitmaps and fields are padded by zero bits.
#ifndef ACCEL_HUFFMAN_MERGE_AVX512_H
#define ACCEL_HUFFMAN_MERGE_AVX512_H
#include "kernels/huffman/sinks_avx512.h"
namespace accel::avx512 {
namespace {

constexpr bool kMergesPairs = true;
ACCEL_INLINE size_t ones_of(u64 m) { return static_cast<size_t>(__builtin_popcountll(m)); }

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

ACCEL_INLINE V all_bytes(u8 symbol) { return _mm512_set1_epi8(static_cast<char>(symbol)); }

// Symbols 64 by 64 to the sink: step(bits) is the vector of what a word of the bitmap says; ahead() asks for what else
// 512 symbols need.
template <class Sink, class Step, class Ahead>
ACCEL_FORCE_INLINE void put_by_bitmap(const u8* bitmap, size_t n, Sink& sink, Step step, Ahead ahead) {
  size_t i = 0;
  for (; i + 512 <= n; i += 512) {  // a line of the bitmap; 10 % faster than word by word
    const u8* const line = bitmap + i / 8;
    prefetch_ahead(line);
    ahead();
    [&]<size_t... K>(std::index_sequence<K...>) __attribute__((always_inline)) {
      ((sink.template put<K>(step(read_word<u64>(line + 8 * K))), sink.template beside<K>()), ...);
    }(std::make_index_sequence<8>());
    sink.template advance<8>();
  }
  const auto put = [&](u64 m) __attribute__((always_inline)) {
    sink.template put<0>(step(m));
    sink.template advance<1>();
  };
  for (; i + 64 <= n; i += 64) put(read_word<u64>(bitmap + i / 8));
  if (i < n) put(last_bits(bitmap + i / 8, n - i));
  sink.end();
}

// VPEXPANDB and the way of masks share two pipes: 4.1 cycles for 64 symbols at best. Tried: wider runs looked up as
// they are merged, 5 to 11 % slower; three children at once, masks spread by PDEP, no gain; runs unpacked for 2,048 to
// 8,192 symbols of their parent at a time, as much slower.
template <bool kLeaf, class Sink>
size_t merge(const u8* bitmap, size_t n, u8 symbol, const u8* l, const u8* r, Sink sink) noexcept {
  const V left = all_bytes(symbol);
  const u8* const r0 = r;
  put_by_bitmap(
      bitmap, n, sink,
      [&](u64 m) __attribute__((always_inline)) {
        const V v =
            kLeaf ? expand(left, m, r) : _mm512_or_si512(expand(fresh_zero(), ~m, l), expand(fresh_zero(), m, r));
        const size_t k = ones_of(m);
        r += k;
        l += 64 - k;
        return v;
      },
      [] {});
  return static_cast<size_t>(r - r0);
}

// The left child is a run of two symbols, whose bits are at `run`: they are spread to where they belong in general
// registers, which costs less than to merge the symbols, and leaves L1 to the other child. Reads up to 16 bytes behind
// n bits.
template <class Sink>
size_t merge_pair(const u8* bitmap, size_t n, const u8* symbols, const u8* run, const u8* r, Sink sink) noexcept {
  const V a = all_bytes(symbols[0]), b = all_bytes(symbols[1]);
  const u8* const r0 = r;
  size_t at = 0;  // in the run
  put_by_bitmap(
      bitmap, n, sink,
      [&](u64 m) __attribute__((always_inline)) {
        asm("" : "+r"(m));  // not from a mask register: that way takes the pipes that VPEXPANDB needs
        const size_t k = ones_of(m);
        u64 bits = read_word<u64>(run + at / 8) >> at % 8;
        if (k < 7) [[unlikely]]  // the word held 57 bits at least
          bits |= u64{run[at / 8 + 8]} << 1 << (63 - at % 8);
        const V v = expand(_mm512_mask_blend_epi8(_pdep_u64(bits, ~m), a, b), m, r);
        r += k;
        at += 64 - k;
        return v;
      },
      [&]() __attribute__((always_inline)) { prefetch_ahead(run + at / 8); });
  return static_cast<size_t>(r - r0);
}

template <class Sink>  // fields of one bit
void unpack_bits(const u8* symbols, const u8* p, size_t n, Sink sink) noexcept {
  const V a = all_bytes(symbols[0]), b = all_bytes(symbols[1]);
  put_by_bitmap(
      p, n, sink, [=](u64 m) __attribute__((always_inline)) { return _mm512_mask_blend_epi8(m, a, b); }, [] {});
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
  const auto look_up = [&](V v) __attribute__((always_inline)) {
    if (kTables < 4) v = _mm512_multishift_epi64_epi8(shift, _mm512_permutexvar_epi8(spread, v));
    if (kTables == 1) return _mm512_permutexvar_epi8(_mm512_and_si512(v, mask), t0);
    const V low = _mm512_permutex2var_epi8(t0, v, t1);  // takes seven bits
    if (kTables == 2) return low;
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(v), _mm512_permutex2var_epi8(t2, v, t3));
  };
  const auto put = [&](u64 valid) __attribute__((always_inline)) {
    prefetch_ahead(p);
    sink.template put<0>(look_up(_mm512_maskz_loadu_epi8(valid, p)));
    sink.template advance<1>();
    p += 8 * bits;
  };
  const u64 valid = low_bits(8 * bits);
  size_t i = 0;
  ACCEL_UNROLL(4)
  for (; i + 64 <= n; i += 64) put(valid);
  if (i < n) put(low_bits(((n - i) * bits + 7) / 8));
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
