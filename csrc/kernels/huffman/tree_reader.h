// SPDX-License-Identifier: BSD-3-Clause
// One block of format HT part by part, so that symbols can be used while they are in a core's cache.
#pragma once
#include "kernels/huffman/tree.h"

namespace accel {

class TreeBlockReader {
 public:
  // Reads the head of a block that holds n > 0 symbols. Nothing of a tree's head is believed before its checksum.
  HuffmanStatus open(const std::uint8_t* block, std::size_t bytes, std::size_t n, std::size_t isa) noexcept;
  // The next kTreePart symbols, or what is left: in the block itself where it is raw, else in `room`, which has place
  // for them. `streaming` and `scratch` (kTreeScratch bytes) are those of TreeDecodePart. Symbols of a raw block or a
  // run are not to be believed before close().
  HuffmanStatus next(std::uint8_t* room, std::uint8_t* scratch, bool streaming, const std::uint8_t*& symbols) noexcept;
  // No symbol of the block is larger.
  std::uint8_t largest() const noexcept;
  // After the last part: whether the block ends here, and its checksum is right.
  HuffmanStatus close() const noexcept;

 private:
  enum class Kind { raw, run, trees };
  HuffmanStatus open_trees() noexcept;
  HuffmanStatus next_tree(std::uint8_t* room, std::uint8_t* scratch, bool streaming, std::size_t count) noexcept;

  const std::uint8_t *block_, *at_, *end_, *sizes_;  // sizes_: of the trees' parts
  std::size_t left_, isa_;                           // left_: symbols that were not asked for
  Kind kind_;
  std::uint32_t crc_;  // of a raw block or a run so far
  HuffmanTree tree_;
};

}  // namespace accel
