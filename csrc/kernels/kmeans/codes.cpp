// SPDX-License-Identifier: BSD-3-Clause
// Nearest-centroid codes: how many thresholds are below a value.
#include <algorithm>
#include <bit>
#include <iterator>
#include <limits>

#include "kernels/kmeans/kmeans.h"

namespace accel {
namespace {

constexpr std::size_t kMany = 1 << 18;  // values from which on the table of prefixes pays
constexpr int kMostSteps = 4;

struct Thresholds {
  float sorted[512];  // filled up with infinity, which is below nothing
  std::size_t count;
};

// Values with the same upper half of their bits lie close together: few thresholds part them.
struct Prefixes {
  std::uint8_t below[kPrefixes];  // thresholds below all values of the prefix
  int steps = 0;                  // most thresholds that lie among the values of one prefix
};

float value_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }

// The finite prefixes in ascending order: negative numbers from the last one down, then the others up.
void fill(Prefixes& p, const Thresholds& t) noexcept {
  std::fill_n(p.below, kPrefixes, std::uint8_t{0});
  auto next = [&, at = std::size_t{0}](std::uint32_t prefix, std::uint32_t least, std::uint32_t most) mutable {
    while (at < t.count && t.sorted[at] < value_of(prefix << 16 | least)) ++at;
    std::size_t end = at;
    while (end < t.count && t.sorted[end] < value_of(prefix << 16 | most)) ++end;
    p.below[prefix] = static_cast<std::uint8_t>(at);
    p.steps = std::max(p.steps, static_cast<int>(end - at));
  };
  for (std::uint32_t prefix = 0xFF7F; prefix >= 0x8000; --prefix) next(prefix, 0xFFFF, 0);
  for (std::uint32_t prefix = 0; prefix <= 0x7F7F; ++prefix) next(prefix, 0, 0xFFFF);
}

template <int kSteps>
void by_prefix(const float* values, std::size_t n, const Thresholds& t, const Prefixes& p,
               std::uint8_t* codes) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    const float x = values[i];
    std::size_t code = p.below[std::bit_cast<std::uint32_t>(x) >> 16];
    for (int s = 0; s < kSteps; ++s) code += t.sorted[code] < x;
    codes[i] = static_cast<std::uint8_t>(code);
  }
}

// As many steps for every value as for any, and none branches.
void by_halves(const float* values, std::size_t n, const Thresholds& t, std::uint8_t* codes) noexcept {
  std::size_t half = 1;
  while (2 * half <= t.count) half *= 2;
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t below = 0;
    for (std::size_t step = half; step; step /= 2) below += t.sorted[below + step - 1] < values[i] ? step : 0;
    codes[i] = static_cast<std::uint8_t>(below);
  }
}

}  // namespace

void assign_codes(const float* values, std::size_t n, const float* thresholds, std::size_t count,
                  std::uint8_t* codes) noexcept {
  Thresholds t{.sorted = {}, .count = count};
  std::fill(std::copy(thresholds, thresholds + count, t.sorted), std::end(t.sorted),
            std::numeric_limits<float>::infinity());
  if (n < kMany) return by_halves(values, n, t, codes);
  Prefixes p;
  fill(p, t);
  switch (p.steps) {
    case 0:
    case 1:
      return by_prefix<1>(values, n, t, p, codes);
    case 2:
      return by_prefix<2>(values, n, t, p, codes);
    case 3:
    case kMostSteps:
      return by_prefix<kMostSteps>(values, n, t, p, codes);
    default:
      by_halves(values, n, t, codes);
  }
}

}  // namespace accel
