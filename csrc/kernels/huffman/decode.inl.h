// SPDX-License-Identifier: BSD-3-Clause
// Decoder of one block. Each step of the fast loop makes 5 table look-ups on each of 4 streams; a look-up of 11 bits
// yields up to 6 symbols (short codes) or one (long codes). Scalar: only BMI2 and LZCNT help. Bounds are checked once
// per batch of steps; what remains is decoded symbol by symbol with every read checked.
// Measured in the design's probe: 4 windows interleaved by hand; stream after stream ran 12-20% slower, 8 windows
// spilled. LSB first, so that the next code is always in the low bits and a look-up is one mask.
namespace accel::ACCEL_ISA {
namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using std::size_t;

constexpr int kBits = kHuffmanMaxBits;
constexpr int kLookups = 5;                    // 5 * 11 = 55 bits: what a refill of 64 bits at any bit position has
constexpr size_t kMostPerStep = 6 * kLookups;  // symbols a stream yields in one step
constexpr bool kFolding = std::string_view(ACCEL_STRING(ACCEL_ISA)) != "baseline";
constexpr u64 kCountAndBits = 0xFF000000000000FFull;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "the decoder reads its words little-endian"
#endif
template <class T>
ACCEL_INLINE T load(const u8* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
ACCEL_INLINE void store8(u8* p, u64 v) { std::memcpy(p, &v, sizeof v); }

// ---- look-up tables ---------------------------------------------------------------------------------------------

void fill_one(const HuffmanCodes codes, u16* one) noexcept {
  for (u32 s = 0; s < 256; ++s) {
    const u32 length = codes[s] & 255;
    if (!length) continue;
    for (u32 x = codes[s] >> 8; x < 1u << kBits; x += 1u << length) one[x] = static_cast<u16>(s << 8 | length);
  }
}

// `rest` with symbol s of `length` bits put in front; `y` are the bits of `rest`.
ACCEL_INLINE u64 prepend(u32 s, u32 length, u64 rest, u32 y, const u16* one) {
  const u64 entry = (u64{1} << 56 | s << 8 | length) + (rest & kCountAndBits) + ((rest & 0x0000FFFFFFFFFF00ull) << 8);
  if (rest >> 56 != 6) return entry;
  u32 bits = length;  // the sixth symbol of `rest` has no room left: count the bits of the others
  for (int k = 0; k < 5; ++k) {
    bits += one[y] & 255;
    y >>= one[y] & 255;
  }
  return (entry & 0x00FFFFFFFFFFFF00ull) | bits | u64{6} << 56;
}

// Entry (u64): byte 0 the bits used, bytes 1..6 the symbols, byte 7 how many. Windows of k valid bits are built from
// shorter ones, so every entry is written once.
void fill_several(const HuffmanCodes codes, HuffmanWorkspace& work) noexcept {
  u8 symbols[256];
  int count = 0;
  for (int s = 0; s < 256; ++s)
    if (codes[s]) symbols[count++] = static_cast<u8>(s);
  for (u32 k = 0; k <= kBits; ++k) {
    u64* to = work.several + (size_t{1} << k);
    std::memset(to, 0, sizeof(u64) << k);
    for (int i = 0; i < count; ++i) {
      const u32 s = symbols[i], length = codes[s] & 255, code = codes[s] >> 8;
      if (length > k) continue;
      const u64* rest = work.several + (size_t{1} << (k - length));
      for (u32 y = 0; y < 1u << (k - length); ++y) to[code + (y << length)] = prepend(s, length, rest[y], y, work.one);
    }
  }
}

// ---- streams ----------------------------------------------------------------------------------------------------

struct Stream {
  const u8* base;
  size_t bytes;
  size_t pos;  // in bits
  u8 *out, *end;
  size_t bytes_left() const { return bytes - std::min(bytes, pos >> 3); }
};

// A set bit above the window counts, by how far it moved down, the bits used: 55 at most, so bit 63 is free.
ACCEL_INLINE u64 refill(const Stream& s) { return load<u64>(s.base + (s.pos >> 3)) >> (s.pos & 7) | u64{1} << 63; }
ACCEL_INLINE void advance(Stream& s, u64 window) { s.pos += static_cast<size_t>(__builtin_clzll(window)); }

ACCEL_INLINE void lookup_several(u64& window, u8*& out, const u64* table) {
  const u64 entry = table[window & ((1u << kBits) - 1)];
  window >>= entry & 63;
  store8(out, entry >> 8);
  out += entry >> 56;
}

void step_several(Stream* s, const u64* table) noexcept {
  u64 w0 = refill(s[0]), w1 = refill(s[1]), w2 = refill(s[2]), w3 = refill(s[3]);
  u8 *o0 = s[0].out, *o1 = s[1].out, *o2 = s[2].out, *o3 = s[3].out;
  ACCEL_UNROLL(5)
  for (int k = 0; k < kLookups; ++k) {
    lookup_several(w0, o0, table);
    lookup_several(w1, o1, table);
    lookup_several(w2, o2, table);
    lookup_several(w3, o3, table);
  }
  advance(s[0], w0), advance(s[1], w1), advance(s[2], w2), advance(s[3], w3);
  s[0].out = o0, s[1].out = o1, s[2].out = o2, s[3].out = o3;
}

ACCEL_INLINE void lookup_one(u64& window, u8* out, const u16* table) {
  const u32 entry = table[window & ((1u << kBits) - 1)];
  window >>= entry & 63;
  *out = static_cast<u8>(entry >> 8);
}

void step_one(Stream* s, const u16* table) noexcept {
  u64 w0 = refill(s[0]), w1 = refill(s[1]), w2 = refill(s[2]), w3 = refill(s[3]);
  u8 *o0 = s[0].out, *o1 = s[1].out, *o2 = s[2].out, *o3 = s[3].out;
  ACCEL_UNROLL(5)
  for (int k = 0; k < kLookups; ++k) {
    lookup_one(w0, o0 + k, table);
    lookup_one(w1, o1 + k, table);
    lookup_one(w2, o2 + k, table);
    lookup_one(w3, o3 + k, table);
  }
  advance(s[0], w0), advance(s[1], w1), advance(s[2], w2), advance(s[3], w3);
  s[0].out += kLookups, s[1].out += kLookups, s[2].out += kLookups, s[3].out += kLookups;
}

// How many steps of this stream surely stay inside its input and its output.
ACCEL_INLINE size_t safe_steps(const Stream& s, bool several) {
  const size_t room = static_cast<size_t>(s.end - s.out);
  const size_t by_out = several ? (room < 8 ? 0 : (room - 8) / kMostPerStep) : room / kLookups;
  const size_t left = s.bytes_left();
  constexpr size_t kLast = planted(Plant::last_refill) ? 2 : 1;
  return std::min(by_out, left < 8 ? 0 : (left - 8) / 7 + kLast);  // 8 bytes read, at most 7 (55 bits + 7) moved past
}

void run_interleaved(Stream* s, bool several, const HuffmanWorkspace& work) noexcept {
  for (;;) {
    size_t steps = SIZE_MAX;
    for (int k = 0; k < kHuffmanStreams; ++k) steps = std::min(steps, safe_steps(s[k], several));
    if (!steps) return;
    for (; steps; --steps)
      for (Stream* group = s; group < s + kHuffmanStreams; group += 4)
        several ? step_several(group, work.several + (1 << kBits)) : step_one(group, work.one);
  }
}

// What the interleaved loop left of one stream, or all of a block's only stream.
HuffmanStatus finish(Stream& s, bool several, const HuffmanWorkspace& work) noexcept {
  while (safe_steps(s, several)) {
    u64 window = refill(s);
    for (int k = 0; k < kLookups; ++k) {
      if (several) {
        lookup_several(window, s.out, work.several + (1 << kBits));
      } else {
        lookup_one(window, s.out++, work.one);
      }
    }
    advance(s, window);
  }
  while (s.out < s.end) {
    u64 window = 0;
    const size_t left = s.bytes_left();
    std::memcpy(&window, s.base + (s.bytes - left), std::min<size_t>(left, 8));
    const u32 entry = work.one[window >> (s.pos & 7) & ((1u << kBits) - 1)];
    *s.out++ = static_cast<u8>(entry >> 8);
    s.pos += entry & 255;
    if (s.pos > 8 * s.bytes) return HuffmanStatus::stream_too_short;
  }
  if ((s.pos + 7) / 8 != s.bytes || (s.pos % 8 && s.base[s.bytes - 1] >> s.pos % 8))
    return HuffmanStatus::stream_left_over;
  return HuffmanStatus::ok;
}

// Several symbols a look-up pay below 4.9 bits a symbol (probe), and when the 8 us to fill the table are small beside
// the block.
bool wants_several(const HuffmanCodes codes, size_t n) noexcept {
  u32 mean = 0;  // in units of 2^-11 bits, each symbol as likely as its code says
  for (int s = 0; s < 256; ++s)
    if (const u32 length = codes[s] & 255) mean += length << (kBits - length);
  return n >= 4096 && mean * 10 < 49u << kBits;
}

struct Head {
  size_t bytes;  // without the checksum
  u8 lengths[256];
};

HuffmanStatus read_head(const u8* block, size_t bytes, int streams, Head& head) noexcept {
  size_t table = 0;
  const HuffmanStatus status = huffman_read_lengths(block + 1, bytes - 1, head.lengths, table);
  if (status != HuffmanStatus::ok) return status;
  head.bytes = 1 + table + 2 * static_cast<size_t>(streams - 1);
  return bytes < head.bytes + 4 ? HuffmanStatus::cut_off : HuffmanStatus::ok;
}

// Cuts the payload into streams; the last has what the others leave.
HuffmanStatus cut_streams(const u8* sizes, const u8* p, const u8* end, u8* out, size_t n, int streams,
                          Stream* s) noexcept {
  const size_t q = (n + static_cast<size_t>(streams) - 1) / static_cast<size_t>(streams);
  for (int k = 0; k < streams; ++k) {
    const size_t left = static_cast<size_t>(end - p);
    const size_t bytes = k + 1 < streams ? load<u16>(sizes + 2 * k) : left;
    if (bytes > left && !planted(Plant::stream_size)) return HuffmanStatus::stream_too_long;
    const size_t first = std::min(n, q * static_cast<size_t>(k)), last = std::min(n, first + q);
    s[k] = {p, bytes, 0, out + first, out + last};
    p += bytes;
  }
  return HuffmanStatus::ok;
}

HuffmanStatus decode_streams(const u8* block, size_t bytes, u8* out, size_t n, int streams, const Head& head,
                             HuffmanWorkspace& work) noexcept {
  HuffmanCodes codes;
  if (!huffman_codes(head.lengths, codes)) return HuffmanStatus::incomplete_code;
  Stream s[kHuffmanStreams];
  const u8* sizes = block + head.bytes - 2 * (streams - 1);
  HuffmanStatus status = cut_streams(sizes, block + head.bytes + 4, block + bytes, out, n, streams, s);
  if (status != HuffmanStatus::ok) return status;
  fill_one(codes, work.one);
  const bool several = wants_several(codes, n);
  if (several) fill_several(codes, work);
  if (streams == kHuffmanStreams) run_interleaved(s, several, work);
  for (int k = 0; k < streams && status == HuffmanStatus::ok; ++k) status = finish(s[k], several, work);
  return status;
}

HuffmanStatus check(const u8* block, size_t head_bytes, const u8* out, size_t n) noexcept {
  const u32 crc = crc32(crc32(0, block, head_bytes, kFolding), out, n, kFolding);
  return crc == load<u32>(block + head_bytes) ? HuffmanStatus::ok : HuffmanStatus::checksum;
}

HuffmanStatus huffman_decode_block(const u8* block, size_t bytes, u8* out, size_t n, HuffmanWorkspace& work) noexcept {
  if (bytes < 5) return HuffmanStatus::cut_off;
  switch (static_cast<HuffmanKind>(block[0])) {
    case HuffmanKind::raw:
      if (bytes - 5 != n) return HuffmanStatus::wrong_size;
      std::memcpy(out, block + 5, n);
      return check(block, 1, out, n);
    case HuffmanKind::run:
      if (bytes != 6) return HuffmanStatus::wrong_size;
      std::memset(out, block[1], n);
      return check(block, 2, out, n);
    case HuffmanKind::one_stream:
    case HuffmanKind::eight_streams: {
      const int streams = static_cast<HuffmanKind>(block[0]) == HuffmanKind::one_stream ? 1 : kHuffmanStreams;
      Head head;
      HuffmanStatus status = read_head(block, bytes, streams, head);
      if (status != HuffmanStatus::ok) return status;
      status = decode_streams(block, bytes, out, n, streams, head, work);
      return status == HuffmanStatus::ok ? check(block, head.bytes, out, n) : status;
    }
  }
  return HuffmanStatus::unknown_kind;
}

}  // namespace
}  // namespace accel::ACCEL_ISA
