// SPDX-License-Identifier: BSD-3-Clause
// The code-length table that stands before coded symbols, in both formats; see docs/formats/huffman.md.
#pragma once
#include "kernels/huffman/huffman.h"

namespace accel {

// Lengths from the front of [p, p + bytes); `taken` is the size of the table. The Kraft sum is 1 when it says ok.
HuffmanStatus huffman_read_lengths(const std::uint8_t* p, std::size_t bytes, std::uint8_t lengths[256],
                                   std::size_t& taken) noexcept;

// The table of `lengths`, of which at least two are not 0; at most kHuffmanTableBytes. The number of bytes.
std::size_t huffman_write_lengths(const std::uint8_t lengths[256], std::uint8_t* out) noexcept;

}  // namespace accel
