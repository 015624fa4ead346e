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
using std::size_t;

// Each part is summed up while it is in a core's cache.
struct SummedDecoder {
  const u8* first;  // of the output
  size_t isa;
  u8* scratch;
  TreeSum* blocks;
  TreeBlockReader reader = {};

  HuffmanStatus operator()(const BlockBytes& bytes, u8* out, size_t n) noexcept {
    TreeSum& sum = blocks[static_cast<size_t>(out - first) / kTreeBlock] = {};
    HuffmanStatus status = reader.open(bytes, n, isa);
    if (status == HuffmanStatus::ok) sum.most = reader.largest();
    for (size_t at = 0; at < n && status == HuffmanStatus::ok; at += kTreePart) {
      const size_t count = std::min(kTreePart, n - at);
      const u8* symbols;
      status = reader.next(out + at, scratch, false, symbols);
      if (status != HuffmanStatus::ok) return status;
      if (symbols != out + at) std::memcpy(out + at, symbols, count);
      sum.crc = crc32(sum.crc, out + at, count, isa > 0);
    }
    return status == HuffmanStatus::ok ? reader.close() : status;
  }
};

}  // namespace

HuffmanFailure tree_decode_summed(const HuffmanDecodeTask& task, size_t isa, int threads, u8* scratch, TreeSum* blocks,
                                  TreeSum& all) noexcept {
  const HuffmanFailure failure = decode_blocks(task, kTreeBlock, threads, [&](int part) {
    return SummedDecoder{task.out, isa, scratch + static_cast<size_t>(part) * kTreeScratch, blocks};
  });
  all = {};
  for (size_t k = 0; k < tree_block_count(task.n); ++k) {
    all.crc = crc32_joined(all.crc, blocks[k].crc, std::min(kTreeBlock, task.n - k * kTreeBlock));
    all.most = std::max(all.most, blocks[k].most);
  }
  return failure;
}

}  // namespace accel
