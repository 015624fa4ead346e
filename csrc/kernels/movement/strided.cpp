// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "kernels/movement/movement.h"
#include "runtime/pool.h"

namespace accel {
namespace {

using Axis = Strided::Axis;

constexpr long kTile = 16;  // elements: the lines of a tile's rows stay in the first-level cache
constexpr int kWidest = 16;
constexpr long kShortRow = 64;  // bytes below which a call of memcpy costs more than a loop

// Whether all of first + sum of i step, 0 <= i < size, is inside 0 .. elements-1.
bool inside(long first, const std::vector<long>& sizes, const std::vector<long>& steps, long elements) {
  long low = first, high = first;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    long reach = 0;
    if (__builtin_mul_overflow(sizes[i] - 1, steps[i], &reach)) return false;
    if (__builtin_add_overflow(reach < 0 ? low : high, reach, reach < 0 ? &low : &high)) return false;
  }
  return low >= 0 && high < elements;
}

// The last axis becomes part of the element where both sides hold it in one piece of at most 16 bytes.
void widen(Strided& s) {
  if (s.axes == 0) return;
  const Axis last = s.axis[static_cast<std::size_t>(s.axes - 1)];
  const long wide = last.size * s.width;
  if (last.from != 1 || last.to != 1 || wide > kWidest || (wide & (wide - 1)) != 0) return;
  bool whole = s.from_first % last.size == 0 && s.to_first % last.size == 0;
  for (int i = 0; i + 1 < s.axes; ++i) {
    const Axis& a = s.axis[static_cast<std::size_t>(i)];
    whole = whole && a.from % last.size == 0 && a.to % last.size == 0;
  }
  if (!whole) return;
  s.width = static_cast<int>(wide), s.from_first /= last.size, s.to_first /= last.size, --s.axes;
  for (int i = 0; i < s.axes; ++i)
    s.axis[static_cast<std::size_t>(i)].from /= last.size, s.axis[static_cast<std::size_t>(i)].to /= last.size;
}

// The axis along which the source is nearest to contiguous stands last but one: the tiles run over it.
void order(Strided& s) {
  if (s.axes < 3) return;
  const auto end = s.axis.begin() + s.axes - 1;
  std::iter_swap(std::min_element(s.axis.begin(), end,
                                  [](const Axis& a, const Axis& b) { return std::abs(a.from) < std::abs(b.from); }),
                 end - 1);
}

template <int WIDTH>
void copy_plane(const Axis& outer, const Axis& inner, long outers, long inners, const char* x, char* y) noexcept {
  for (long i = 0; i < outers; ++i) {
    const char* from = x + i * outer.from * WIDTH;
    char* to = y + i * outer.to * WIDTH;
    for (long j = 0; j < inners; ++j) std::memcpy(to + j * inner.to * WIDTH, from + j * inner.from * WIDTH, WIDTH);
  }
}

using Four = std::uint32_t __attribute__((vector_size(16)));

// 4 x 4 elements of 4 bytes: rows of the source become columns of the target. The steps are in elements.
inline void transpose_four(const char* x, long from, char* y, long to) noexcept {
  Four a, b, c, d;
  std::memcpy(&a, x, 16), std::memcpy(&b, x + from * 4, 16);
  std::memcpy(&c, x + from * 8, 16), std::memcpy(&d, x + from * 12, 16);
  const Four low = __builtin_shufflevector(a, b, 0, 4, 1, 5), high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four low2 = __builtin_shufflevector(c, d, 0, 4, 1, 5), high2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(low, low2, 0, 1, 4, 5), b = __builtin_shufflevector(low, low2, 2, 3, 6, 7);
  c = __builtin_shufflevector(high, high2, 0, 1, 4, 5), d = __builtin_shufflevector(high, high2, 2, 3, 6, 7);
  std::memcpy(y, &a, 16), std::memcpy(y + to * 4, &b, 16);
  std::memcpy(y + to * 8, &c, 16), std::memcpy(y + to * 12, &d, 16);
}

// A transposition of rows x columns elements, at most kTile rows; the source is contiguous along the rows' axis.
template <int WIDTH>
void transpose_tile(const Axis& row, const Axis& column, long rows, long columns, const char* x, char* y) noexcept {
  long done = 0;  // columns
  if (WIDTH == 4 && row.from == 1 && column.to == 1 && rows == kTile)
    for (; done + 4 <= columns; done += 4)
      for (long i = 0; i < kTile; i += 4)
        transpose_four(x + (done * column.from + i) * 4, column.from, y + (i * row.to + done) * 4, row.to);
  copy_plane<WIDTH>(column, row, columns - done, rows, x + done * column.from * WIDTH, y + done * column.to * WIDTH);
}

// Up to kTile rows of the whole last axis.
template <int WIDTH>
void copy_rows(const Axis& row, const Axis& column, long rows, const char* x, char* y) noexcept {
  if (column.from == 1 && column.to == 1 && column.size * WIDTH >= kShortRow) {
    for (long i = 0; i < rows; ++i)
      std::memcpy(y + i * row.to * WIDTH, x + i * row.from * WIDTH, static_cast<std::size_t>(column.size) * WIDTH);
  } else if (rows > 1 && std::abs(row.from) < std::abs(column.from)) {
    for (long j = 0; j < column.size; j += kTile)
      transpose_tile<WIDTH>(row, column, rows, std::min(kTile, column.size - j), x + j * column.from * WIDTH,
                            y + j * column.to * WIDTH);
  } else {
    copy_plane<WIDTH>(row, column, rows, column.size, x, y);
  }
}

template <int WIDTH>
void copy_all(const Strided& s, const char* x, char* y, int threads) noexcept {
  const auto axis = [&](int i) { return i < 0 ? Axis{} : s.axis[static_cast<std::size_t>(i)]; };
  const Axis row = axis(s.axes - 2), column = axis(s.axes - 1);
  const long tiles = (row.size + kTile - 1) / kTile, units = s.count() / (row.size * column.size) * tiles;
  x += s.from_first * WIDTH, y += s.to_first * WIDTH;
  parallel(parts_for(static_cast<double>(s.count()), units, threads), [&](int part, int parts) {
    const Range range = part_of(units, part, parts);
    for (long unit = range.begin; unit < range.end; ++unit) {
      const long first = unit % tiles * kTile;
      long from = first * row.from, to = first * row.to, rest = unit / tiles;
      for (int i = s.axes - 3; i >= 0; --i) {
        const Axis a = axis(i);
        from += rest % a.size * a.from, to += rest % a.size * a.to, rest /= a.size;
      }
      copy_rows<WIDTH>(row, column, std::min(kTile, row.size - first), x + from * WIDTH, y + to * WIDTH);
    }
  });
}

}  // namespace

