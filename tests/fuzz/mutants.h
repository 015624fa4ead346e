// SPDX-License-Identifier: BSD-3-Clause
// Random numbers of the fuzzers, and damage to blocks.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace mutants {

using Bytes = std::vector<std::uint8_t>;

inline std::mt19937_64 generator;
inline std::size_t below(std::size_t n) { return n ? generator() % n : 0; }
inline std::uint8_t any_byte() { return static_cast<std::uint8_t>(generator()); }

inline void mutate_once(Bytes& block, const Bytes& other) {
  const std::size_t at = below(block.size()), from = below(block.size());
  const std::size_t size = std::min(1 + below(8), block.size() - std::max(at, from));
  switch (below(7)) {
    case 0:
      block[at] ^= static_cast<std::uint8_t>(1u << below(8));
      break;
    case 1:
      block[at] = any_byte();
      break;
    case 2:
      block.resize(1 + below(block.size()));
      break;
    case 3:
      block.insert(block.begin() + static_cast<long>(at), any_byte());
      break;
    case 4:
      std::memmove(&block[at], &block[from], size);
      break;
    case 5: {  // the head: kind, code lengths and sizes, where most can go wrong
      const std::size_t place = below(std::min<std::size_t>(block.size(), 40));
      block[place] = static_cast<std::uint8_t>(below(2) ? block[place] + 1 : any_byte());
      break;
    }
    default: {  // the head of another block
      const std::size_t taken = below(std::min<std::size_t>(other.size(), 40));
      block.erase(block.begin(), block.begin() + static_cast<long>(std::min(block.size() - 1, below(40))));
      block.insert(block.begin(), other.begin(), other.begin() + static_cast<long>(taken));
    }
  }
}

}  // namespace mutants
