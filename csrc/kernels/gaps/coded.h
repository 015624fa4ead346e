// SPDX-License-Identifier: BSD-3-Clause
// Sparse arrays straight from their two streams, places and values: parts are decoded, put and summed up while they
// are in a core's cache, without memory for the streams as a whole. Bytes may be hostile.
#pragma once
#include "kernels/gaps/gaps.h"
#include "kernels/huffman/tree.h"

namespace accel {

// `n` bytes: as they are, in memory, where `ends` is null, else in blocks of format HT, of which block k ends at
// ends[k].
struct CodedBytes {
  Payload payload;
  const std::int64_t* ends;
  std::size_t n;
};

struct CodedResult {
  enum class Where { nowhere, in_places, in_values, among_gaps, among_bits } where = Where::nowhere;
  HuffmanStatus status = HuffmanStatus::ok;  // of a stream, and its block
  std::int64_t at = -1;                      // block; entry whose gap is wrong; how many values the bitmap wants
  std::uint8_t gap = 0;                      // that is wrong
  std::uint32_t crc = 0;                     // of the output
  std::uint8_t most = 0;                     // no byte of the output is larger
};

inline constexpr std::size_t kCodedScratch = kTreeScratch + 3 * kTreePart + 512;

// gaps.n entries, and their values, of to.width bytes each, into an output that is all 0.
CodedResult gaps_decode(const CodedBytes& gaps, const CodedBytes& values, std::uint8_t most, GapsOutput& to,
                        std::size_t isa, std::uint8_t* scratch) noexcept;

// (size + 7) / 8 bytes of a bitmap whose padding is 0, and the values it wants, into any memory.
CodedResult bitmap_decode(const CodedBytes& bitmap, const CodedBytes& values, std::size_t width, std::uint8_t* out,
                          std::size_t size, std::size_t isa, std::uint8_t* scratch) noexcept;

}  // namespace accel
