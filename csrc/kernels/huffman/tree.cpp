// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/huffman/tree.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstring>
#include <string_view>
#include <utility>

#include "kernels/huffman/blocks.h"
#include "kernels/huffman/crc32.h"
#include "kernels/huffman/lengths.h"
#include "kernels/huffman/plant.h"
#include "kernels/huffman/tree_reader.h"

namespace accel {
namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using std::size_t;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "the format's words are read little-endian"
#endif
template <class T>
inline __attribute__((always_inline)) T read_word(const u8* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

constexpr u64 kEachByte = 0x0101010101010101;

// Symbols in groups of eight. Four tables: a symbol repeated does not wait for its own counter's store.
inline __attribute__((always_inline)) void count_eights(const u8* symbols, size_t n, u32 table[4][256]) {
  for (size_t i = 0; i < n; i += 8) {
    const u64 eight = read_word<u64>(symbols + i);
    for (int k = 0; k < 8; ++k) ++table[k & 3][eight >> 8 * k & 255];
  }
}

// By a byte of a bitmap, for merge_eights.h.
struct Eights {
  u64 merge[256];  // where each of 8 symbols is: the next of the left 8, or 8 + the next of the right 8
  u64 pick[256];   // the places of the set bits
  u8 ones[256];
};
constexpr Eights kEights = [] {
  Eights t{};
  for (u32 m = 0; m < 256; ++m) {
    u32 zeros = 0, ones = 0;
    for (u32 k = 0; k < 8; ++k) {
      const bool set = m >> k & 1;
      t.merge[m] |= u64{set ? 8 + ones : zeros} << 8 * k;
      if (set) t.pick[m] |= u64{k} << 8 * ones;
      set ? ++ones : ++zeros;
    }
    t.ones[m] = static_cast<u8>(ones);
  }
  return t;
}();

}  // namespace
}  // namespace accel

#define ACCEL_KERNEL_FILE "kernels/huffman/tree.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {
namespace {

constexpr size_t kStreamFrom = size_t{4} << 20;  // symbols: an output that would not stay in a core's cache

// The runs of equal lengths, cut into powers of two, by depth.
struct TreeRuns {
  struct Run {
    int depth, bits, first;
  } run[kTreeNodes];
  int count = 0;
};

void add_runs(TreeRuns& runs, int length, int first, int count) noexcept {
  while (count) {
    const int bits = std::bit_width(static_cast<u32>(count)) - 1;
    runs.run[runs.count++] = {length - bits, bits, first};
    first += 1 << bits;
    count -= 1 << bits;
  }
}

struct TreeBuilder {
  HuffmanTree& tree;
  const u8* sorted;  // symbols by length
  const TreeRuns& runs;
  int next = 0, rank = 0;

  u8 node(int depth) noexcept {
    const int index = tree.node_count++;
    TreeNode& node_ = tree.nodes[index];
    node_ = {};
    node_.first = static_cast<u8>(rank);
    if (runs.run[next].depth == depth) {
      const TreeRuns::Run& run = runs.run[next++];
      node_.bits = static_cast<u8>(run.bits);
      for (int i = 0; i < 1 << run.bits; ++i, ++rank) {
        tree.symbols[rank] = sorted[run.first + i];
        tree.ranks[sorted[run.first + i]] = static_cast<u8>(rank);
      }
      return static_cast<u8>(index);
    }
    node_.number = static_cast<u8>(tree.inner_count++);
    node_.left = node(depth + 1);
    node_.split = static_cast<u8>(rank);
    node_.right = node(depth + 1);
    return static_cast<u8>(index);
  }
};

}  // namespace

bool HuffmanTree::build(const u8 lengths[256]) noexcept {
  int count[kHuffmanMaxBits + 1] = {}, start[kHuffmanMaxBits + 2] = {}, used = 0;
  u8 with_code[256];
  u32 kraft = 0;
  for (int first = 0; first < 256; first += 8) {
    if (!read_word<u64>(lengths + first)) continue;  // most are: exponents of weights are some twenty of 256 symbols
    for (int s = first; s < first + 8; ++s) {
      if (lengths[s] > kHuffmanMaxBits) return false;
      if (lengths[s]) with_code[used++] = static_cast<u8>(s);
    }
  }
  for (int i = 0; i < used; ++i) {
    const u8 length = lengths[with_code[i]];
    ++count[length], kraft += 1u << (kHuffmanMaxBits - length);
  }
  if (kraft != 1u << kHuffmanMaxBits) return false;
  TreeRuns cut, runs;
  for (int l = 1; l <= kHuffmanMaxBits; ++l) {
    start[l + 1] = start[l] + count[l];
    add_runs(cut, l, start[l], count[l]);
  }
  for (int depth = 0; depth <= kHuffmanMaxBits; ++depth)
    for (int i = 0; i < cut.count; ++i)
      if (cut.run[i].depth == depth) runs.run[runs.count++] = cut.run[i];
  u8 sorted[256];
  for (int i = 0; i < used; ++i) sorted[start[lengths[with_code[i]]]++] = with_code[i];
  node_count = inner_count = 0;
  std::memset(symbols, 0, sizeof symbols);
  std::memset(ranks, 0, sizeof ranks);
  TreeBuilder{*this, sorted, runs}.node(0);
  return true;
}

