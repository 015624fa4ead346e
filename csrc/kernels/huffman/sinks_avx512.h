// SPDX-License-Identifier: BSD-3-Clause
// Where the words of merge_avx512.h put vectors of symbols. A sink takes them in order:
//   put<K>(v)     the K-th since the last advance, K < 8
//   beside<K>()   work of its own behind the K-th of 8 vectors
//   advance<N>()  N vectors were put: places move once for all of them, since instructions are what limits the root
//   end()
#ifndef ACCEL_HUFFMAN_SINKS_AVX512_H
#define ACCEL_HUFFMAN_SINKS_AVX512_H
namespace accel::avx512 {
namespace {

using V = __m512i;
ACCEL_INLINE V load_bytes(const u8* p) { return _mm512_loadu_si512(p); }
ACCEL_INLINE void store_bytes(u8* p, V v) { _mm512_storeu_si512(p, v); }
ACCEL_INLINE u64 low_bits(size_t n) { return n >= 64 ? ~u64{0} : (u64{1} << n) - 1; }

struct Cached {
  u8* p;
  template <size_t K>
  ACCEL_FORCE_INLINE void put(V v) {
    store_bytes(p + 64 * K, v);
  }
  template <size_t K>
  ACCEL_FORCE_INLINE void beside() {}
  template <size_t N>
  ACCEL_FORCE_INLINE void advance() {
    p += 64 * N;
  }
  void end() {}
};

// Whole lines by streaming stores: ordinary ones read each line first, which halves the decoder on outputs beyond the
// cache.
struct StreamedLines {
  u8* p;
  template <size_t K>
  ACCEL_FORCE_INLINE void put(V v) {
    _mm512_stream_si512(reinterpret_cast<V*>(p + 64 * K), v);
  }
  template <size_t N>
  ACCEL_FORCE_INLINE void advance() {
    p += 64 * N;
  }
  void end() {}
};

// The same into an output at any address, whose first and last line are written by mask.
struct StreamedShifted {
  StreamedLines lines;
  u64 offset;
  bool inside = false;
  V before, shift;
  explicit StreamedShifted(u8* out) : offset(reinterpret_cast<std::uintptr_t>(out) % 64) {
    lines.p = out - offset;
    alignas(64) u8 index[64];
    for (u64 k = 0; k < 64; ++k) index[k] = static_cast<u8>(64 - offset + k);
    shift = load_bytes(index);
    before = _mm512_setzero_si512();
  }
  template <size_t K>
  ACCEL_FORCE_INLINE void put(V v) {
    const V shifted = _mm512_permutex2var_epi8(before, shift, v);
    before = v;
    if (K == 0 && !inside)
      _mm512_mask_storeu_epi8(lines.p, ~u64{0} << offset, shifted);
    else
      lines.put<K>(shifted);
  }
  template <size_t N>
  ACCEL_FORCE_INLINE void advance() {
    lines.advance<N>();
    inside = true;
  }
  void end() { _mm512_mask_storeu_epi8(lines.p, low_bits(offset), _mm512_permutex2var_epi8(before, shift, before)); }
};

ACCEL_INLINE V fold(V v, V by, V next) {
  const V low = _mm512_clmulepi64_epi128(v, by, 0x00), high = _mm512_clmulepi64_epi128(v, by, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}
ACCEL_INLINE V factors(CrcFactors f) { return _mm512_set4_epi64(f.high, f.low, f.high, f.low); }

// The part's CRC-32, a line of 64 bytes with each vector of symbols that the root yields: on its own it took a tenth of
// the decoder's time. In steps of four lines, so that each of the four states stays in its register.
class Checksum {
 public:
  Checksum(const u8* part, size_t bytes) : next_(part), end_(part + bytes) {
    if (bytes < 256) return;
    started_ = true;
    for (size_t k = 0; k < 4; ++k) last_[k] = load_bytes(part + 64 * k);
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
          left_(sum.started_ ? (sum.end_ - next_) / 256 * 4 : 0),
          last_{sum.last_[0], sum.last_[1], sum.last_[2], sum.last_[3]} {}
    template <size_t K>
    ACCEL_FORCE_INLINE void put(V v) {
      sink_.template put<K>(v);
    }
    template <size_t K>
    ACCEL_FORCE_INLINE void beside() {
      if (left_ > static_cast<std::ptrdiff_t>(K))
        last_[K % 4] = fold(last_[K % 4], factors(kCrcBy2048), load_bytes(next_ + 64 * K));
    }
    template <size_t N>
    ACCEL_FORCE_INLINE void advance() {
      sink_.template advance<N>();
      if (N != 8 || left_ <= 0) return;
      next_ += left_ > 4 ? 512 : 256;
      left_ -= 8;
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
    std::ptrdiff_t left_;  // lines, a multiple of four
    V last_[4];
  };

  // work(sink): whole vectors streamed to `out`, and this checksum beside them.
  template <class Work>
  auto beside_stream(u8* out, Work work) {
    if (reinterpret_cast<std::uintptr_t>(out) % 64 == 0) return work(Beside(StreamedLines{out}, *this));
    return work(Beside(StreamedShifted(out), *this));
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

}  // namespace
}  // namespace accel::avx512
#endif
