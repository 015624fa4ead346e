// SPDX-License-Identifier: BSD-3-Clause
// Encoder of one block: counting, and writing code words LSB first, five to a flush of 64 bits.
namespace accel::ACCEL_ISA {
namespace {

// Eight tables: a symbol repeated does not wait for its own counter's store.
void huffman_histogram(const u8* symbols, size_t n, u32 counts[256]) noexcept {
  u32 table[8][256] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const u64 eight = load<u64>(symbols + i);
    ACCEL_UNROLL(8)
    for (int k = 0; k < 8; ++k) ++table[k][eight >> 8 * k & 255];
  }
  for (; i < n; ++i) ++table[0][symbols[i]];
  for (int s = 0; s < 256; ++s) {
    counts[s] = 0;
    for (int k = 0; k < 8; ++k) counts[s] += table[k][s];
  }
}

struct BitWriter {
  u8* out;
  u64 bits = 0;
  u32 count = 0;  // below 8 after a flush, so five codes of 11 bits fit
  void put(u32 code) {
    bits |= u64{code >> 8} << count;
    count += code & 255;
  }
  void flush() {
    store8(out, bits);
    out += count >> 3;
    bits >>= count & 56;
    count &= 7;
  }
};

// The end of the stream; writes up to 8 bytes behind it.
u8* write_stream(const u8* symbols, size_t n, const HuffmanCodes codes, u8* out) noexcept {
  BitWriter w{out};
  size_t i = 0;
  for (; i + kLookups <= n; i += kLookups) {
    ACCEL_UNROLL(5)
    for (int k = 0; k < kLookups; ++k) w.put(codes[symbols[i + static_cast<size_t>(k)]]);
    w.flush();
  }
  for (; i < n; ++i) {
    w.put(codes[symbols[i]]);
    w.flush();
  }
  if (w.count) *w.out++ = static_cast<u8>(w.bits);
  return w.out;
}

u8* write_checksum(const u8* block, size_t head_bytes, const u8* symbols, size_t n, u8* out) noexcept {
  const u32 crc = crc32(crc32(0, block, head_bytes, kFolding), symbols, n, kFolding);
  std::memcpy(out, &crc, sizeof crc);
  return out + sizeof crc;
}

size_t write_coded(const u8* symbols, size_t n, const HuffmanPlan& plan, u8* out) noexcept {
  HuffmanCodes codes;
  if (plan.table_bytes > kHuffmanTableBytes || !huffman_codes(plan.lengths, codes)) return 0;
  const size_t streams = plan.kind == HuffmanKind::one_stream ? 1 : kHuffmanStreams;
  std::memcpy(out + 1, plan.table, plan.table_bytes);
  u8* sizes = out + 1 + plan.table_bytes;
  u8* const check = sizes + 2 * (streams - 1);
  u8* p = check + 4;
  const size_t q = (n + streams - 1) / streams;
  for (size_t k = 0; k < streams; ++k) {
    const size_t first = std::min(n, k * q), last = std::min(n, first + q);
    u8* const end = write_stream(symbols + first, last - first, codes, p);
    const u16 bytes = static_cast<u16>(end - p);
    if (k + 1 < streams) std::memcpy(sizes + 2 * k, &bytes, sizeof bytes);
    p = end;
  }
  write_checksum(out, static_cast<size_t>(check - out), symbols, n, check);
  return static_cast<size_t>(p - out);
}

size_t huffman_encode_block(const u8* symbols, size_t n, const HuffmanPlan& plan, u8* out) noexcept {
  out[0] = static_cast<u8>(plan.kind);
  if (plan.kind == HuffmanKind::raw) {
    std::memcpy(write_checksum(out, 1, symbols, n, out + 1), symbols, n);
    return 5 + n;
  }
  if (plan.kind == HuffmanKind::run) {
    out[1] = symbols[0];
    write_checksum(out, 2, symbols, n, out + 2);
    return 6;
  }
  return write_coded(symbols, n, plan, out);
}

}  // namespace
}  // namespace accel::ACCEL_ISA
