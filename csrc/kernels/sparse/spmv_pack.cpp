// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <limits>
#include <new>
#include <numeric>
#include <utility>

#include "kernels/sparse/spmv.h"
#include "runtime/pool.h"

namespace accel {
namespace {

constexpr std::int32_t kDone = std::numeric_limits<std::int32_t>::max();
constexpr int kMostLeft = 3;  // lanes that do not hold up the others

// One block while it grows.
struct BlockPack {
  int groups = 1;
  std::vector<std::uint8_t> values, index, single_values, single_lanes;
  std::vector<std::int32_t> windows, single_columns;
};

// Lanes of one block of rows, each with the values that it has not packed yet. T is the form of a value.
template <class T, bool PLANES>
class Packer {
 public:
  Packer(const CsrView& a, std::int32_t window, BlockPack& to)
      : a_(a),
        to_(to),
        window_(window),
        lanes_(to.groups * kSpmvLanes),
        value_step_(spmv_lines(to.groups, sizeof(T)) * kSpmvLine),
        index_step_(spmv_lines(to.groups, 1) * kSpmvLine),
        last_window_(std::max<long>(a.columns - window, 0)) {
    std::fill_n(next_, kSpmvRows, kDone);
  }

  // Row `row` over `count` lanes from `lane` on, its values in turn.
  void deal(long row, int lane, int count) {
    for (int i = 0; i < count; ++i) {
      at_[lane + i] = a_.indptr[row] + static_cast<long>(i);
      end_[lane + i] = a_.indptr[row + 1];
      stride_[lane + i] = count;
      look(lane + i);
    }
  }

  void pack() {
    long left = 0;
    for (int i = 0; i < lanes_; ++i)
      if (next_[i] != kDone) left += (end_[i] - at_[i] + stride_[i] - 1) / stride_[i];
    reserve(left);
    while (left > 0) {
      const std::int32_t window = next_window();
      int served = 0;
      for (int i = 0; i < lanes_; ++i) {
        for (; next_[i] < window; --left) single(i);
        served += next_[i] - window < window_;
      }
      if (worth_a_step(served))
        step(window);
      else
        for (int i = 0; i < lanes_; ++i)
          if (next_[i] - window < window_) single(i);
      left -= served;
    }
  }

 private:
  void reserve(long values) {
    const long steps = values * 8 / 5 / lanes_ + 8;
    to_.values.reserve(static_cast<std::size_t>(steps * value_step_));
    to_.index.reserve(static_cast<std::size_t>(steps * index_step_));
    to_.windows.reserve(static_cast<std::size_t>(steps));
  }

  void look(int lane) { next_[lane] = at_[lane] < end_[lane] ? a_.indices[at_[lane]] : kDone; }

  // Where the slowest lane stands, but for a few lanes of a large block: they would hold up the others, who then leave
  // slots empty. Floats are bound by reading, so three of 128: tried on random patterns of 90 and 95 % zeros, one is 6
  // to 10 % slower from memory, none a fifth. Smaller values are not, and single ones take them longer: one. So do wide
  // windows, where three are as fast from memory and 6 % slower from L3.
  std::int32_t next_window() const {
    std::int32_t low[kMostLeft + 1];  // the slowest, ascending
    std::fill_n(low, kMostLeft + 1, kDone);
    for (int i = 0; i < lanes_; ++i) {
      const std::int32_t now = next_[i];
      for (int j = kMostLeft; j >= 0 && now < low[j]; --j) {
        if (j < kMostLeft) low[j + 1] = low[j];
        low[j] = now;
      }
    }
    int left = lanes_ < 64 ? 0 : sizeof(T) < 4 || window_ > kSpmvWindow ? 1 : lanes_ * kMostLeft / kSpmvRows;
    while (left > 0 && low[left] == kDone) --left;
    return static_cast<std::int32_t>(std::min<long>(low[left], last_window_));
  }

  // Whether its slots take at most twice the bytes that the values have as compressed sparse rows.
  bool worth_a_step(int served) const {
    constexpr int kValue = sizeof(T);
    return served * 2 * (kValue + 4) >= value_step_ + index_step_;
  }

  const T* value(int lane) const { return static_cast<const T*>(a_.values) + at_[lane]; }

  void advance(int lane) {
    at_[lane] += stride_[lane];
    look(lane);
  }

  void single(int lane) {
    const auto at = to_.single_values.size();
    to_.single_values.resize(at + sizeof(T));
    std::memcpy(&to_.single_values[at], value(lane), sizeof(T));
    to_.single_columns.push_back(next_[lane]);
    to_.single_lanes.push_back(static_cast<std::uint8_t>(lane));
    advance(lane);
  }

