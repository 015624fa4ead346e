// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/gaps/coded.h"

#include <algorithm>
#include <cstring>

#include "kernels/huffman/blocks.h"
#include "kernels/huffman/crc32.h"
#include "kernels/huffman/tree_reader.h"
#include "runtime/pages.h"

namespace accel {
namespace {

using u8 = std::uint8_t;
using std::size_t;
using Where = CodedResult::Where;

// Bytes of a stream piece by piece.
class Pieces {
 public:
  // `room`: a part, and what may stand before it.
  Pieces(const CodedBytes& from, Where where, size_t isa, u8* scratch, u8* room)
      : from_(from), where_(where), left_(from.n), isa_(isa), scratch_(scratch), room_(room) {}

  // The next bytes, in `room` or where they are already; none at the end or after what `result` reports.
  size_t next(CodedResult& result, const u8*& bytes) noexcept {
    const size_t count = std::min(kTreePart, left_);
    if (!count) return 0;
    left_ -= count;
    if (!from_.ends) {
      most_ = 255;
      bytes = from_.payload.data + (from_.n - left_ - count);
      return count;
    }
    HuffmanStatus status = in_block_ ? HuffmanStatus::ok : open();
    if (status == HuffmanStatus::ok) status = reader_.next(room_, scratch_, false, bytes);
    in_block_ -= std::min(in_block_, count);
    if (status == HuffmanStatus::ok && !in_block_) status = reader_.close();
    if (status == HuffmanStatus::ok) return count;
    result.where = where_, result.status = status, result.at = block_ - 1;
    return 0;
  }
  u8 most() const { return most_; }  // no byte so far is larger

 private:
  HuffmanStatus open() noexcept {
    in_block_ = std::min(kTreeBlock, from_.n - static_cast<size_t>(block_) * kTreeBlock);
    BlockBytes bytes;
    if (!block_of(from_.payload, from_.ends, block_++, 0, bytes)) return HuffmanStatus::bad_ends;
    const HuffmanStatus status = reader_.open(bytes, in_block_, isa_);
    if (status == HuffmanStatus::ok) most_ = std::max(most_, reader_.largest());
    return status;
  }

  CodedBytes from_;
  Where where_;
  size_t left_, in_block_ = 0, isa_;  // left_: bytes that were not asked for
  long block_ = 0;                    // the next
  u8 *scratch_, *room_, most_ = 0;
  TreeBlockReader reader_ = {};
};

// CRC-32 of an output from front to back, in steps that are long beside a call's cost and short beside a cache.
class OutputSum {
 public:
  static constexpr size_t kStep = size_t{1} << 15;
  OutputSum(const u8* out, size_t isa) : out_(out), isa_(isa) {}
  void up_to(size_t bytes) noexcept {
    if (bytes - done_ >= kStep) add(bytes);
  }
  std::uint32_t all(size_t bytes) noexcept {
    add(bytes);
    return crc_;
  }