#define ACCEL_TABLE_ENTRY tree_decode_part
const TreeDecodePart kTreeDecodePart[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY
#define ACCEL_TABLE_ENTRY tree_encode_part
const TreeEncodePart kTreeEncodePart[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY
#define ACCEL_TABLE_ENTRY tree_count
const TreeCount kTreeCount[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY

namespace {

template <class T>
void store(u8* p, T value) {
  std::memcpy(p, &value, sizeof value);
}

struct PartSymbols {
  size_t first, count;
};
PartSymbols part_symbols(size_t n, size_t k) { return {k * kTreePart, std::min(kTreePart, n - k * kTreePart)}; }

// ---- decoder ----------------------------------------------------------------------------------------------------

struct TreeDecoder {
  size_t isa;
  bool streaming;
  u8* scratch;
  TreeBlockReader reader = {};

  HuffmanStatus operator()(BlockBytes bytes, u8* out, size_t n) noexcept {
    const size_t all = bytes.left();
    if (all < 5) return HuffmanStatus::cut_off;
    const u8* const block = bytes.peek(all);
    if (block[0] <= static_cast<u8>(HuffmanKind::run)) {
      HuffmanWorkspace unused;
      return kHuffmanDecodeBlock[isa](block, all, out, n, unused);
    }
    HuffmanStatus status = reader.open(bytes, n, isa);
    const u8* symbols;
    for (size_t k = 0; k < tree_part_count(n) && status == HuffmanStatus::ok; ++k)
      status = reader.next(out + k * kTreePart, scratch, streaming, symbols);
    return status == HuffmanStatus::ok ? reader.close() : status;
  }
};

}  // namespace

HuffmanFailure tree_decode(const HuffmanDecodeTask& task, size_t isa, int threads, u8* scratch) noexcept {
  const bool streaming = task.n >= kStreamFrom;
  const HuffmanFailure failure = decode_blocks(task, kTreeBlock, threads, [&](int part) {
    return TreeDecoder{isa, streaming, scratch + static_cast<size_t>(part) * kTreeScratch};
  });
  if (streaming) std::atomic_thread_fence(std::memory_order_seq_cst);  // streaming stores are not ordered by themselves
  return failure;
}

// ---- encoder ----------------------------------------------------------------------------------------------------

namespace {

size_t encode_trees(const u8* symbols, size_t n, const u8 lengths[256], size_t isa, u8* out, u8* scratch) noexcept {
  HuffmanTree tree;
  if (!tree.build(lengths)) return n + 5;
  out[0] = kTreeKind;
  const size_t parts = tree_part_count(n), table = huffman_write_lengths(lengths, out + 1);
  u8* const sizes = out + 1 + table;
  u8* const check = sizes + 2 * parts;
  u8* p = check + 4;
  for (size_t k = 0; k < parts; ++k) {
    const auto [first, count] = part_symbols(n, k);
    const size_t bytes = kTreeEncodePart[isa](tree, symbols + first, count, p + 4, scratch);
    store(p, crc32(0, p + 4, bytes, isa > 0));
    store(sizes + 2 * k, static_cast<u16>(bytes + 4));
    p += 4 + bytes;
  }
  store(check, crc32(0, out, static_cast<size_t>(check - out), isa > 0));
  return static_cast<size_t>(p - out);
}

// Whether two symbols drawn at random are equal less than 7 / 6 as often as if all 256 were as likely: a code would
// save less than a byte in 64. By a sample of an eighth.
bool near_uniform(const u8* symbols, size_t n) noexcept {
  u64 counts[256] = {}, drawn = 0, pairs = 0;
  for (size_t at = 0; at < n; at += 4096)
    for (size_t i = at; i < std::min(at + 512, n); ++i) ++counts[symbols[i]], ++drawn;
  for (const u64 count : counts) pairs += count * (count - 1);
  return 6 * 256 * pairs < 7 * drawn * (drawn - 1);
}

}  // namespace

size_t tree_encode_block(const u8* symbols, size_t n, size_t isa, bool choosy, u8* out, u8* scratch) noexcept {
  HuffmanPlan plan{HuffmanKind::raw, nullptr, nullptr, 0};
  if (choosy && near_uniform(symbols, n)) return kHuffmanEncodeBlock[isa](symbols, n, plan, out);
  u32 counts[256];
  kTreeCount[isa](symbols, n, counts);
  plan.kind = HuffmanKind::run;
  if (std::count(counts, counts + 256, 0u) < 255) {
    u8 lengths[256];
    tree_lengths(counts, lengths);
    const size_t bytes = encode_trees(symbols, n, lengths, isa, out, scratch);
    if (bytes < n + 5) return bytes;
    plan.kind = HuffmanKind::raw;
  }
  return kHuffmanEncodeBlock[isa](symbols, n, plan, out);
}

size_t tree_encode(const u8* symbols, size_t n, size_t isa, u8* out, std::int64_t* sizes, u8* scratch) noexcept {
  u8* p = out;
  for (size_t k = 0; k < tree_block_count(n); ++k) {
    const size_t first = k * kTreeBlock;
    const size_t bytes = tree_encode_block(symbols + first, std::min(kTreeBlock, n - first), isa, false, p, scratch);
    sizes[k] = static_cast<std::int64_t>(bytes);
    p += bytes;
  }
  return static_cast<size_t>(p - out);
}

}  // namespace accel
