// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/huffman/tree_summed.h"

#include <algorithm>
#include <cstring>

#include "kernels/huffman/blocks.h"
#include "kernels/huffman/crc32.h"
#include "kernels/huffman/tree_reader.h"

namespace accel {
namespace {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using std::size_t;

// Each part is summed up while it is in a core's cache.
struct SummedDecoder {
  const u8* first;  // of the output
  size_t isa;
  u8* scratch;
  u32* sums;
  TreeBlockReader reader = {};

  HuffmanStatus operator()(const u8* block, size_t bytes, u8* out, size_t n) noexcept {
    u32& crc = sums[static_cast<size_t>(out - first) / kTreeBlock] = 0;
    HuffmanStatus status = reader.open(block, bytes, n, isa);
    for (size_t at = 0; at < n && status == HuffmanStatus::ok; at += kTreePart) {
      const size_t count = std::min(kTreePart, n - at);
      const u8* symbols;
      status = reader.next(out + at, scratch, false, symbols);
      if (status != HuffmanStatus::ok) return status;
      if (symbols != out + at) std::memcpy(out + at, symbols, count);
      crc = crc32(crc, out + at, count, isa > 0);
    }
    return status == HuffmanStatus::ok ? reader.close() : status;
  }
};

}  // namespace

HuffmanFailure tree_decode_summed(const HuffmanDecodeTask& task, size_t isa, int threads, u8* scratch, u32* sums,
                                  u32& crc) noexcept {
  const HuffmanFailure failure = decode_blocks(task, kTreeBlock, threads, [&](int part) {
    return SummedDecoder{task.out, isa, scratch + static_cast<size_t>(part) * kTreeScratch, sums};
  });
  crc = 0;
  for (size_t k = 0; k < tree_block_count(task.n); ++k)
    crc = crc32_joined(crc, sums[k], std::min(kTreeBlock, task.n - k * kTreeBlock));
  return failure;
}

}  // namespace accel
