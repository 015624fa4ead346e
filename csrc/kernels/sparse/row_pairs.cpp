// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/row_pairs.h"

#include <algorithm>

namespace accel {
namespace {

constexpr long kNeighbours = 64;  // that a row is compared with: bounds the time where all counts are equal

}  // namespace

// Rows of one count: those that share most first, and the others as they come.
void RowPairs::match(const std::int32_t* rows, long n, std::int32_t count, std::vector<RowPair>& pairs,
                     std::vector<std::int32_t>& alone) {
  for (auto& c : candidates_) c.clear();
  candidates_.resize(std::max(candidates_.size(), static_cast<std::size_t>(count / 2) + 1));
  std::int32_t shared[kNeighbours];
  for (long i = 0; i + 1 < n; ++i) {
    const long others = std::min(n - i - 1, kNeighbours);
    shared_(bits_.data(), words_, rows + i, others, shared);
    for (long j = 0; j < others; ++j)
      candidates_[static_cast<std::size_t>(shared[j] / 2)].push_back(
          {static_cast<std::int32_t>(i), static_cast<std::int32_t>(i + 1 + j)});
  }
  taken_.assign(static_cast<std::size_t>(n), 0);
  const auto row = [&](long i) { return static_cast<std::int32_t>(begin_ + rows[i] - part_); };
  for (std::size_t half = candidates_.size(); half-- > 0;)
    for (const Candidate c : candidates_[half]) {
      std::uint8_t &first = taken_[static_cast<std::size_t>(c.first)],
                   &second = taken_[static_cast<std::size_t>(c.second)];
      if (first || second) continue;
      first = second = 1;
      pairs.push_back({row(c.first), row(c.second), count, static_cast<std::int32_t>(2 * half)});
    }
  for (long i = 0; i < n; ++i)
    if (!taken_[static_cast<std::size_t>(i)]) alone.push_back(row(i));
}

void RowPairs::find(const CsrView& csr, Range rows, long part, Range columns, const std::int32_t* at,
                    const std::int32_t* count, std::vector<RowPair>& pairs, std::vector<std::int32_t>& alone) {
  part_ = part, begin_ = rows.begin;
  at += rows.begin, count += rows.begin - part;
  const auto all = static_cast<std::size_t>(rows.end - rows.begin);
  const auto width = static_cast<std::size_t>(columns.end - columns.begin), words = (width + 63) / 64;
  words_ = words;
  bits_.assign(all * words, 0), ends_.assign(width + 2, 0), order_.resize(all);
  for (std::size_t r = 0; r < all; ++r) {
    std::uint64_t* const bits = bits_.data() + r * words;
    const std::int32_t *from = csr.indices + at[r], *const end = from + count[r];
    for (; from != end; ++from) {
      const auto k = static_cast<std::size_t>(*from - columns.begin);
      bits[k / 64] |= std::uint64_t{1} << k % 64;
    }
    ++ends_[static_cast<std::size_t>(count[r]) + 1];
  }
  for (std::size_t n = 0; n <= width; ++n) ends_[n + 1] += ends_[n];
  for (std::size_t r = 0; r < all; ++r)
    order_[static_cast<std::size_t>(ends_[static_cast<std::size_t>(count[r])]++)] = static_cast<std::int32_t>(r);
  for (std::size_t r = 0; r < static_cast<std::size_t>(ends_[0]); ++r)
    alone.push_back(static_cast<std::int32_t>(begin_ + order_[r] - part_));
  for (std::size_t n = 1; n <= width; ++n)
    if (ends_[n] > ends_[n - 1])
      match(order_.data() + ends_[n - 1], ends_[n] - ends_[n - 1], static_cast<std::int32_t>(n), pairs, alone);
}

}  // namespace accel
