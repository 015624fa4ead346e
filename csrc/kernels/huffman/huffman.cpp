// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/huffman/huffman.h"

#include <algorithm>
#include <string_view>

#include "kernels/huffman/blocks.h"
#include "kernels/huffman/crc32.h"
#include "kernels/huffman/lengths.h"
#include "kernels/huffman/plant.h"
#define ACCEL_KERNEL_FILE "kernels/huffman/huffman.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

bool huffman_codes(const std::uint8_t lengths[256], HuffmanCodes codes) noexcept {
  std::uint32_t count[kHuffmanMaxBits + 1] = {}, next[kHuffmanMaxBits + 2] = {}, kraft = 0;
  for (int s = 0; s < 256; ++s) {
    if (lengths[s] > kHuffmanMaxBits) return false;
    ++count[lengths[s]];
    if (lengths[s]) kraft += 1u << (kHuffmanMaxBits - lengths[s]);
  }
  if (kraft != 1u << kHuffmanMaxBits) return false;
  for (int l = 1; l <= kHuffmanMaxBits; ++l) next[l + 1] = (next[l] + count[l]) << 1;
  for (int s = 0; s < 256; ++s) {
    std::uint32_t reversed = 0;
    const std::uint32_t code = lengths[s] ? next[lengths[s]]++ : 0;
    for (int b = 0; b < lengths[s]; ++b) reversed |= (code >> b & 1) << (lengths[s] - 1 - b);
    codes[s] = reversed << 8 | lengths[s];
  }
  return true;
}

std::int64_t huffman_encode_blocks(const HuffmanEncodeTask& task, HuffmanEncodeBlock encode, std::uint8_t* out,
                                   std::int64_t* sizes) noexcept {
  std::uint8_t* p = out;
  for (std::size_t k = 0; k < huffman_block_count(task.n); ++k) {
    if (task.kinds[k] > static_cast<std::uint8_t>(HuffmanKind::eight_streams)) return -1;
    const HuffmanPlan plan{static_cast<HuffmanKind>(task.kinds[k]), task.lengths + 256 * k,
                           task.tables + kHuffmanTableBytes * k, static_cast<std::size_t>(task.table_bytes[k])};
    const std::size_t bytes = encode(task.symbols + k * kHuffmanBlock, huffman_block_symbols(task.n, k), plan, p);
    if (!bytes) return -1;
    sizes[k] = static_cast<std::int64_t>(bytes);
    p += bytes;
  }
  return p - out;
}

HuffmanFailure huffman_decode_blocks(const HuffmanDecodeTask& task, HuffmanDecodeBlock decode, int threads) noexcept {
  return decode_blocks(task, kHuffmanBlock, threads, [decode](int) {
    return [decode, work = HuffmanWorkspace()](BlockBytes bytes, std::uint8_t* out, std::size_t n) mutable {
      const std::size_t all = bytes.left();
      return decode(bytes.take(all), all, out, n, work);
    };
  });
}

#define ACCEL_TABLE_ENTRY huffman_decode_block
const HuffmanDecodeBlock kHuffmanDecodeBlock[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY
#define ACCEL_TABLE_ENTRY huffman_encode_block
const HuffmanEncodeBlock kHuffmanEncodeBlock[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY
#define ACCEL_TABLE_ENTRY huffman_histogram
const HuffmanHistogram kHuffmanHistogram[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY

}  // namespace accel
