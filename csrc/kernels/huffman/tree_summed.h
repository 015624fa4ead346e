// SPDX-License-Identifier: BSD-3-Clause
// Format HT into memory that is fresh from the system, with a checksum of the symbols on the way.
#pragma once
#include "kernels/huffman/tree.h"

namespace accel {

// Of symbols: their CRC-32, and a bound that none is above.
struct TreeSum {
  std::uint32_t crc = 0;
  std::uint8_t most = 0;
};

// As tree_decode; blocks[k], one per block of kTreeBlock symbols, becomes the sum of block k, and `all` that of all.
// Stores go through the caches, where the system has just cleared the memory: past them it takes longer.
HuffmanFailure tree_decode_summed(const HuffmanDecodeTask& task, std::size_t isa, int threads, std::uint8_t* scratch,
                                  TreeSum* blocks, TreeSum& all) noexcept;

}  // namespace accel
