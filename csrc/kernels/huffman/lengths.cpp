// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/huffman/lengths.h"

#include <algorithm>
#include <cstring>

#include "kernels/huffman/plant.h"

namespace accel {
namespace {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using std::size_t;

struct Nibbles {
  const u8* data;
  size_t count, at = 0;
  bool ended = false;
  u32 take() {
    if (at >= count) {
      ended = true;
      return 0;
    }
    const u32 value = data[at / 2] >> 4 * (at % 2) & 15;
    ++at;
    return value;
  }
};

struct NibbleWriter {
  u8* data;
  size_t count = 0;
  void put(int value) {
    if (count % 2) {
      data[count / 2] |= static_cast<u8>(value << 4);
    } else {
      data[count / 2] = static_cast<u8>(value);
    }
    ++count;
  }
};

}  // namespace

HuffmanStatus huffman_read_lengths(const u8* p, size_t bytes, u8 lengths[256], size_t& taken) noexcept {
  Nibbles in{p, 2 * std::min(bytes, kHuffmanTableBytes + 1)};
  std::memset(lengths, 0, 256);
  u32 at = 0, kraft = 0, last = 0;
  while (kraft < 1u << kHuffmanMaxBits) {
    const u32 value = in.take();
    u32 run = 1;
    if (value <= kHuffmanMaxBits) {
      last = value;
    } else if (value == 12) {  // a run of zeros
      last = 0, run = 3 + in.take();
    } else if (value == 13) {  // a long run of zeros
      last = 0, run = 19 + in.take();
      run += 16 * in.take();
    } else if (value == 14 && last) {  // the last length again
      run = 3 + in.take();
    } else {
      return HuffmanStatus::reserved_length;
    }
    if (in.ended) return HuffmanStatus::cut_off;
    if (at + run > 256 && !planted(Plant::table_end)) return HuffmanStatus::incomplete_code;
    std::memset(lengths + at, static_cast<int>(last), run);
    at += run;
    if (last) kraft += run << (kHuffmanMaxBits - last);
    if (kraft > 1u << kHuffmanMaxBits) return HuffmanStatus::incomplete_code;
  }
  if (in.at % 2 && in.take()) return HuffmanStatus::table_padding;
  taken = in.at / 2;
  return HuffmanStatus::ok;
}

size_t huffman_write_lengths(const u8 lengths[256], u8* out) noexcept {
  NibbleWriter to{out};
  int end = 256;
  while (!lengths[end - 1]) --end;
  for (int at = 0; at < end;) {
    const u8 length = lengths[at];
    int run = 1;
    while (at + run < end && lengths[at + run] == length) ++run;
    if (!length && run >= 19) {
      run = std::min(run, 274);
      to.put(13), to.put((run - 19) & 15), to.put((run - 19) >> 4);
    } else if (!length && run >= 3) {
      to.put(12), to.put(run - 3);
    } else if (length && run >= 4) {
      run = std::min(run, 19);
      to.put(length), to.put(14), to.put(run - 4);
    } else {
      run = 1;
      to.put(length);
    }
    at += run;
  }
  return (to.count + 1) / 2;
}

}  // namespace accel
