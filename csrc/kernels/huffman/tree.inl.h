// SPDX-License-Identifier: BSD-3-Clause
// One part of format HT: the walk over the tree, upwards to decode and downwards to encode. The words that move
// symbols (merge, unpack; split, pack) are those of merge_<instruction set>.h.
namespace accel::ACCEL_ISA {
namespace {
constexpr bool kFolding = std::string_view(ACCEL_STRING(ACCEL_ISA)) != "baseline";  // of checksums
}
}  // namespace accel::ACCEL_ISA
// clang-format off
#include ACCEL_ISA_FILE(kernels/huffman/merge_)
// clang-format on
namespace accel::ACCEL_ISA {
namespace {

ACCEL_INLINE size_t whole_vectors(size_t n) { return (n + 63) / 64 * 64; }

struct TreeReader {
  const HuffmanTree& tree;
  const u8* counts;  // of what goes right, u16 per inner node
  const u8* end;     // of the part
  HuffmanStatus status = HuffmanStatus::ok;
  const u8* fail(HuffmanStatus why) {
    if (status == HuffmanStatus::ok) status = why;
    return end;
  }
};

// Where a node's payload of `bits` bits at p ends; null unless it is all there and padded by zeros.
const u8* payload_end(TreeReader& in, const u8* p, size_t bits) noexcept {
  const size_t bytes = (bits + 7) / 8;
  const bool fits = bytes <= static_cast<size_t>(in.end - p);
  if (!fits && !planted(Plant::node_size)) return in.fail(HuffmanStatus::stream_too_short), nullptr;
  const bool padded = bits % 8 == 0 || p[bytes - 1] >> bits % 8 == 0;
  if (!padded && !planted(Plant::node_padding)) return in.fail(HuffmanStatus::stream_left_over), nullptr;
  return p + bytes;
}

// Memory of a node's symbols. Its right child's stand at the end of it, so that merging moves them forward in place,
// and so on downwards, each a part of a vector further on at most: what a path takes of L1 is halved.
ACCEL_INLINE size_t place_bytes(size_t n) { return whole_vectors(n) + 64 * kHuffmanMaxBits; }

// The set bits of the bitmap of a node, whose n symbols go to `sink`. Its left child's are at l, but for a run: that is
// unpacked to there, just before its symbols are wanted, or as it is merged.
template <class Sink>
size_t merge_children(const TreeReader& in, const TreeNode& left, const u8* bitmap, size_t n, const u8* run,
                      size_t run_symbols, u8* l, const u8* r, Sink sink) noexcept {
  const u8* const symbols = in.tree.symbols + left.first;
  if (left.leaf()) return merge<true>(bitmap, n, symbols[0], l, r, sink);
  if constexpr (kMergesPairs)  // a bitmap that lies reads n bits of the run
    if (!left.split && left.bits == 1 && n / 8 + 16 <= static_cast<size_t>(in.end - run))
      return merge_pair(bitmap, n, symbols, run, r, sink);
  if (!left.split) unpack(symbols, left.bits, run, run_symbols, Cached{l});
  return merge<false>(bitmap, n, 0, l, r, sink);
}

// The n symbols of a node that is no leaf into `sink`, whole vectors of them; p is its payload, returned is what
// follows it. `place` may be where the symbols go; free scratch begins at `top`. Every read through a bitmap that lies
// stays within a part and 64 bytes behind `top`, and the count tells.
template <class Sink>
const u8* decode_node(TreeReader& in, int index, const u8* p, size_t n, u8* place, u8* top, Sink sink) noexcept {
  const TreeNode& node = in.tree.nodes[index];
  const u8* const payload = p;
  p = payload_end(in, p, n * (node.split ? 1 : node.bits));
  if (!p) return in.end;
  if (!node.split) {
    unpack(in.tree.symbols + node.first, node.bits, payload, n, sink);
    return p;
  }
  const size_t ones = read_word<u16>(in.counts + 2 * node.number);
  if (ones > n) return in.fail(HuffmanStatus::wrong_count);
  const TreeNode& left = in.tree.nodes[node.left];
  assert(!in.tree.nodes[node.right].leaf());  // runs stand left of inner nodes, and of two runs the smaller one
  const u8* const run = p;
  u8 *const l = top, *const r = place + whole_vectors(n - ones);
  if (left.split) {
    top += place_bytes(n - ones);
    p = decode_node(in, node.left, p, n - ones, l, top, Cached{l});  // none: its counts have to be 0
  } else {
    p = payload_end(in, p, (n - ones) * left.bits);
    if (!p) return in.end;
  }
  p = decode_node(in, node.right, p, ones, r, top, Cached{r});
  if (in.status != HuffmanStatus::ok) return in.end;
  const size_t found = merge_children(in, left, payload, n, run, n - ones, l, r, sink);
  return found == ones ? p : in.fail(HuffmanStatus::wrong_count);
}

template <class Sink>
HuffmanStatus decode_root(const HuffmanTree& tree, const u8* part, size_t bytes, size_t n, u8* top,
                          Sink sink) noexcept {
  const size_t head = 2 * static_cast<size_t>(tree.inner_count);
  if (bytes < head) return HuffmanStatus::cut_off;
  TreeReader in{tree, part, part + bytes};
  const u8* const end = decode_node(in, 0, part + head, n, top, top + place_bytes(n), sink);
  if (in.status != HuffmanStatus::ok) return in.status;
  return end == in.end ? HuffmanStatus::ok : HuffmanStatus::stream_left_over;
}

TreePartDecoded tree_decode_part(const HuffmanTree& tree, const u8* part, size_t bytes, u8* out, size_t n, u8* scratch,
                                 bool streaming) noexcept {
  if (streaming && n % 64 == 0) {
    Checksum sum(part, bytes);
    const HuffmanStatus status =
        sum.beside_stream(out, [&](auto sink) { return decode_root(tree, part, bytes, n, scratch, sink); });
    return {status, sum.finish()};
  }
  const u32 crc =
      crc32(0, part, bytes, kFolding);  // brings the part into the cache in its order, which nodes are not in
  if (n % 64 == 0) return {decode_root(tree, part, bytes, n, scratch, Cached{out}), crc};
  const HuffmanStatus status = decode_root(tree, part, bytes, n, scratch + whole_vectors(n), Cached{scratch});
  std::memcpy(out, scratch, n);  // whole vectors would have left it
  return {status, crc};
}

// ---- encoder ----------------------------------------------------------------------------------------------------

struct TreeWriter {
  const HuffmanTree& tree;
  u8* counts;
};

// The n ranks at `src` that reach a node behind `p`; returned is what follows.
u8* encode_node(const TreeWriter& to, int index, const u8* src, size_t n, u8* p, u8* top) noexcept {
  const TreeNode& node = to.tree.nodes[index];
  if (!node.split) {
    pack(src, n, node.bits, node.first, p);
    return p + (n * node.bits + 7) / 8;
  }
  const bool left_leaf = to.tree.nodes[node.left].leaf(), right_leaf = to.tree.nodes[node.right].leaf();
  u8* const l = top;
  u8* const r = l + whole_vectors(n) + 64;
  const u16 ones = static_cast<u16>(split(src, n, node.split, p, left_leaf ? nullptr : l, right_leaf ? nullptr : r));
  std::memcpy(to.counts + 2 * node.number, &ones, sizeof ones);
  p += (n + 7) / 8;
  top = r + whole_vectors(n) + 64;
  if (!left_leaf && n > ones) p = encode_node(to, node.left, l, n - ones, p, top);
  if (!right_leaf && ones) p = encode_node(to, node.right, r, ones, p, top);
  return p;
}

size_t tree_encode_part(const HuffmanTree& tree, const u8* symbols, size_t n, u8* out, u8* scratch) noexcept {
  const size_t head = 2 * static_cast<size_t>(tree.inner_count);
  std::memset(out, 0, head);  // nodes that no symbol of this part reaches
  to_ranks(symbols, n, tree.ranks, scratch);
  const TreeWriter to{tree, out};
  return static_cast<size_t>(encode_node(to, 0, scratch, n, out + head, scratch + whole_vectors(n) + 64) - out);
}

// Exact counting takes 1.05 cycles a symbol, most of the encoder's time (design's probe): count a quarter, then only
// those symbols that did not show up in it.
void tree_count(const u8* symbols, size_t n, u32 counts[256]) noexcept {
  const bool sampled = n >= 65536;
  u32 table[4][256] = {};
  for (size_t at = 0; sampled && at + 512 <= n; at += 2048) {
    for (size_t k = 0; k < 2048; k += 64)  // of what is read next, here and below; the hardware does not follow jumps
      __builtin_prefetch(symbols + std::min(at + 4096 + k, n - 1));
    count_eights(symbols + at, 512, table);
  }
  alignas(64) u8 unseen[256];  // 0 or 128
  for (int s = 0; s < 256; ++s) {
    counts[s] = 4 * (table[0][s] + table[1][s] + table[2][s] + table[3][s]);
    unseen[s] = counts[s] ? 0 : 128;
  }
  count_marked(symbols, n, unseen, counts);
}

}  // namespace
}  // namespace accel::ACCEL_ISA
