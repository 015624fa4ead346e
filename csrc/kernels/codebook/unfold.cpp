// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "kernels/codebook/codebook.h"

namespace accel {

// A load of eight codes, eight look-ups in the L1 cache. Gathers and permutations of registers save nothing where the
// result goes to memory.
void unfold_codes(const std::uint8_t* codes, std::size_t n, const float* book, int entries, float* out) noexcept {
  float values[256];  // for every byte, so that no code has to be checked
  std::copy_n(book, entries, values);
  std::fill(values + entries, values + 256, book[entries - 1]);
  for (std::size_t i = 0; i < n; ++i) out[i] = values[codes[i]];
}

}  // namespace accel
