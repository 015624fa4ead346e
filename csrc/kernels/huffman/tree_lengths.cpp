// SPDX-License-Identifier: BSD-3-Clause
// Code lengths for format HT. A run of 2^k symbols of one length is one step of the decoder, so the symbols, sorted by
// count, are cut into such runs (dynamic program on bits + 0.02 * merges), and the runs get lengths by package-merge.
// Integers throughout, so that accel.reference.huffman_tree finds the same.
// Measured in the design's probe: 0.1 instead of 0.02 bits a merge cost 4 to 14 % in size.
#include <algorithm>
#include <bit>
#include <numeric>

#include "kernels/huffman/tree.h"

namespace accel {
namespace {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr int kPerBit = 50;          // merges that are worth one bit where runs are cut
constexpr int kPerBitLong = 200;     // where the first gives a code 0.7 % longer than the shortest
constexpr int kPerBitChosen = 20;    // where codes are weighed against each other
constexpr int kWeighedSymbols = 64;  // up to here the shortest code, and those of one run, are

struct Sorted {
  int n = 0;
  u8 symbols[256];  // by count, then by symbol
  u32 counts[256];
  u64 total = 0;
};

Sorted sort_symbols(const u32 counts[256]) noexcept {
  u64 keys[256];
  Sorted s;
  for (u32 k = 0; k < 256; ++k)
    if (counts[k]) keys[s.n++] = u64{counts[k]} << 8 | k;
  std::sort(keys, keys + s.n);
  for (int i = 0; i < s.n; ++i) {
    s.symbols[i] = static_cast<u8>(keys[i]);
    s.counts[i] = static_cast<u32>(keys[i] >> 8);
    s.total += s.counts[i];
  }
  return s;
}

// log2 in units of 2^-16, within 0.01.
u64 log2_fixed(u64 x) noexcept {
  const int whole = std::bit_width(x) - 1;
  const u64 part = ((x << 16) >> whole) & 0xFFFF;
  return (u64(whole) << 16) + part + (((part * (65536 - part)) >> 16) * 22708 >> 16);
}

struct Runs {
  int n = 0;
  struct Run {
    u64 weight;
    int at, k;  // symbols at .. at + 2^k of the sorted ones
  } run[256];
};

void sort_runs(Runs& runs) noexcept {
  std::sort(runs.run, runs.run + runs.n, [](const Runs::Run& a, const Runs::Run& b) {
    return a.weight != b.weight ? a.weight < b.weight : a.at < b.at;
  });
}

// The cheapest cut, a run's depth taken as -log2 of its share.
Runs cut_runs(const Sorted& s, u64 per_bit) noexcept {
  Runs runs;
  u64 sums[257] = {}, best[257] = {};
  u8 pick[257] = {};
  const u64 log_total = log2_fixed(s.total);
  for (int i = 0; i < s.n; ++i) sums[i + 1] = sums[i] + s.counts[i];
  for (int i = 1; i <= s.n; ++i) {
    best[i] = ~u64{0};
    for (int k = 0; 1 << k <= i; ++k) {
      const u64 weight = sums[i] - sums[i - (1 << k)], depth = log_total - log2_fixed(weight);
      const u64 cost = best[i - (1 << k)] + per_bit * weight * ((u64(k) << 16) + depth) +
                       weight * (depth + (u64{k > 0} << 16)) + (s.total << 16) / 10;
      if (cost < best[i]) best[i] = cost, pick[i] = static_cast<u8>(k);
    }
  }
  for (int i = s.n; i > 0; i -= 1 << pick[i]) {
    const int at = i - (1 << pick[i]);
    runs.run[runs.n++] = {sums[i] - sums[at], at, pick[i]};
  }
  sort_runs(runs);
  return runs;
}

// The 2^k rarest symbols as one run, the others on their own.
Runs tail_run(const Sorted& s, int k) noexcept {
  Runs runs;
  const int first = 1 << k;
  runs.run[runs.n++] = {std::accumulate(s.counts, s.counts + first, u64{0}), 0, k};
  for (int i = first; i < s.n; ++i) runs.run[runs.n++] = {s.counts[i], i, 0};
  sort_runs(runs);
  return runs;
}

// Depths of the runs, of run r at most 11 - k. Package-merge; a run takes part from its own limit on.
void package_merge(const Runs& runs, int depths[256]) noexcept {
  static_assert(kHuffmanMaxBits == 11);
  bool is_run[kHuffmanMaxBits + 1][512];
  u64 lists[2][512];
  int before = 0;
  for (int level = kHuffmanMaxBits; level >= 1; --level) {
    const u64* pairs = lists[(level + 1) & 1];
    u64* list = lists[level & 1];
    int size = 0, r = 0, p = 0;
    for (;;) {
      while (r < runs.n && kHuffmanMaxBits - runs.run[r].k < level) ++r;
      const bool have_pair = p + 1 < before;
      if (r >= runs.n && !have_pair) break;
      const bool take = r < runs.n && (!have_pair || runs.run[r].weight <= pairs[p] + pairs[p + 1]);
      is_run[level][size] = take;
      list[size++] = take ? runs.run[r++].weight : pairs[p] + pairs[p + 1];
      if (!take) p += 2;
    }
    before = size;
  }
  std::fill(depths, depths + runs.n, 0);
  int taken = 2 * runs.n - 2;
  for (int level = 1; level <= kHuffmanMaxBits; ++level) {
    int whole = static_cast<int>(std::count(is_run[level], is_run[level] + taken, true));
    const int pairs = taken - whole;
    for (int r = 0; whole > 0; ++r)
      if (kHuffmanMaxBits - runs.run[r].k >= level) ++depths[r], --whole;
    taken = 2 * pairs;
  }
}

void assign(const Sorted& s, const Runs& runs, u8 lengths[256]) noexcept {
  int depths[256];
  package_merge(runs, depths);
  std::fill(lengths, lengths + 256, u8{0});
  for (int r = 0; r < runs.n; ++r)
    for (int i = 0; i < 1 << runs.run[r].k; ++i)
      lengths[s.symbols[runs.run[r].at + i]] = static_cast<u8>(depths[r] + runs.run[r].k);
}

u64 bits_of(const u32 counts[256], const u8 lengths[256]) noexcept {
  u64 bits = 0;
  for (int s = 0; s < 256; ++s) bits += u64{counts[s]} * lengths[s];
  return bits;
}

// Bits and merges that the decoder will have, and a twentieth of a merge per node for starting it.
u64 true_cost(const u32 counts[256], u64 total, const u8 lengths[256]) noexcept {
  u64 cost = 0, nodes = 0;
  for (int length = 1; length <= kHuffmanMaxBits; ++length) {
    int left = static_cast<int>(std::count(lengths, lengths + 256, length));
    for (int s = 0; left;) {
      const int k = std::bit_width(static_cast<u32>(left)) - 1;
      u64 weight = 0;
      for (int i = 0; i < 1 << k; ++s)
        if (lengths[s] == length) weight += counts[s], ++i;
      cost += weight * static_cast<u64>(kPerBitChosen * length + length - k + (k > 0));
      nodes += 2;
      left -= 1 << k;
    }
  }
  return cost + (nodes - 1) * total / 20;
}

}  // namespace

void tree_lengths(const u32 counts[256], u8 lengths[256]) noexcept {
  const Sorted s = sort_symbols(counts);
  u8 shortest[256];
  assign(s, tail_run(s, 0), shortest);
  const u64 most = 1007 * bits_of(counts, shortest);
  const auto is_long = [&](const u8 of[256]) { return 1000 * bits_of(counts, of) > most; };
  assign(s, cut_runs(s, kPerBit), lengths);
  if (is_long(lengths)) assign(s, cut_runs(s, kPerBitLong), lengths);
  if (s.n > kWeighedSymbols) return;
  u64 least = true_cost(counts, s.total, lengths);
  for (int k = 0; 1 << k <= s.n; ++k) {
    u8 other[256];
    assign(s, tail_run(s, k), other);
    const u64 cost = true_cost(counts, s.total, other);
    if (cost > least || is_long(other)) continue;
    least = cost;
    std::copy(other, other + 256, lengths);
  }
}

}  // namespace accel
