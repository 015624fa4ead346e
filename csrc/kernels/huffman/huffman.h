// SPDX-License-Identifier: BSD-3-Clause
// Blocks of format H4: canonical Huffman codes of at most 11 bits, one or eight streams, LSB first.
// The stream format is specified in docs/formats/huffman.md. Decoders take hostile bytes: they read and write
// inside the given ranges whatever the bytes are, and report what is wrong.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/huffman/payload.h"
#include "simd/isa.h"

namespace accel {

inline constexpr int kHuffmanMaxBits = 11;
inline constexpr std::size_t kHuffmanBlock = 8 * 32704;  // a stride of 2^k would put 8 outputs in one cache set
inline constexpr int kHuffmanStreams = 8;
inline constexpr std::size_t kHuffmanTableBytes = 128;  // most that the code-length table of a block takes

// Most bytes that huffman_encode_block writes for n symbols, slack for its 8-byte stores included.
constexpr std::size_t huffman_block_bound(std::size_t n) {
  return n * kHuffmanMaxBits / 8 + kHuffmanTableBytes + 4 * kHuffmanStreams + 32;
}

enum class HuffmanKind : std::uint8_t { raw, run, one_stream, eight_streams };

enum class HuffmanStatus : int {
  ok,
  unknown_kind,
  cut_off,          // the block ends inside its head
  wrong_size,       // a raw or run block whose size does not fit its symbols
  reserved_length,  // the code-length table holds a value without a meaning
  incomplete_code,  // the Kraft sum is not 1
  table_padding,
  stream_too_long,  // a stream is longer than its block
  stream_too_short,
  stream_left_over,  // bytes or set bits after the last symbol
  checksum,
  bad_ends,     // the caller's block ends are not ascending or leave the payload
  wrong_count,  // a node's bitmap does not have as many set bits as the part's head says
  unread,       // the file ends before the block's end, or cannot be read
};

// A code word, first bit lowest: bits << 8 | length. 0 where a symbol has none.
using HuffmanCodes = std::uint32_t[256];

// Canonical codes of `lengths`. False when a length is over 11 or the Kraft sum is not 1.
bool huffman_codes(const std::uint8_t lengths[256], HuffmanCodes codes) noexcept;

struct HuffmanWorkspace {
  alignas(64) std::uint64_t several[2 << kHuffmanMaxBits];  // entry 2^k + x: the symbols in the k valid bits x
  alignas(64) std::uint16_t one[1 << kHuffmanMaxBits];      // symbol << 8 | bits used
};

// One block of `bytes` bytes into exactly n symbols.
using HuffmanDecodeBlock = HuffmanStatus (*)(const std::uint8_t* block, std::size_t bytes, std::uint8_t* out,
                                             std::size_t n, HuffmanWorkspace& work) noexcept;
extern const HuffmanDecodeBlock kHuffmanDecodeBlock[kIsaCount];

// What the caller has decided about a block.
struct HuffmanPlan {
  HuffmanKind kind;
  const std::uint8_t* lengths;  // 256
  const std::uint8_t* table;    // `lengths` packed
  std::size_t table_bytes;
};

// n > 0 symbols into at most huffman_block_bound(n) bytes; the number of bytes, 0 when the lengths are no code.
using HuffmanEncodeBlock = std::size_t (*)(const std::uint8_t* symbols, std::size_t n, const HuffmanPlan& plan,
                                           std::uint8_t* out) noexcept;
extern const HuffmanEncodeBlock kHuffmanEncodeBlock[kIsaCount];

using HuffmanHistogram = void (*)(const std::uint8_t* symbols, std::size_t n, std::uint32_t counts[256]) noexcept;
extern const HuffmanHistogram kHuffmanHistogram[kIsaCount];

// A stream of n symbols in blocks of kHuffmanBlock; one row of each plan array per block.
struct HuffmanEncodeTask {
  const std::uint8_t* symbols;
  std::size_t n;
  const std::uint8_t* kinds;
  const std::uint8_t* lengths;  // 256 a block
  const std::uint8_t* tables;   // kHuffmanTableBytes a block
  const std::int64_t* table_bytes;
};

// The blocks back to back and the size of each; the bytes written, or -1 when a plan makes no sense. `out` has
// huffman_block_bound(kHuffmanBlock) bytes per block (of n, where n is less).
std::int64_t huffman_encode_blocks(const HuffmanEncodeTask& task, HuffmanEncodeBlock encode, std::uint8_t* out,
                                   std::int64_t* sizes) noexcept;

struct HuffmanDecodeTask {
  Payload payload;
  const std::int64_t* ends;  // where each block ends in `payload`
  std::uint8_t* out;
  std::size_t n;
};

struct HuffmanFailure {
  HuffmanStatus status = HuffmanStatus::ok;
  long block = -1;  // the first that is wrong
};

HuffmanFailure huffman_decode_blocks(const HuffmanDecodeTask& task, HuffmanDecodeBlock decode, int threads) noexcept;

constexpr std::size_t huffman_block_count(std::size_t n) { return (n + kHuffmanBlock - 1) / kHuffmanBlock; }
constexpr std::size_t huffman_block_symbols(std::size_t n, std::size_t k) {
  return n - k * kHuffmanBlock < kHuffmanBlock ? n - k * kHuffmanBlock : kHuffmanBlock;
}

}  // namespace accel
