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

// Of a block of trees; huffman_read_lengths goes a byte too far to see that a table is too long.
constexpr size_t kMostHead = 1 + kHuffmanTableBytes + 1 + 2 * tree_part_count(kTreeBlock) + 4;

}  // namespace

HuffmanStatus TreeBlockReader::open(const BlockBytes& block, size_t n, size_t isa) noexcept {
  block_ = block, left_ = n, isa_ = isa;
  if (block.left() < 5) return HuffmanStatus::cut_off;
  const u8* const kind = block_.peek(1);
  if (!kind) return HuffmanStatus::unread;
  if (*kind == kTreeKind) return open_trees();
  kind_ = *kind == static_cast<u8>(HuffmanKind::run) ? Kind::run : Kind::raw;
  if (kind_ == Kind::raw && *kind != static_cast<u8>(HuffmanKind::raw)) return HuffmanStatus::unknown_kind;
  if (block.left() != (kind_ == Kind::run ? 6 : n + 5)) return HuffmanStatus::wrong_size;
  return open_plain();
}

HuffmanStatus TreeBlockReader::open_plain() noexcept {
  const size_t head = kind_ == Kind::run ? 2 : 1;
  const u8* const p = block_.take(head + 4);
  if (!p) return HuffmanStatus::unread;
  symbol_ = p[head - 1];
  crc_ = crc32(0, p, head, isa_ > 0);
  expected_ = read_word<std::uint32_t>(p + head);
  return HuffmanStatus::ok;
}

HuffmanStatus TreeBlockReader::open_trees() noexcept {
  kind_ = Kind::trees;
  u8 lengths[256];
  size_t table = 0;
  const size_t bytes = std::min(block_.left(), kMostHead), parts = tree_part_count(left_);
  const u8* const p = block_.peek(bytes);
  if (!p) return HuffmanStatus::unread;
  const HuffmanStatus status = huffman_read_lengths(p + 1, bytes - 1, lengths, table);
  if (status != HuffmanStatus::ok) return status;
  const size_t head = 1 + table + 2 * parts;
  if (bytes < head + 4) return HuffmanStatus::cut_off;
  if (crc32(0, p, head, isa_ > 0) != read_word<std::uint32_t>(p + head)) return HuffmanStatus::checksum;
  if (!tree_.build(lengths)) return HuffmanStatus::incomplete_code;
  std::memcpy(sizes_, p + 1 + table, 2 * parts);
  size_ = sizes_;
  block_.take(head + 4);
  return HuffmanStatus::ok;
}

HuffmanStatus TreeBlockReader::next(u8* room, u8* scratch, bool streaming, const u8*& symbols) noexcept {
  const size_t count = std::min(kTreePart, left_);
  left_ -= count;
  symbols = room;
  if (kind_ == Kind::trees) return next_tree(room, scratch, streaming, count);
  if (kind_ == Kind::run) {
    std::memset(room, symbol_, count);
  } else {
    const u8* const raw = block_.take(count);
    if (!raw) return HuffmanStatus::unread;
    symbols = raw;
  }
  crc_ = crc32(crc_, symbols, count, isa_ > 0);
  return HuffmanStatus::ok;
}

HuffmanStatus TreeBlockReader::next_tree(u8* room, u8* scratch, bool streaming, size_t count) noexcept {
  const size_t bytes = read_word<std::uint16_t>(size_);
  size_ += 2;
  if (bytes < 4) return HuffmanStatus::cut_off;
  if (bytes > block_.left()) return HuffmanStatus::stream_too_long;
  const u8* const part = block_.take(bytes);
  if (!part) return HuffmanStatus::unread;
  const auto [status, crc] = kTreeDecodePart[isa_](tree_, part + 4, bytes - 4, room, count, scratch, streaming);
  return crc == read_word<std::uint32_t>(part) ? status : HuffmanStatus::checksum;
}

u8 TreeBlockReader::largest() const noexcept {
  if (kind_ == Kind::raw) return 255;
  return kind_ == Kind::run ? symbol_ : *std::max_element(tree_.symbols, tree_.symbols + 256);
}

HuffmanStatus TreeBlockReader::close() const noexcept {
  if (kind_ == Kind::trees) return block_.left() ? HuffmanStatus::stream_left_over : HuffmanStatus::ok;
  return crc_ == expected_ ? HuffmanStatus::ok : HuffmanStatus::checksum;
}

}  // namespace accel