  void step(std::int32_t window) {
    to_.values.resize(to_.values.size() + static_cast<std::size_t>(value_step_));
    to_.index.resize(to_.index.size() + static_cast<std::size_t>(index_step_));
    to_.windows.push_back(window);
    std::uint8_t *values = to_.values.data() + to_.values.size() - value_step_,
                 *index = to_.index.data() + to_.index.size() - index_step_;
    for (int i = 0; i < lanes_; ++i) {
      const std::int32_t place = next_[i] - window;
      if (place >= window_) continue;
      std::memcpy(values + place_of<sizeof(T), PLANES>(i), value(i), sizeof(T));
      index[place_of<1, false>(i)] = static_cast<std::uint8_t>(kSpmvReal | place);
      advance(i);
    }
  }

  // Where the number of `lane` lies in a step.
  template <int BYTES, bool BY_FOUR>
  static int place_of(int lane) {
    constexpr int kTogether = 4 / BYTES;  // groups of a line
    const int group = lane / kSpmvLanes, i = lane % kSpmvLanes;
    const int in_line = BY_FOUR ? i / 4 * 16 + group % 4 * 4 + i % 4 : i * 4 + group % kTogether * BYTES;
    return group / kTogether * static_cast<int>(kSpmvLine) + in_line;
  }

