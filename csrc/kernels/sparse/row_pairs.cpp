// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/row_pairs.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace accel {
namespace {

constexpr long kNeighbours = 64;  // that a row is compared with: bounds the time where all counts are equal

}  // namespace

long RowPairs::shared(std::size_t a, std::size_t b) const noexcept {
  const std::uint64_t *p = bits_.data() + a * words_, *q = bits_.data() + b * words_;
  long n = 0;
  for (std::size_t w = 0; w < words_; ++w) n += std::popcount(p[w] & q[w]);
  return n;
}

// Rows of one count: those that share most first, and the others as they come.
void RowPairs::match(const std::int32_t* rows, long n, std::int32_t count, std::vector<RowPair>& pairs,
                     std::vector<std::int32_t>& alone) {
  for (auto& c : candidates_) c.clear();
  candidates_.resize(std::max(candidates_.size(), static_cast<std::size_t>(count / 2) + 1));
  for (long i = 0; i < n; ++i)
    for (long j = i + 1; j < std::min(n, i + 1 + kNeighbours); ++j) {
      const auto a = static_cast<std::size_t>(rows[i] - begin_), b = static_cast<std::size_t>(rows[j] - begin_);
      candidates_[static_cast<std::size_t>(shared(a, b) / 2)].push_back(
          {static_cast<std::int32_t>(i), static_cast<std::int32_t>(j)});
    }
  taken_.assign(static_cast<std::size_t>(n), 0);
  const auto row = [&](long i) { return static_cast<std::int32_t>(rows[i] - part_); };
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
  words_ = static_cast<std::size_t>((columns.end - columns.begin + 63) / 64);
  bits_.assign(static_cast<std::size_t>(rows.end - rows.begin) * words_, 0);
  for (long r = rows.begin; r < rows.end; ++r) {
    std::uint64_t* bits = bits_.data() + static_cast<std::size_t>(r - rows.begin) * words_;
    for (std::int32_t i = 0; i < count[r - part]; ++i) {
      const auto k = static_cast<std::size_t>(csr.indices[at[r] + i] - columns.begin);
      bits[k / 64] |= std::uint64_t{1} << k % 64;
    }
  }
  order_.resize(static_cast<std::size_t>(rows.end - rows.begin));
  std::iota(order_.begin(), order_.end(), static_cast<std::int32_t>(rows.begin));
  const auto values = [&](std::int32_t r) { return count[r - part]; };
  std::stable_sort(order_.begin(), order_.end(), [&](auto a, auto b) { return values(a) < values(b); });
  for (auto from = order_.begin(); from != order_.end();) {
    const std::int32_t n = values(*from);
    const auto to = std::find_if(from, order_.end(), [&](auto r) { return values(r) != n; });
    if (n == 0)
      for (auto r = from; r != to; ++r) alone.push_back(static_cast<std::int32_t>(*r - part));
    else
      match(&*from, to - from, n, pairs, alone);
    from = to;
  }
}

}  // namespace accel
