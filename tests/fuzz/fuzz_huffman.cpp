// SPDX-License-Identifier: BSD-3-Clause
// Huffman blocks of both formats, whole and damaged, in the decoders of every instruction set: each must say what
// huffman_oracle.h says, and the sanitizers must stay silent. Built and run by fuzz_huffman.py; alone:
//   fuzz_huffman MUTANTS SEED LONGEST    code-length vectors of 8 symbols have lengths of 0..LONGEST
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "guarded.h"
#include "huffman_oracle.h"
#include "kernels/huffman/lengths.h"
#include "kernels/huffman/tree.h"
#include "mutants.h"

namespace {

using namespace accel;
using oracle::Bytes;
using std::size_t;
using std::uint8_t;

using mutants::any_byte, mutants::below, mutants::generator, mutants::mutate_once;

constexpr size_t kMostSymbols = 80'000;
Guarded input(2 * kMostSymbols), output(2 * kMostSymbols), scratch(kTreeScratch);

struct Case {
  bool tree;
  Bytes symbols, block;
};

[[noreturn]] void report(const char* what, const Case& of, const Bytes& block, size_t n, size_t isa) {
  std::printf("finding: %s; format %s, %zu symbols, instruction set %s\n", what, of.tree ? "HT" : "H4", n,
              isa_name(static_cast<Isa>(isa)));
  for (size_t k = 0; k < std::min<size_t>(block.size(), 4096); ++k) std::printf("%02x", block[k]);
  std::printf("\n");
  std::exit(1);
}

std::vector<size_t> supported() {
  std::vector<size_t> found;
  for (size_t k = 0; k < kIsaCount; ++k)
    if (isa_supported(static_cast<Isa>(k))) found.push_back(k);
  return found;
}
const std::vector<size_t> isas = supported();

// ---- encoders -------------------------------------------------------------------------------------------------------

Bytes draw(size_t n, size_t alphabet, double ratio) {
  std::geometric_distribution<int> law(1 - ratio);
  Bytes symbols(n);
  for (auto& s : symbols) s = static_cast<uint8_t>(static_cast<size_t>(law(generator)) % alphabet);
  return symbols;
}

const uint8_t* guarded_copy(const Bytes& bytes) {
  uint8_t* const p = input.last(bytes.size());
  std::copy(bytes.begin(), bytes.end(), p);
  return p;
}

Bytes encode_tree(const Bytes& symbols, size_t isa) {
  const size_t n = symbols.size();
  uint8_t* const out = output.last(tree_bound(n));
  std::int64_t size = 0;
  tree_encode(guarded_copy(symbols), n, isa, out, &size, scratch.last(kTreeScratch));
  return {out, out + size};
}

// With these code lengths, or with those of the tree format: any complete code of the symbols will do.
Bytes encode_plain(const Bytes& symbols, HuffmanKind kind, size_t isa, const uint8_t* given = nullptr) {
  const size_t n = symbols.size();
  uint8_t lengths[256] = {}, table[kHuffmanTableBytes + 8];
  const uint8_t* const src = guarded_copy(symbols);
  HuffmanPlan plan{kind, lengths, table, 0};
  if (kind == HuffmanKind::one_stream || kind == HuffmanKind::eight_streams) {
    std::uint32_t counts[256];
    kHuffmanHistogram[isa](src, n, counts);
    given ? std::copy(given, given + 256, lengths) : (tree_lengths(counts, lengths), lengths);
    plan.table_bytes = huffman_write_lengths(lengths, table);
  }
  uint8_t* const out = output.last(huffman_block_bound(n));
  return {out, out + kHuffmanEncodeBlock[isa](src, n, plan, out)};
}

Case make_case(bool tree, const Bytes& symbols, HuffmanKind kind = HuffmanKind::one_stream) {
  std::optional<Bytes> first;
  for (const size_t isa : isas) {
    const Bytes block = tree ? encode_tree(symbols, isa) : encode_plain(symbols, kind, isa);
    const Case made{tree, symbols, block};
    if (first && block != *first) report("encoders differ", made, block, symbols.size(), isa);
    first = block;
  }
  return {tree, symbols, *first};
}

// ---- decoders -------------------------------------------------------------------------------------------------------

std::optional<Bytes> expected(const Bytes& block, size_t n, bool tree, bool sums = true) {
  try {
    return oracle::decode(block, n, tree, sums);
  } catch (const oracle::Refused&) {
    return std::nullopt;
  }
}

void check(const Case& of, const Bytes& block, size_t n, size_t isa, const std::optional<Bytes>& answer,
           std::int64_t end) {
  uint8_t* const out = output.last(n);
  const HuffmanDecodeTask task{{guarded_copy(block), block.size()}, &end, out, n};
  const HuffmanStatus status = of.tree ? tree_decode(task, isa, 1, scratch.last(kTreeScratch)).status
                                       : huffman_decode_blocks(task, kHuffmanDecodeBlock[isa], 1).status;
  if (!output.front_is_whole(out)) report("a write before the output", of, block, n, isa);
  const bool accepted = status == HuffmanStatus::ok;
  if (accepted != answer.has_value()) report(accepted ? "wrongly accepted" : "wrongly refused", of, block, n, isa);
  if (accepted && !std::equal(answer->begin(), answer->end(), out)) report("wrong symbols", of, block, n, isa);
}

void check(const Case& of, const Bytes& block, size_t n, size_t isa, const std::optional<Bytes>& answer) {
  check(of, block, n, isa, answer, static_cast<std::int64_t>(block.size()));
}

// The only part of a block by streaming stores, which whole streams get from 4 MiB on.
void check_streaming(const Case& of, const Bytes& block, size_t n, size_t isa, const Bytes& answer) {
  if (block[0] != kTreeKind || n > kTreePart) return;
  uint8_t lengths[256];
  size_t table = 0;
  HuffmanTree tree;
  if (huffman_read_lengths(&block[1], block.size() - 1, lengths, table) != HuffmanStatus::ok || !tree.build(lengths))
    report("lengths refused", of, block, n, isa);
  const size_t part = 1 + table + 2 + 4 + 4, size = block.size() - part;
  uint8_t* const out = output.last(n);
  const auto [status, crc] =
      kTreeDecodePart[isa](tree, guarded_copy(block) + part, size, out, n, scratch.last(kTreeScratch), true);
  if (crc != crc32(0, &block[part], size, false)) report("checksum of a part", of, block, n, isa);
  if (status != HuffmanStatus::ok || !std::equal(answer.begin(), answer.end(), out) || !output.front_is_whole(out))
    report("streaming stores", of, block, n, isa);
}

// ---- damage ---------------------------------------------------------------------------------------------------------

void put_sum(uint8_t* at, std::uint32_t sum) { std::memcpy(at, &sum, sizeof sum); }

// Gives parts and head of a block of trees right checksums, the last part all that is there.
void repair_trees(Bytes& block, size_t n) {
  oracle::Reader in{block.data() + 1, block.data() + block.size()};
  oracle::read_lengths(in);
  const size_t table = block.size() - in.left(), head = table + 2 * tree_part_count(n);
  if (block.size() < head + 4) return;
  size_t at = head + 4;
  for (size_t k = table; k < head; k += 2) {
    size_t size = block[k] | static_cast<size_t>(block[k + 1]) << 8;
    if (k + 2 == head && block.size() - at < 65536) size = block.size() - at;
    block[k] = static_cast<uint8_t>(size), block[k + 1] = static_cast<uint8_t>(size >> 8);
    if (size < 4 || size > block.size() - at) break;
    put_sum(&block[at], crc32(0, block.data() + at + 4, size - 4, false));
    at += size;
  }
  put_sum(&block[head], crc32(0, block.data(), head, false));
}

// The same for the checksum of a block of the other kinds, which is of its symbols.
void repair_plain(Bytes& block, size_t n) {
  const Bytes symbols = oracle::decode(block, n, false, false);
  oracle::Reader in{block.data() + 1, block.data() + block.size()};
  if (block[0] == 1) in.take(1);
  if (block[0] > 1) oracle::read_lengths(in);
  if (block[0] > 2) in.take(14);
  const size_t head = block.size() - in.left();
  put_sum(&block[head], crc32(crc32(0, block.data(), head, false), symbols.data(), symbols.size(), false));
}

void repair(Bytes& block, size_t n, bool tree) {
  try {
    block[0] == kTreeKind&& tree ? repair_trees(block, n) : repair_plain(block, n);
  } catch (const oracle::Refused&) {  // broken before any checksum: as good a test
  }
}

// ---- tests ----------------------------------------------------------------------------------------------------------

// Few symbols under the tree of many: most of its nodes are not reached.
Case make_sparse_case() {
  std::uint32_t counts[256];
  for (std::uint32_t s = 0; s < 256; ++s) counts[s] = 1u << s / 16;
  Bytes symbols = draw(64, 3, 0.5);
  for (auto& s : symbols) s = static_cast<uint8_t>(255 - s);
  uint8_t lengths[256], *const part = output.last(kTreePartBytes);
  tree_lengths(counts, lengths);
  HuffmanTree tree;
  tree.build(lengths);
  const size_t size = kTreeEncodePart[0](tree, guarded_copy(symbols), 64, part, scratch.last(kTreeScratch));
  Bytes block(1 + kHuffmanTableBytes);
  block[0] = kTreeKind;
  block.resize(1 + huffman_write_lengths(lengths, &block[1]) + 2 + 4 + 4);
  block.insert(block.end(), part, part + size);
  repair_trees(block, 64);
  return {true, symbols, block};
}

std::vector<Case> make_cases() {
  std::vector<Case> cases;
  for (const auto& symbols : {draw(64, 3, 0.5), draw(300, 16, 0.7), draw(640, 200, 0.97), draw(999, 256, 0.99)}) {
    cases.push_back(make_case(true, symbols));
    cases.push_back(make_case(false, symbols, HuffmanKind::one_stream));
    cases.push_back(make_case(false, symbols, HuffmanKind::eight_streams));
  }
  cases.push_back(make_case(false, draw(50, 256, 0.99), HuffmanKind::raw));
  cases.push_back(make_case(false, Bytes(90, 7), HuffmanKind::run));
  cases.push_back(make_case(true, Bytes(90, 7)));
  cases.push_back(make_sparse_case());
  // Rarely drawn: look-ups of several symbols, and more than one part.
  for (const size_t n : {4'200, 17'001, 70'003}) {
    cases.push_back(make_case(true, draw(n, 16, 0.7)));
    cases.push_back(
        make_case(false, draw(n, 5, 0.3), n < 16'384 ? HuffmanKind::one_stream : HuffmanKind::eight_streams));
  }
  return cases;
}
constexpr size_t kRare = 6;

long flip_bits(const std::vector<Case>& cases) {
  long flips = 0;
  for (const Case& original : cases) {
    if (original.block.size() > 2000) continue;
    Bytes block = original.block;
    for (size_t bit = 0; bit < 8 * block.size(); ++bit, ++flips) {
      block[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
      for (const size_t isa : isas) check(original, block, original.symbols.size(), isa, std::nullopt);
      block[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    }
  }
  return flips;
}

const Case& pick(const std::vector<Case>& cases) {
  const size_t common = cases.size() - kRare;
  return below(128) ? cases[below(common)] : cases[common + below(kRare)];
}

// How many are accepted.
long decode_mutants(const std::vector<Case>& cases, long mutants) {
  long accepted = 0;
  for (long run = 0; run < mutants; ++run) {
    const Case& original = pick(cases);
    const size_t isa = isas[static_cast<size_t>(run) % isas.size()];
    Bytes block = original.block;
    for (size_t k = 1 + below(3); k; --k) mutate_once(block, pick(cases).block);
    const size_t n = below(8) ? original.symbols.size() : 1 + below(2 * original.symbols.size());
    if (below(4)) repair(block, n, original.tree);
    if (block.size() > 2 * kMostSymbols || n > 2 * kMostSymbols) continue;
    const auto answer = expected(block, n, original.tree);
    check(original, block, n, isa, answer);
    if (answer && original.tree) check_streaming(original, block, n, isa, *answer);
    if (!below(64)) {  // an end that lies
      const auto end = static_cast<std::int64_t>(below(2) ? generator() : below(2 * block.size()));
      const bool inside = end >= 0 && static_cast<size_t>(end) <= block.size();
      const Bytes cut(block.begin(), block.begin() + (inside ? end : 0));
      check(original, block, n, isa, inside ? expected(cut, n, original.tree) : std::nullopt, end);
    }
    accepted += answer.has_value();
  }
  return accepted;
}

// Encoded by a complete code of few symbols, and decoded by one instruction set after the other.
void round_trip(const uint8_t lengths[256], size_t count, size_t isa) {
  Bytes symbols;
  for (size_t k = 0; k < 3 * count; ++k)
    if (lengths[k % count]) symbols.push_back(static_cast<uint8_t>(k % count));
  const Case plain{false, symbols, encode_plain(symbols, HuffmanKind::one_stream, isa, lengths)};
  const auto answer = expected(plain.block, symbols.size(), false);
  if (!answer || *answer != symbols) report("a code is encoded wrongly", plain, plain.block, symbols.size(), isa);
  check(plain, plain.block, symbols.size(), isa, answer);
  HuffmanTree tree;
  if (!tree.build(lengths)) report("a complete code has no tree", plain, plain.block, symbols.size(), isa);
  uint8_t* const part = output.last(kTreePartBytes);
  const size_t size =
      kTreeEncodePart[isa](tree, guarded_copy(symbols), symbols.size(), part, scratch.last(kTreeScratch));
  const auto grown = oracle::build_tree({lengths, lengths + 256});
  const Bytes bytes(part, part + size);
  if (oracle::read_part(*grown, {bytes.data(), bytes.data() + size}, symbols.size()) != symbols)
    report("a tree is encoded wrongly", plain, bytes, symbols.size(), isa);
}

struct Vectors {
  long all = 0, complete = 0;
};

// Every vector of code lengths of 8 symbols as a table: read as the oracle reads it, and a complete code works. Codes
// of fewer symbols are among them: vectors that are complete early, or hold zeros.
Vectors try_code_lengths(int longest) {
  Vectors seen;
  uint8_t vector[8] = {};
  const auto next = [&] {
    for (int k = 0; k < 8; vector[k++] = 0)
      if (++vector[k] <= longest) return true;
    return false;
  };
  do {
    const uint8_t table[4] = {
        static_cast<uint8_t>(vector[7] | vector[6] << 4), static_cast<uint8_t>(vector[5] | vector[4] << 4),
        static_cast<uint8_t>(vector[3] | vector[2] << 4), static_cast<uint8_t>(vector[1] | vector[0] << 4)};
    uint8_t lengths[256];
    size_t taken = 0;
    const bool accepted = huffman_read_lengths(table, sizeof table, lengths, taken) == HuffmanStatus::ok;
    int sum = 0, count = 0;  // of 2^(11 - length), until it is complete or too much
    while (count < 8 && sum < 2048) sum += vector[7 - count] ? 2048 >> vector[7 - count] : 0, ++count;
    const bool padded = count % 2 == 0 || vector[7 - count] == 0;
    if (accepted != (sum == 2048 && padded) || (accepted && taken != static_cast<size_t>(count + 1) / 2)) {
      const Case none{};
      report("a vector of code lengths", none, {table, table + 4}, 8, 0);
    }
    if (accepted)
      round_trip(lengths, static_cast<size_t>(count), isas[static_cast<size_t>(seen.complete++) % isas.size()]);
    ++seen.all;
  } while (next());
  return seen;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const long mutants = std::atol(argv[1]);
  generator.seed(static_cast<std::uint64_t>(std::atol(argv[2])));
  const std::vector<Case> cases = make_cases();
  for (const Case& whole : cases)
    for (const size_t isa : isas) check(whole, whole.block, whole.symbols.size(), isa, whole.symbols);
  const long flips = flip_bits(cases), accepted = decode_mutants(cases, mutants);
  const Vectors vectors = try_code_lengths(std::atoi(argv[3]));
  std::printf(
      "{\"mutants\": %ld, \"accepted\": %ld, \"bit_flips\": %ld, \"code_length_vectors\": %ld, "
      "\"complete_codes\": %ld, \"instruction_sets\": %zu}\n",
      mutants, accepted, flips, vectors.all, vectors.complete, isas.size());
}
