// SPDX-License-Identifier: BSD-3-Clause
// What stands before the blocks of a stream of format H4, for streams that are read at once: docs/formats/huffman.md.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace accel {

struct HuffmanFrame {
  std::size_t head;                // bytes before the first block
  std::vector<std::int64_t> ends;  // of the blocks, counted from there
};

// Of a stream of exactly n > 0 symbols that fills `bytes`. Nothing where it is another, or anything is wrong with it:
// accel/kernels/_huffman_frame.py then says what.
std::optional<HuffmanFrame> huffman_frame(const std::uint8_t* data, std::size_t bytes, std::size_t n);

}  // namespace accel
