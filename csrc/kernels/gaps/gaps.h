// SPDX-License-Identifier: BSD-3-Clause
// Values put to their places among zeros: places by gaps (a byte an entry) or by a bitmap, as docs/kernels/gaps.md
// says. Bytes may be hostile: nothing outside the ranges is read or written. Both kernels go on where they stopped, so
// that places and values can come in pieces.
#pragma once
#include <cstddef>
#include <cstdint>

#include "simd/isa.h"

namespace accel {

// `size` elements of `width` bytes (1, 2, 4, 8) at `out`.
struct GapsOutput {
  std::uint8_t* out;
  std::size_t width, size;
  std::size_t cleared;    // elements from the front on that are 0, but for entries
  std::size_t place = 0;  // behind the last entry
};

// Entry k, values[k], stands gaps[k] + 1 places behind the one before it; `most`, the largest gap, is 15 or 255. The
// first entry whose gap is larger or that leaves the output, -1 when there is none.
using GapsExpand = std::int64_t (*)(const std::uint8_t* gaps, std::size_t entries, std::uint8_t most,
                                    const std::uint8_t* values, GapsOutput& to) noexcept;
extern const GapsExpand kGapsExpand[kIsaCount];

// Behind the last entry: what is not 0 yet.
void gaps_clear_rest(GapsOutput& to) noexcept;

// Element i of `places` ones at `out` is the next of `count` values where bit i of the bitmap is set, else 0. Stops
// before the first 64 places that want more values than are left.
struct BitmapProgress {
  std::size_t places, values;
};
using BitmapExpand = BitmapProgress (*)(const std::uint8_t* bitmap, std::size_t places, const std::uint8_t* values,
                                        std::size_t count, std::size_t width, std::uint8_t* out) noexcept;
extern const BitmapExpand kBitmapExpand[kIsaCount];

// Set bits of a bitmap of n bytes.
using BitmapCount = std::size_t (*)(const std::uint8_t* bitmap, std::size_t n) noexcept;
extern const BitmapCount kBitmapCount[kIsaCount];

// A matrix of codes as compressed sparse rows, without the code `zero`: the places and values of the others, of which
// there are `count`, and where each row ends (indptr has rows + 1 entries).
void rows_of_codes(const std::uint8_t* codes, std::size_t rows, std::size_t columns, std::uint8_t zero,
                   std::int32_t* indptr, std::int32_t* indices, std::uint8_t* values, std::size_t count) noexcept;

}  // namespace accel
