// SPDX-License-Identifier: BSD-3-Clause
// Blocks of Huffman streams decoded bit by bit, written from docs/formats/huffman.md and sharing nothing with the
// kernels but crc32: what the fuzzer compares them with.
#pragma once
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/huffman/crc32.h"

namespace oracle {

using Bytes = std::vector<std::uint8_t>;
using Lengths = std::vector<int>;  // of the codes of 256 symbols

struct Refused {};
inline void require(bool holds) {
  if (!holds) throw Refused{};
}

// Bytes read from the front.
struct Reader {
  const std::uint8_t *at, *end;
  std::size_t left() const { return static_cast<std::size_t>(end - at); }
  Reader take(std::size_t n) {
    require(n <= left());
    at += n;
    return {at - n, at};
  }
  std::uint32_t number(std::size_t bytes) {
    const Reader field = take(bytes);
    std::uint32_t value = 0;
    for (std::size_t k = 0; k < bytes; ++k) value |= std::uint32_t{field.at[k]} << 8 * k;
    return value;
  }
};

struct Bits {
  Reader bytes;
  std::size_t count = 0;
  std::uint32_t take(std::size_t n) {
    std::uint32_t value = 0;
    for (std::size_t k = 0; k < n; ++k, ++count) {
      require(count / 8 < bytes.left());
      value |= std::uint32_t{static_cast<std::uint8_t>(bytes.at[count / 8] >> count % 8 & 1)} << k;
    }
    return value;
  }
  void end() {  // all bytes used, the rest of the last one zero
    require((count + 7) / 8 == bytes.left());
    while (count % 8) require(take(1) == 0);
  }
};

inline Lengths read_lengths(Reader& in) {
  Bits nibbles{in};
  Lengths lengths;
  int sum = 0;  // of 2^(11 - length)
  while (sum < 2048) {
    const int value = static_cast<int>(nibbles.take(4));
    int length = 0, run = 1;
    if (value < 12) {
      length = value;
    } else if (value == 12) {
      run = static_cast<int>(nibbles.take(4)) + 3;
    } else if (value == 13) {
      run = static_cast<int>(nibbles.take(8)) + 19;
    } else {
      require(value == 14 && !lengths.empty() && lengths.back());
      length = lengths.back();
      run = static_cast<int>(nibbles.take(4)) + 3;
    }
    lengths.insert(lengths.end(), static_cast<std::size_t>(run), length);
    if (length) sum += run << (11 - length);
    require(sum <= 2048 && lengths.size() <= 256);
  }
  if (nibbles.count % 8) require(nibbles.take(4) == 0);
  in.take(nibbles.count / 8);
  lengths.resize(256);
  return lengths;
}

inline std::vector<int> symbols_of(const Lengths& lengths, int length) {
  std::vector<int> symbols;
  for (int s = 0; s < 256; ++s)
    if (lengths[static_cast<std::size_t>(s)] == length) symbols.push_back(s);
  return symbols;
}

// ---- H4 -------------------------------------------------------------------------------------------------------------

struct Canonical {
  struct Level {
    int first;
    std::vector<int> symbols;
  };
  std::vector<Level> levels;  // by length - 1
  explicit Canonical(const Lengths& lengths) {
    for (int length = 1, code = 0; length <= 11; ++length) {
      levels.push_back({code, symbols_of(lengths, length)});
      code = (code + static_cast<int>(levels.back().symbols.size())) << 1;
    }
  }
  std::uint8_t read(Bits& bits) const {
    int code = 0;
    for (const Level& level : levels) {
      code = code << 1 | static_cast<int>(bits.take(1));
      const std::size_t place = static_cast<std::size_t>(code - level.first);
      if (place < level.symbols.size()) return static_cast<std::uint8_t>(level.symbols[place]);
    }
    throw Refused{};
  }
};

inline Bytes read_streams(Reader& in, std::size_t streams, std::size_t n, Reader& sum) {
  const Canonical code(read_lengths(in));
  std::vector<std::size_t> sizes;
  for (std::size_t k = 0; k + 1 < streams; ++k) sizes.push_back(in.number(2));
  sum = in.take(4);
  const std::size_t q = (n + streams - 1) / streams;
  Bytes out;
  for (std::size_t k = 0; k < streams; ++k) {
    Bits bits{in.take(k + 1 < streams ? sizes[k] : in.left())};
    while (out.size() < std::min(n, (k + 1) * q)) out.push_back(code.read(bits));
    bits.end();
  }
  return out;
}

// ---- HT -------------------------------------------------------------------------------------------------------------

struct Tree {
  std::vector<int> run;  // of a leaf
  std::size_t bits = 0;
  std::unique_ptr<Tree> left, right;
};

struct Run {
  int depth;
  std::size_t bits;
  std::vector<int> symbols;
};

inline std::unique_ptr<Tree> grow(const std::vector<Run>& runs, std::size_t& next, int depth) {
  auto node = std::make_unique<Tree>();
  if (runs.at(next).depth == depth) {
    node->run = runs[next].symbols;
    node->bits = runs[next++].bits;
  } else {
    node->left = grow(runs, next, depth + 1);
    node->right = grow(runs, next, depth + 1);
  }
  return node;
}

inline std::unique_ptr<Tree> build_tree(const Lengths& lengths) {
  std::vector<Run> runs;
  for (int length = 1; length <= 11; ++length) {
    const std::vector<int> symbols = symbols_of(lengths, length);
    auto from = symbols.begin();
    for (std::size_t bits = 8; bits + 1 > 0; --bits) {
      if (!(symbols.size() >> bits & 1)) continue;
      runs.push_back({length - static_cast<int>(bits), bits, {from, from + (1 << bits)}});
      from += 1 << bits;
    }
  }
  std::stable_sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.depth < b.depth; });
  std::size_t next = 0;
  return grow(runs, next, 0);
}

