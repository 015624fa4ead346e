// SPDX-License-Identifier: BSD-3-Clause
// Values put to their places among zeros: places by gaps (a byte an entry) or by a bitmap, as docs/kernels/gaps.md
// says. Bytes may be hostile: nothing outside the ranges is read or written.
#pragma once
#include <cstddef>
#include <cstdint>

#include "simd/isa.h"

namespace accel {

// `size` elements of `width` bytes (1, 2, 4, 8) at `out`. Entry k, values[k], stands gaps[k] + 1 places behind the one
// before it. The first entry whose gap is above `most` or that leaves `out`, -1 when there is none. `clear`: what no
// entry names is not 0 yet.
using GapsExpand = std::int64_t (*)(const std::uint8_t* gaps, std::size_t entries, std::uint8_t most,
                                    const std::uint8_t* values, std::size_t width, std::uint8_t* out, std::size_t size,
                                    bool clear) noexcept;
extern const GapsExpand kGapsExpand[kIsaCount];

// Element i of `out` is the next value where bit i of the bitmap is set, else 0. `values` are as many as bits are set.
using BitmapExpand = void (*)(const std::uint8_t* bitmap, const std::uint8_t* values, std::size_t count,
                              std::size_t width, std::uint8_t* out, std::size_t size) noexcept;
extern const BitmapExpand kBitmapExpand[kIsaCount];

// Set bits of a bitmap of n bytes.
std::size_t bitmap_count(const std::uint8_t* bitmap, std::size_t n) noexcept;

// A matrix of codes as compressed sparse rows, without the code `zero`: the places and values of the others, of which
// there are `count`, and where each row ends (indptr has rows + 1 entries).
void rows_of_codes(const std::uint8_t* codes, std::size_t rows, std::size_t columns, std::uint8_t zero,
                   std::int32_t* indptr, std::int32_t* indices, std::uint8_t* values, std::size_t count) noexcept;

}  // namespace accel
