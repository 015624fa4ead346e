// SPDX-License-Identifier: BSD-3-Clause
// Blocks of format HT: the symbols of a Huffman tree's nodes stand together, one bit a symbol says which child it
// belongs to, and a decoder merges children upwards by vectors. The stream format is specified in
// docs/formats/huffman.md; decoders take hostile bytes, as those of huffman.h.
// Source: Zukowski, "PivCo-Huffman", arXiv 2606.05765, 2026 (bitmaps per node); written from the paper.
#pragma once
#include "kernels/huffman/huffman.h"

namespace accel {

inline constexpr std::size_t kTreeBlock = std::size_t{1} << 20;  // symbols under one code
inline constexpr std::size_t kTreePart = std::size_t{1} << 15;   // symbols that are merged together
inline constexpr std::uint8_t kTreeKind = 4;                     // of a block; raw and run are those of HuffmanKind
inline constexpr int kTreeNodes = 256;  // at most 11 * 8 runs of equal lengths, and the nodes above them

// Either a run of 2^bits symbols of equal length (one symbol when bits is 0), or two children.
struct TreeNode {
  std::uint8_t first;  // rank of its first symbol
  std::uint8_t bits;
  std::uint8_t split;        // rank of the right child's first symbol, 0: a run
  std::uint8_t number;       // of inner nodes, in pre-order
  std::uint8_t left, right;  // nodes
  bool leaf() const { return !split && !bits; }
};

struct HuffmanTree {
  TreeNode nodes[kTreeNodes];  // in pre-order: the root first
  int node_count, inner_count;
  std::uint8_t symbols[256 + 64];  // by rank; room for whole-vector loads
  std::uint8_t ranks[256];
  // False unless the Kraft sum is 1, of two symbols at least.
  bool build(const std::uint8_t lengths[256]) noexcept;
};

// Lengths of at most 11 bits for symbols that occur `counts` times (two at least, fewer than 2^21 together), shortest
// but for what fewer merges are worth. Same as accel.reference.huffman_tree.code_lengths.
void tree_lengths(const std::uint32_t counts[256], std::uint8_t lengths[256]) noexcept;

// Bytes of one part at most, slack for whole-vector stores included.
inline constexpr std::size_t kTreePartBytes = kTreePart * kHuffmanMaxBits / 8 + 2 * kTreeNodes + kTreeNodes + 128;
// Scratch of one thread. Decoding: the nodes of a path, and 64 bytes and a part behind any of them, so that bitmaps
// that lie lead to garbage only. Encoding: two children of the part's size for each of 11 levels.
inline constexpr std::size_t kTreeScratch = 24 * (kTreePart + 256);

// Payload of one part without its checksum: n <= kTreePart symbols into `out`, of which only n bytes are written.
// `streaming`: stores that pass by the caches, for outputs that would not stay there. The payload's CRC-32 is found
// on the way, whatever the status is.
struct TreePartDecoded {
  HuffmanStatus status;
  std::uint32_t crc;
};
using TreeDecodePart = TreePartDecoded (*)(const HuffmanTree& tree, const std::uint8_t* part, std::size_t bytes,
                                           std::uint8_t* out, std::size_t n, std::uint8_t* scratch,
                                           bool streaming) noexcept;
extern const TreeDecodePart kTreeDecodePart[kIsaCount];

// The bytes written, at most kTreePartBytes. Every symbol has a rank.
using TreeEncodePart = std::size_t (*)(const HuffmanTree& tree, const std::uint8_t* symbols, std::size_t n,
                                       std::uint8_t* out, std::uint8_t* scratch) noexcept;
extern const TreeEncodePart kTreeEncodePart[kIsaCount];

// How often symbols occur, from a quarter of them where that tells enough; 0 surely means that a symbol does not occur.
using TreeCount = void (*)(const std::uint8_t* symbols, std::size_t n, std::uint32_t counts[256]) noexcept;
extern const TreeCount kTreeCount[kIsaCount];

constexpr std::size_t tree_block_count(std::size_t n) { return (n + kTreeBlock - 1) / kTreeBlock; }
constexpr std::size_t tree_part_count(std::size_t n) { return (n + kTreePart - 1) / kTreePart; }
// Most bytes of the blocks of n symbols while they are written.
constexpr std::size_t tree_bound(std::size_t n) {
  return n + n / 2 + (tree_part_count(n) + 1) * (4 + 3 * kTreeNodes) + tree_block_count(n) * 256 + kTreePartBytes;
}

// One block of n <= kTreeBlock symbols, into at most tree_bound(n) bytes; the bytes written. `choosy`: stored raw where
// about less than a byte in 64 would be saved, which a sample tells.
std::size_t tree_encode_block(const std::uint8_t* symbols, std::size_t n, std::size_t isa, bool choosy,
                              std::uint8_t* out, std::uint8_t* scratch) noexcept;

// The blocks of n symbols back to back, and the size of each; the bytes written.
std::size_t tree_encode(const std::uint8_t* symbols, std::size_t n, std::size_t isa, std::uint8_t* out,
                        std::int64_t* sizes, std::uint8_t* scratch) noexcept;

// As huffman_decode_blocks, for blocks of kTreeBlock symbols; kTreeScratch bytes per thread.
HuffmanFailure tree_decode(const HuffmanDecodeTask& task, std::size_t isa, int threads, std::uint8_t* scratch) noexcept;

}  // namespace accel