inline void read_counts(const Tree& node, Reader& in, std::vector<std::size_t>& counts) {
  if (!node.left) return;
  counts.push_back(in.number(2));
  read_counts(*node.left, in, counts);
  read_counts(*node.right, in, counts);
}

// `next` is the number of inner nodes before this one.
inline Bytes read_node(const Tree& node, Reader& in, std::size_t n, const std::vector<std::size_t>& counts,
                       std::size_t& next) {
  const std::size_t width = node.left ? 1 : node.bits;
  Bits bits{in.take((n * width + 7) / 8)};
  Bytes fields(n);
  for (auto& field : fields) field = static_cast<std::uint8_t>(bits.take(width));
  bits.end();
  if (!node.left) {
    for (auto& field : fields) field = static_cast<std::uint8_t>(node.run[field]);
    return fields;
  }
  const std::size_t ones = counts[next++];
  require(static_cast<std::size_t>(std::count(fields.begin(), fields.end(), 1)) == ones);
  const Bytes left = read_node(*node.left, in, n - ones, counts, next);
  const Bytes right = read_node(*node.right, in, ones, counts, next);
  auto l = left.begin(), r = right.begin();
  for (auto& field : fields) field = field ? *r++ : *l++;
  return fields;
}

inline Bytes read_part(const Tree& tree, Reader in, std::size_t n) {
  std::vector<std::size_t> counts;
  read_counts(tree, in, counts);
  std::size_t next = 0;
  Bytes out = read_node(tree, in, n, counts, next);
  require(in.left() == 0);
  return out;
}

inline constexpr std::size_t kPart = 32768;

inline void match(const std::uint8_t* begin, const std::uint8_t* end, std::uint32_t sum, bool sums) {
  require(!sums || accel::crc32(0, begin, static_cast<std::size_t>(end - begin), false) == sum);
}

inline Bytes read_trees(Reader block, std::size_t n, bool sums) {
  Reader in{block.at + 1, block.end};
  const Lengths lengths = read_lengths(in);
  std::vector<std::size_t> sizes((n + kPart - 1) / kPart);
  for (auto& size : sizes) size = in.number(2);
  const std::uint8_t* const head_end = in.at;
  match(block.at, head_end, in.number(4), sums);
  const auto tree = build_tree(lengths);
  Bytes out;
  for (const std::size_t size : sizes) {
    Reader part = in.take(size);
    const std::uint32_t sum = part.number(4);
    match(part.at, part.end, sum, sums);
    const Bytes symbols = read_part(*tree, part, std::min(kPart, n - out.size()));
    out.insert(out.end(), symbols.begin(), symbols.end());
  }
  require(in.left() == 0);
  return out;
}

// ---- blocks ---------------------------------------------------------------------------------------------------------

// The n symbols of a block; throws Refused. Without `sums` checksums may be anything.
inline Bytes decode(const Bytes& bytes, std::size_t n, bool is_tree, bool sums) {
  const Reader block{bytes.data(), bytes.data() + bytes.size()};
  Reader in = block;
  const std::uint32_t kind = in.number(1);
  if (is_tree && kind == 4) return read_trees(block, n, sums);
  require(kind <= (is_tree ? 1u : 3u));
  Bytes out;
  Reader sum{};
  if (kind < 2) {
    if (kind == 1) out.assign(n, static_cast<std::uint8_t>(in.number(1)));
    sum = in.take(4);
    if (kind == 0) out.assign(in.at, in.end);
    require(kind == 0 ? out.size() == n : in.left() == 0);
  } else {
    out = read_streams(in, kind == 2 ? 1 : 8, n, sum);
  }
  const std::uint32_t head = accel::crc32(0, block.at, static_cast<std::size_t>(sum.at - block.at), false);
  const std::uint32_t found = accel::crc32(head, out.data(), out.size(), false);
  require(!sums || Reader(sum).number(4) == found);
  return out;
}

}  // namespace oracle
