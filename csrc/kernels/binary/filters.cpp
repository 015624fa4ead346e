// SPDX-License-Identifier: BSD-3-Clause
// Filters of binary.h, packed.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "kernels/binary/binary.h"
#include "kernels/binary/copy_bits.h"

namespace accel {
namespace {

constexpr long kMostTerms = 1l << 30;

void check(const BinaryGeometry& g) {
  const bool sizes = g.filters > 0 && g.channels > 0 && g.groups > 0 && g.filters % g.groups == 0 && g.kernel_h > 0 &&
                     g.kernel_w > 0 && g.stride_h > 0 && g.stride_w > 0 && g.dilation_h > 0 && g.dilation_w > 0;
  const bool pads = g.top >= 0 && g.left >= 0 && g.bottom >= 0 && g.right >= 0 && g.pad_value >= -1 && g.pad_value <= 1;
  if (!sizes || !pads || static_cast<double>(g.channels) * g.kernel_h * g.kernel_w >= kMostTerms ||
      static_cast<double>(g.channels) * g.groups >= kMostTerms)
    throw std::invalid_argument("binary conv: geometry does not fit");
}

void check(const BinaryGeometry& g, const BinaryEpilogue& e) {
  const auto n = static_cast<std::size_t>(g.filters);
  const bool ok =
      e.output == BinaryOutput::counts || (e.output == BinaryOutput::bits ? e.at.size() == n && e.below.size() == n
                                                                          : e.scale.size() == n && e.bias.size() == n);
  if (!ok) throw std::invalid_argument("binary conv: epilogue does not fit");
}

// Whether copying the taps of each window side by side takes less time than the words it saves.
bool copying_pays(const BinaryGeometry& g, int lanes) {
  constexpr double kWordCycles = 1.5, kRunCycles = 10;
  const long taps = static_cast<long>(g.kernel_h) * g.kernel_w;
  const auto saved = static_cast<double>(taps * words_of(g.channels) - words_of(g.terms()));
  const double runs = g.dilation_w == 1 ? g.kernel_h : taps;
  return saved * kWordCycles * g.group_filters() / lanes > runs * kRunCycles;
}

}  // namespace

BinaryFilters::BinaryFilters(const BinaryGeometry& geometry, BinaryEpilogue epilogue, const std::uint64_t* bits,
                             const BinaryKernels& kernels)
    : geometry_(geometry), epilogue_(std::move(epilogue)), kernels_(kernels) {
  check(geometry);
  check(geometry, epilogue_);
  const BinaryGeometry& g = geometry_;
  side_by_side_ = g.groups > 1 ? g.channels % kWordBits != 0 : copying_pays(g, kernels.lanes);
  words_ = static_cast<int>(side_by_side_ ? words_of(g.terms()) : g.kernel_h * g.kernel_w * words_of(g.channels));
  group_panels_ = (g.group_filters() + kernels.panel - 1) / kernels.panel;
  weights_ = allocate(nbytes());
  pack(bits);
}

std::size_t BinaryFilters::nbytes() const noexcept {
  return static_cast<std::size_t>(panels()) * static_cast<std::size_t>(words_) *
         static_cast<std::size_t>(kernels_.panel) * sizeof(std::uint64_t);
}

const std::uint64_t* BinaryFilters::panel(long p) const noexcept {
  return reinterpret_cast<const std::uint64_t*>(weights_.begin) + p * words_ * kernels_.panel;
}

bool BinaryFilters::is_quad(long panel) const noexcept {
  constexpr long kMostCount = 0xffff;  // is the limit of a filter whose counts are never too many
  const long filters =
      std::min<long>(kernels_.panel, geometry_.group_filters() - panel % group_panels_ * kernels_.panel);
  return kernels_.quads && epilogue_.output == BinaryOutput::bits && geometry_.terms() < kMostCount &&
         2 * filters > kernels_.panel;
}

void BinaryFilters::pack(const std::uint64_t* bits) {
  const BinaryGeometry& g = geometry_;
  const int taps = g.kernel_h * g.kernel_w;
  const long tap_words = words_of(g.channels);
  std::vector<std::uint64_t> window(static_cast<std::size_t>(words_));
  tap_sums_.resize(static_cast<std::size_t>(g.filters) * static_cast<std::size_t>(taps));
  for (long f = 0; f < g.filters; ++f) {
    const std::uint64_t* from = bits + f * taps * tap_words;
    std::fill(window.begin(), window.end(), 0u);
    for (int t = 0; t < taps; ++t) {
      int ones = 0;
      for (long k = 0; k < tap_words; ++k) ones += __builtin_popcountll(from[t * tap_words + k]);
      tap_sums_[static_cast<std::size_t>(f * taps + t)] = 2 * ones - g.channels;
      copy_bits(from + t * tap_words, 0, window.data(),
                side_by_side_ ? t * long{g.channels} : t * tap_words * kWordBits, g.channels);
    }
    const long group = f / g.group_filters(), i = f % g.group_filters(), panel = kernels_.panel;
    place(window, group * group_panels_ + i / panel, i % panel);
  }
}

void BinaryFilters::place(const std::vector<std::uint64_t>& window, long index, long lane) noexcept {
  auto* panel = reinterpret_cast<std::uint64_t*>(weights_.begin) + index * words_ * kernels_.panel;
  const long pair = 2l * kernels_.lanes;
  if (!kernels_.nibbles) {
    // Two vectors take turns: filters 0, 2, 4 .. in the first. Four take turns in pairs: 0, 1, 8, 9 .. in the first.
    std::uint64_t* to = is_quad(index) ? panel + lane % 8 / 2 * kernels_.lanes + lane / 8 * 2 + lane % 2
                                       : panel + lane / pair * pair + lane % 2 * kernels_.lanes + lane % pair / 2;
    for (std::size_t k = 0; k < window.size(); ++k, to += kernels_.panel) *to = window[k];
    return;
  }
  // Of 32 bytes, those at 8 .. 15 and at 16 .. 23 change places.
  constexpr long kPlace[4] = {0, 16, 8, 24};
  std::uint8_t* to = reinterpret_cast<std::uint8_t*>(panel) + lane / 32 * 32 + kPlace[lane % 32 / 8] + lane % 8;
  for (const std::uint64_t word : window)
    for (int i = 0; i < 8; ++i, to += kernels_.panel) *to = static_cast<std::uint8_t>(word >> 8 * i);
}

}  // namespace accel
