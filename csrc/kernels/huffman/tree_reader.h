// SPDX-License-Identifier: BSD-3-Clause
// One block of format HT part by part, so that symbols can be used while they are in a core's cache.
#pragma once
#include "kernels/huffman/tree.h"

namespace accel {

class TreeBlockReader {
 public:
  // Reads the head of a block that holds n > 0 symbols. Nothing of a tree's head is believed before its checksum.
  HuffmanStatus open(const BlockBytes& block, std::size_t n, std::size_t isa) noexcept;
  // The next kTreePart symbols, or what is left: in the block itself where it is raw, else in `room`, which has place
  // for them; until the next call. `streaming` and `scratch` (kTreeScratch bytes) are those of TreeDecodePart. Symbols
  // of a raw block or a run are not to be believed before close().
  HuffmanStatus next(std::uint8_t* room, std::uint8_t* scratch, bool streaming, const std::uint8_t*& symbols) noexcept;
  // No symbol of the block is larger.
  std::uint8_t largest() const noexcept;
  // After the last part: whether the block ends here, and its checksum is right.
  HuffmanStatus close() const noexcept;

 private:
  enum class Kind { raw, run, trees };
  HuffmanStatus open_plain() noexcept;
  HuffmanStatus open_trees() noexcept;
  HuffmanStatus next_tree(std::uint8_t* room, std::uint8_t* scratch, bool streaming, std::size_t count) noexcept;

  BlockBytes block_;
  std::size_t left_, isa_;  // left_: symbols that were not asked for
  Kind kind_;
  std::uint8_t symbol_;                                  // of a run
  std::uint32_t crc_, expected_;                         // of a raw block or a run: so far, and in the end
  const std::uint8_t* size_;                             // the next of sizes_
  std::uint8_t sizes_[2 * tree_part_count(kTreeBlock)];  // of the trees' parts
  HuffmanTree tree_;
};

}  // namespace accel
