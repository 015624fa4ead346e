// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/huffman/frame.h"

#include <algorithm>

#include "kernels/huffman/crc32.h"
#include "kernels/huffman/huffman.h"

namespace accel {
namespace {

constexpr std::uint8_t kStart[] = {0xAC, 1, 0};  // magic, version, format
constexpr std::size_t kChecksum = 4;
constexpr std::size_t kLongest = 9;  // bytes of a number

struct Numbers {
  const std::uint8_t* data;
  std::size_t bytes, at;
  bool ok = true;

  // The next number, seven bits a byte, lowest first and no byte more than needed.
  std::uint64_t next() {
    std::uint64_t value = 0;
    for (std::size_t k = 0; k < kLongest && at < bytes; ++k) {
      const std::uint8_t byte = data[at++];
      value |= std::uint64_t{byte & 127u} << 7 * k;
      if (byte >= 128) continue;
      ok = ok && (k == 0 || byte != 0);
      return value;
    }
    ok = false;
    return 0;
  }
};

// Whether a block of this kind can hold so many symbols: coded ones take 1 to 11 bits, beside tables and counts.
bool fits(std::uint8_t kind, std::uint64_t size, std::uint64_t symbols) {
  if (kind == static_cast<std::uint8_t>(HuffmanKind::raw)) return size == symbols + 5;
  if (kind == static_cast<std::uint8_t>(HuffmanKind::run)) return size == 6;
  return symbols <= 8 * size && size <= 2 * symbols + 4096;
}

bool checksum_matches(const std::uint8_t* data, std::size_t at) {
  std::uint32_t stored = 0;
  for (std::size_t k = 0; k < kChecksum; ++k) stored |= std::uint32_t{data[at + k]} << 8 * k;
  return crc32(0, data, at, false) == stored;
}

}  // namespace

std::optional<HuffmanFrame> huffman_frame(const std::uint8_t* data, std::size_t bytes, std::size_t n) {
  if (bytes < std::size(kStart) || !std::equal(std::begin(kStart), std::end(kStart), data)) return std::nullopt;
  Numbers numbers{data, bytes, std::size(kStart)};
  if (n == 0 || numbers.next() != n) return std::nullopt;
  HuffmanFrame frame{};
  std::uint64_t end = 0;
  for (std::size_t k = 0; k < huffman_block_count(n) && numbers.ok; ++k) {
    const std::uint64_t size = numbers.next();
    if (size < 5 || size > bytes - end) return std::nullopt;
    frame.ends.push_back(static_cast<std::int64_t>(end += size));
  }
  if (!numbers.ok || bytes - numbers.at < kChecksum || !checksum_matches(data, numbers.at)) return std::nullopt;
  frame.head = numbers.at + kChecksum;
  if (end != bytes - frame.head) return std::nullopt;
  std::uint64_t begin = 0;
  for (std::size_t k = 0; k < frame.ends.size(); ++k) {
    const auto to = static_cast<std::uint64_t>(frame.ends[k]);
    if (!fits(data[frame.head + begin], to - begin, huffman_block_symbols(n, k))) return std::nullopt;
    begin = to;
  }
  return frame;
}

}  // namespace accel