long Strided::count() const noexcept {
  long n = 1;
  for (int i = 0; i < axes; ++i) n *= axis[static_cast<std::size_t>(i)].size;
  return n;
}

Strided make_strided(int width, const std::vector<long>& sizes, const Side& from, const Side& to) {
  const bool positive = std::all_of(sizes.begin(), sizes.end(), [](long n) { return n > 0; });
  if ((width != 1 && width != 2 && width != 4 && width != 8) || sizes.size() > Strided::kMostAxes || !positive ||
      from.steps.size() != sizes.size() || to.steps.size() != sizes.size())
    throw std::invalid_argument("copy_strided: sizes and steps do not fit");
  if (!inside(from.first, sizes, from.steps, from.elements) || !inside(to.first, sizes, to.steps, to.elements))
    throw std::invalid_argument("copy_strided: reaches outside an array");
  Strided s;
  s.width = width, s.from_first = from.first, s.to_first = to.first;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 1) continue;
    const Axis next{sizes[i], from.steps[i], to.steps[i]};
    Axis* last = s.axes ? &s.axis[static_cast<std::size_t>(s.axes - 1)] : nullptr;
    if (last && last->from == next.from * next.size && last->to == next.to * next.size)
      *last = {last->size * next.size, next.from, next.to};
    else
      s.axis[static_cast<std::size_t>(s.axes++)] = next;
  }
  widen(s);
  order(s);
  return s;
}

void copy_strided(const Strided& s, const void* x, void* y, int threads) noexcept {
  const char* from = static_cast<const char*>(x);
  char* to = static_cast<char*>(y);
  switch (s.width) {
    case 1:
      return copy_all<1>(s, from, to, threads);
    case 2:
      return copy_all<2>(s, from, to, threads);
    case 4:
      return copy_all<4>(s, from, to, threads);
    case 8:
      return copy_all<8>(s, from, to, threads);
    default:
      return copy_all<16>(s, from, to, threads);
  }
}

}  // namespace accel
