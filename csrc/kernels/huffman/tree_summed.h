// SPDX-License-Identifier: BSD-3-Clause
// Format HT into memory that is fresh from the system, with a checksum of the symbols on the way.
#pragma once
#include "kernels/huffman/tree.h"

namespace accel {

// As tree_decode; sums[k], one per block of kTreeBlock symbols, becomes the CRC-32 of the symbols of block k, and `crc`
// that of all. Stores go through the caches, where the system has just cleared the memory: past them it takes longer.
HuffmanFailure tree_decode_summed(const HuffmanDecodeTask& task, std::size_t isa, int threads, std::uint8_t* scratch,
                                  std::uint32_t* sums, std::uint32_t& crc) noexcept;

}  // namespace accel