 private:
  void add(size_t bytes) noexcept {
    crc_ = crc32(crc_, out_ + done_, bytes - done_, isa_ > 0);
    done_ = bytes;
  }
  const u8* out_;
  size_t isa_, done_ = 0;
  std::uint32_t crc_ = 0;
};

// Elements of a stream that are decoded and not used yet.
struct Held {
  const u8* at;
  size_t count = 0;
  void drop(size_t used, size_t width) {
    at += used * width;
    count -= used;
  }
};

constexpr size_t kPlacesAhead = 16 * kTreePart;  // more than a part of gaps reaches, but where most are fillers
constexpr size_t kFewValues = 512;               // bytes: 63 of 8, which 64 places did not find enough

// Less than 64 values that are left go before those that come.
bool refill(Held& value, Pieces& more, size_t width, u8* room, CodedResult& result) noexcept {
  const size_t kept = width * value.count;
  std::memmove(room - kept, value.at, kept);
  const u8* bytes = room;
  const size_t count = more.next(result, bytes);
  if (bytes != room) std::memcpy(room, bytes, count);
  value = {room - kept, value.count + count / width};
  return count > 0;
}

}  // namespace

CodedResult gaps_decode(const CodedBytes& gaps, const CodedBytes& values, u8 most, GapsOutput& to, size_t isa,
                        u8* scratch) noexcept {
  u8* const room = scratch + kTreeScratch;
  CodedResult result;
  Pieces more_gaps(gaps, Where::in_places, isa, scratch, room);
  Pieces more_values(values, Where::in_values, isa, scratch, room + kTreePart);
  OutputSum sum(to.out, isa);
  Held gap{room}, value{room};
  for (size_t entry = 0; entry < gaps.n;) {
    if (!gap.count && !(gap.count = more_gaps.next(result, gap.at))) return result;
    if (!value.count && !(value.count = more_values.next(result, value.at) / to.width)) return result;
    const size_t count = std::min(gap.count, value.count), ahead = std::min(kPlacesAhead, to.size - to.place);
    u8* const next = to.out + to.width * to.place;
    touch_pages(next, next + to.width * ahead, to.out + to.width * to.size);
    const std::int64_t wrong = kGapsExpand[isa](gap.at, count, most, value.at, to);
    if (wrong >= 0) {
      result.where = Where::among_gaps, result.gap = gap.at[wrong];
      result.at = static_cast<std::int64_t>(entry) + wrong;
      return result;
    }
    gap.drop(count, 1), value.drop(count, to.width);
    entry += count;
    sum.up_to(to.width * to.place);
  }
  result.crc = sum.all(to.width * to.size), result.most = more_values.most();
  return result;
}

namespace {

struct BitmapDecoder {
  size_t width, size, isa;
  u8 *out, *value_room;
  Pieces more_values;
  OutputSum sum{out, isa};
  Held value{value_room};
  size_t place = 0, wanted = 0;  // place: behind what stands in the output

  // Places up to `last`; `bits` are those from `place` on. Where values are missing, it only counts how many.
  void part(const u8* bits, size_t bytes, size_t last, CodedResult& result) noexcept {
    for (const size_t first = place; place < last;) {
      const size_t at = (place - first) / 8, wished = std::min(last - place, OutputSum::kStep / width);
      u8* const next = out + width * place;
      touch_pages(next, next + width * wished, out + width * size);
      const auto [places, used] = kBitmapExpand[isa](bits + at, wished, value.at, value.count, width, next);
      place += places, wanted += used;
      value.drop(used, width);
      sum.up_to(width * place);
      if (places || refill(value, more_values, width, value_room, result)) continue;
      wanted += kBitmapCount[isa](bits + at, bytes - at);
      place = last;
    }
  }
};

}  // namespace

CodedResult bitmap_decode(const CodedBytes& bitmap, const CodedBytes& values, size_t width, u8* out, size_t size,
                          size_t isa, u8* scratch) noexcept {
  u8* const room = scratch + kTreeScratch;
  u8* const value_room = room + kTreePart + kFewValues;
  CodedResult result;
  Pieces more_bits(bitmap, Where::in_places, isa, scratch, room);
  BitmapDecoder decoder{width, size, isa, out, value_room, {values, Where::in_values, isa, scratch, value_room}};
  const u8* bits = room;
  while (const size_t bytes = more_bits.next(result, bits)) {
    const size_t last = std::min(decoder.place + 8 * bytes, size);
    if (last == size && size % 8 && bits[bytes - 1] >> size % 8) {
      result.where = Where::among_bits;
      return result;
    }
    decoder.part(bits, bytes, last, result);
    if (result.where != Where::nowhere) return result;
  }
  if (result.where != Where::nowhere) return result;
  if (decoder.wanted != values.n / width) {
    result.where = Where::among_bits, result.at = static_cast<std::int64_t>(decoder.wanted);
    return result;
  }
  result.crc = decoder.sum.all(width * size), result.most = decoder.more_values.most();
  return result;
}

}  // namespace accel