  const CsrView& a_;
  BlockPack& to_;
  std::int32_t window_;  // columns
  int lanes_;
  long value_step_, index_step_;  // bytes of a step
  long last_window_;
  std::int32_t next_[kSpmvRows];  // the column of the next value
  long at_[kSpmvRows], end_[kSpmvRows];
  int stride_[kSpmvRows];
};

// How rows are put on lanes.
struct Layout {
  std::vector<std::int32_t> order;
  std::vector<std::uint8_t> lane, lanes;  // of the row at each place of `order`: the first, and how many
  std::vector<SpmvBlock> blocks;          // with `row` and `groups` set
};

// Lanes of a row: one, but for a row that is half as long again as the mean, and where there are few rows. In a window
// of 32 columns that moves by 16 a lane finds one value in 16 columns; with less than that more lanes stay empty.
int lanes_of(long length, double mean, const CsrView& a) {
  const double each = std::max({1.0, static_cast<double>(a.columns) / 16, 1.5 * mean});
  const long wanted = static_cast<long>(static_cast<double>(length) / each) + 1;
  return static_cast<int>(std::clamp<long>(std::max(wanted, kSpmvLanes / a.rows), 1, kSpmvLanes));
}

// Rows by the values of a lane, most first; a block ends where it is full, or at a whole group where a lane has less
// than half of its first one's.
Layout lay_out(const CsrView& a) {
  const auto rows = static_cast<std::size_t>(a.rows);
  const auto length = [&](long r) { return static_cast<long>(a.indptr[r + 1]) - a.indptr[r]; };
  long filled = 0;
  for (long r = 0; r < a.rows; ++r) filled += length(r) > 0;
  const double mean = static_cast<double>(a.indptr[a.rows]) / static_cast<double>(std::max(filled, 1L));
  std::vector<std::int32_t> share(rows);  // values of a lane
  for (long r = 0; r < a.rows; ++r)
    share[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(length(r) / lanes_of(length(r), mean, a));
  const auto share_of = [&](std::int32_t r) { return share[static_cast<std::size_t>(r)]; };
  Layout to{std::vector<std::int32_t>(rows), std::vector<std::uint8_t>(rows), std::vector<std::uint8_t>(rows), {}};
  std::iota(to.order.begin(), to.order.end(), 0);
  std::stable_sort(to.order.begin(), to.order.end(), [&](auto r, auto s) { return share_of(r) > share_of(s); });
  int used = kSpmvRows;
  long first_share = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const std::int32_t row = to.order[i];
    const int lanes = lanes_of(length(row), mean, a);
    const bool odd = used % kSpmvLanes == 0 && 2L * share_of(row) < first_share;
    if (odd || used + lanes > kSpmvRows) {
      to.blocks.push_back({0, 0, 0, 0, static_cast<long>(i), 0, 0, false});
      used = 0, first_share = share_of(row);
    }
    to.lane[i] = static_cast<std::uint8_t>(used), to.lanes[i] = static_cast<std::uint8_t>(lanes);
    used += lanes;
    to.blocks.back().groups = (used + kSpmvLanes - 1) / kSpmvLanes;
    to.blocks.back().split |= lanes > 1;
  }
  to.blocks.push_back({0, 0, 0, 0, a.rows, 0, 0, false});
  return to;
}

template <class T, bool PLANES = false>
void pack_block(const CsrView& a, const Layout& layout, std::size_t block, int window, BlockPack& to) {
  to.groups = layout.blocks[block].groups;
  Packer<T, PLANES> packer(a, window, to);
  for (long i = layout.blocks[block].row; i < layout.blocks[block + 1].row; ++i) {
    const auto at = static_cast<std::size_t>(i);
    packer.deal(layout.order[at], layout.lane[at], layout.lanes[at]);
  }
  packer.pack();
}

std::vector<BlockPack> pack_blocks(const CsrView& a, const Layout& layout, int window, int threads) {
  const long count = static_cast<long>(layout.blocks.size()) - 1;
  std::vector<BlockPack> packs(static_cast<std::size_t>(count));
  const auto pack = value_bytes(a.kind) == 4       ? pack_block<std::uint32_t>
                    : value_bytes(a.kind) == 2     ? pack_block<std::uint16_t>
                    : a.kind == ValueKind::code256 ? pack_block<std::uint8_t, true>
                                                   : pack_block<std::uint8_t>;
  std::atomic<bool> out_of_memory{false};
  parallel(parts_for(8.0 * a.indptr[a.rows], count, threads), [&](int part, int parts) {
    try {
      for (long b = part; b < count; b += parts)  // in turn: the first are the fullest
        pack(a, layout, static_cast<std::size_t>(b), window, packs[static_cast<std::size_t>(b)]);
    } catch (const std::bad_alloc&) {
      out_of_memory = true;
    }
  });
  if (out_of_memory) throw std::bad_alloc();
  return packs;
}

template <class T>
void append(std::vector<T>& to, const std::vector<T>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

// Wide windows leave fewer slots empty but take longer to look up in: they pay where values come from L3 or memory, and
// where few columns have one. Tried on Zen 4 with random patterns: smaller values are 4-34 % slower at 90 and 95 %
// zeros; floats in L2 are slower at 90 %, and everywhere at 80 %.
int window_for(const CsrView& a, const SpmvKernels& kernels) {
  constexpr std::int32_t kL2Values = 128 * 1024;  // more than fit into 1 MB, with their places and empty slots
  const double size = static_cast<double>(a.rows) * static_cast<double>(a.columns), values = a.indptr[a.rows];
  const bool wide = values < 0.04 * size || (values < 0.12 * size && values > kL2Values);
  return a.kind == ValueKind::f32 && wide ? kernels.wide_window : kSpmvWindow;
}

}  // namespace

Spmv::Spmv(const CsrView& a, const SpmvKernels& kernels, int threads)
    : kernels_(kernels), window_(window_for(a, kernels)), rows_(a.rows), columns_(a.columns), kind_(a.kind) {
  Layout layout = lay_out(a);
  const std::vector<BlockPack> packs = pack_blocks(a, layout, window_, threads);
  blocks_ = std::move(layout.blocks);
  for (std::size_t i = 0; i < packs.size(); ++i) {
    const BlockPack& pack = packs[i];
    SpmvBlock &now = blocks_[i], &next = blocks_[i + 1];
    next.values = now.values + static_cast<long>(pack.values.size());
    next.index = now.index + static_cast<long>(pack.index.size());
    next.step = now.step + static_cast<long>(pack.windows.size());
    next.single = now.single + static_cast<long>(pack.single_columns.size());
    // A single value takes about as long as eight slots, and so does the end of a row.
    const long slots = (next.step - now.step) * pack.groups * kSpmvLanes;
    next.cost = now.cost + static_cast<double>(slots + 8 * (next.single - now.single + next.row - now.row));
  }
  values_ = allocate(static_cast<std::size_t>(blocks_.back().values));
  index_ = allocate(static_cast<std::size_t>(blocks_.back().index));
  for (std::size_t i = 0; i < packs.size(); ++i) {
    const BlockPack& pack = packs[i];
    std::copy(pack.values.begin(), pack.values.end(), values_.begin + blocks_[i].values);
    std::copy(pack.index.begin(), pack.index.end(), index_.begin + blocks_[i].index);
    append(windows_, pack.windows);
    append(single_values_, pack.single_values);
    append(single_columns_, pack.single_columns);
    append(single_lanes_, pack.single_lanes);
  }
  order_ = std::move(layout.order);
  lane_ = std::move(layout.lane);
  if (a.scale)
    for (const std::int32_t row : order_) scale_.push_back(a.scale[row]);
  if (a.book) book_.assign(a.book, a.book + (kind_ == ValueKind::code16 ? 16 : 256));
  if (kind_ == ValueKind::code256)
    for (int plane = 0; plane < 4; ++plane)
      for (const float f : book_)
        planes_.push_back(static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(f) >> 8 * plane));
}

}  // namespace accel
