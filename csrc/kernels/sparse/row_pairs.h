// SPDX-License-Identifier: BSD-3-Clause
// Which rows of a block are multiplied together: those of equal counts that share many columns, so that a vector of X
// is loaded once for both.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/sparse/sparse.h"
#include "runtime/pool.h"

namespace accel {

struct RowPair {
  std::int32_t first, second;  // rows, counted from the part's first
  std::int32_t count, shared;  // values of each; columns that both are to take together, an even number
};

// How many columns the first of some rows shares with each of the `n` after it; the columns of row r are the bits of
// the words from bits + r * words on.
using SharedColumns = void (*)(const std::uint64_t* bits, std::size_t words, const std::int32_t* rows, long n,
                               std::int32_t* shared) noexcept;

// Greedy, in linear time: a row is compared with some that have as many values. Deterministic.
class RowPairs {
 public:
  explicit RowPairs(SharedColumns shared) : shared_(shared) {}
  // Adds the pairs among `rows`, counted from `part`; rows that have no partner go to `alone`. The values of row r in
  // the block `columns` are the count[r - part] from at[r] on.
  void find(const CsrView& csr, Range rows, long part, Range columns, const std::int32_t* at, const std::int32_t* count,
            std::vector<RowPair>& pairs, std::vector<std::int32_t>& alone);

 private:
  struct Candidate {
    std::int32_t first, second;  // in the class
  };
  void match(const std::int32_t* rows, long n, std::int32_t count, std::vector<RowPair>& pairs,
             std::vector<std::int32_t>& alone);

  SharedColumns shared_;
  long part_ = 0, begin_ = 0;
  std::size_t words_ = 0;
  std::vector<std::uint64_t> bits_;                 // [row][words_]: the columns it has
  std::vector<std::int32_t> order_, ends_;          // rows of `rows` by their counts; where those of a count end
  std::vector<std::vector<Candidate>> candidates_;  // by half of what they share
  std::vector<std::uint8_t> taken_;
};

}  // namespace accel
