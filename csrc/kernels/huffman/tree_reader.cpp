// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/huffman/tree_reader.h"

#include <algorithm>
#include <cstring>

#include "kernels/huffman/crc32.h"
#include "kernels/huffman/lengths.h"

namespace accel {
namespace {

using u8 = std::uint8_t;
using std::size_t;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "the format's words are read little-endian"
#endif
template <class T>
T read_word(const u8* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

}  // namespace

HuffmanStatus TreeBlockReader::open(const u8* block, size_t bytes, size_t n, size_t isa) noexcept {
  block_ = block, at_ = block, end_ = block + bytes, left_ = n, isa_ = isa;
  if (bytes < 5) return HuffmanStatus::cut_off;
  if (block[0] == kTreeKind) return open_trees();
  const bool is_run = block[0] == static_cast<u8>(HuffmanKind::run);
  if (!is_run && block[0] != static_cast<u8>(HuffmanKind::raw)) return HuffmanStatus::unknown_kind;
  if (bytes != (is_run ? 6 : n + 5)) return HuffmanStatus::wrong_size;
  kind_ = is_run ? Kind::run : Kind::raw;
  at_ += is_run ? 6 : 5;
  crc_ = crc32(0, block, is_run ? 2 : 1, isa > 0);
  return HuffmanStatus::ok;
}

HuffmanStatus TreeBlockReader::open_trees() noexcept {
  kind_ = Kind::trees;
  u8 lengths[256];
  size_t table = 0;
  const size_t bytes = static_cast<size_t>(end_ - block_);
  const HuffmanStatus status = huffman_read_lengths(block_ + 1, bytes - 1, lengths, table);
  if (status != HuffmanStatus::ok) return status;
  const size_t head = 1 + table + 2 * tree_part_count(left_);
  if (bytes < head + 4) return HuffmanStatus::cut_off;
  if (crc32(0, block_, head, isa_ > 0) != read_word<std::uint32_t>(block_ + head)) return HuffmanStatus::checksum;
  if (!tree_.build(lengths)) return HuffmanStatus::incomplete_code;
  sizes_ = block_ + 1 + table;
  at_ = block_ + head + 4;
  return HuffmanStatus::ok;
}

HuffmanStatus TreeBlockReader::next(u8* room, u8* scratch, bool streaming, const u8*& symbols) noexcept {
  const size_t count = std::min(kTreePart, left_);
  left_ -= count;
  symbols = room;
  if (kind_ == Kind::trees) return next_tree(room, scratch, streaming, count);
  if (kind_ == Kind::run) {
    std::memset(room, block_[1], count);
  } else {
    symbols = at_;
    at_ += count;
  }
  crc_ = crc32(crc_, symbols, count, isa_ > 0);
  return HuffmanStatus::ok;
}

HuffmanStatus TreeBlockReader::next_tree(u8* room, u8* scratch, bool streaming, size_t count) noexcept {
  const size_t bytes = read_word<std::uint16_t>(sizes_);
  sizes_ += 2;
  if (bytes < 4) return HuffmanStatus::cut_off;
  if (bytes > static_cast<size_t>(end_ - at_)) return HuffmanStatus::stream_too_long;
  const u8* const part = at_;
  at_ += bytes;
  const auto [status, crc] = kTreeDecodePart[isa_](tree_, part + 4, bytes - 4, room, count, scratch, streaming);
  return crc == read_word<std::uint32_t>(part) ? status : HuffmanStatus::checksum;
}

u8 TreeBlockReader::largest() const noexcept {
  if (kind_ == Kind::raw) return 255;
  return kind_ == Kind::run ? block_[1] : *std::max_element(tree_.symbols, tree_.symbols + 256);
}

HuffmanStatus TreeBlockReader::close() const noexcept {
  if (kind_ == Kind::trees) return at_ == end_ ? HuffmanStatus::ok : HuffmanStatus::stream_left_over;
  const u8* const stored = block_ + (kind_ == Kind::run ? 2 : 1);
  return crc_ == read_word<std::uint32_t>(stored) ? HuffmanStatus::ok : HuffmanStatus::checksum;
}

}  // namespace accel
