// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/broadcast/broadcast.h"

#include <algorithm>
#include <stdexcept>

#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/broadcast/broadcast.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kKernels
const BroadcastKernels* const kBroadcast[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

constexpr long kPiece = 4096;             // floats that a thread takes at a time of one long row
constexpr double kWorkOfExponential = 8;  // in floats moved

// Size and step of each axis of `shape` among `axes`, counted from the last; axes that are stretched or missing step 0.
struct Steps {
  std::vector<long> size, step;
};
Steps steps_of(const std::vector<long>& shape, std::size_t axes) {
  Steps s{std::vector<long>(axes, 1), std::vector<long>(axes, 0)};
  long step = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t from = shape.size() - 1 - i, to = axes - 1 - i;
    s.size[to] = shape[from], s.step[to] = shape[from] == 1 ? 0 : step;
    if (shape[from] < 1 || __builtin_mul_overflow(step, shape[from], &step))
      throw std::invalid_argument("broadcast: sizes must be positive");
  }
  return s;
}

}  // namespace

long BroadcastSpec::rows() const noexcept {
  long n = 1;
  for (int i = 0; i + 1 < axes; ++i) n *= axis[static_cast<std::size_t>(i)].size;
  return n;
}

BroadcastSpec make_broadcast(Arithmetic kind, const std::vector<long>& a, const std::vector<long>& b) {
  const std::size_t axes = std::max(a.size(), b.size());
  if (axes > BroadcastSpec::kMostAxes) throw std::invalid_argument("broadcast: too many axes");
  const Steps of_a = steps_of(a, axes), of_b = steps_of(b, axes);
  BroadcastSpec spec;
  spec.kind = kind;
  for (std::size_t i = 0; i < axes; ++i) {
    const long size = std::max(of_a.size[i], of_b.size[i]);
    if ((of_a.size[i] != 1 && of_a.size[i] != size) || (of_b.size[i] != 1 && of_b.size[i] != size))
      throw std::invalid_argument("broadcast: shapes do not fit");
    if (size == 1) continue;
    const BroadcastSpec::Axis next{size, of_a.step[i], of_b.step[i]};
    BroadcastSpec::Axis* last = spec.axes ? &spec.axis[static_cast<std::size_t>(spec.axes - 1)] : nullptr;
    if (last && last->a == next.a * size && last->b == next.b * size)
      *last = {last->size * size, next.a, next.b};
    else
      spec.axis[static_cast<std::size_t>(spec.axes++)] = next;
  }
  return spec;
}

void broadcast(const BroadcastSpec& s, const BroadcastKernels& kernels, const float* a, const float* b, float* y,
               int threads) noexcept {
  const BroadcastSpec::Axis last = s.axes ? s.axis[static_cast<std::size_t>(s.axes - 1)] : BroadcastSpec::Axis{};
  const long pieces = (last.size + kPiece - 1) / kPiece, units = s.rows() * pieces;
  parallel(parts_for(3.0 * static_cast<double>(s.rows()) * static_cast<double>(last.size), units, threads),
           [&](int part, int parts) {
             const Range range = part_of(units, part, parts);
             for (long unit = range.begin; unit < range.end; ++unit) {
               const long row = unit / pieces, first = unit % pieces * kPiece;
               long at_a = first * last.a, at_b = first * last.b, rest = row;
               for (int i = s.axes - 2; i >= 0; --i) {
                 const BroadcastSpec::Axis& axis = s.axis[static_cast<std::size_t>(i)];
                 at_a += rest % axis.size * axis.a, at_b += rest % axis.size * axis.b, rest /= axis.size;
               }
               kernels.row(s.kind, a + at_a, last.a, b + at_b, last.b, y + row * last.size + first,
                           std::min(kPiece, last.size - first));
             }
           });
}

void exponential(const BroadcastKernels& kernels, long n, const float* x, float* y, int threads) noexcept {
  parallel(parts_for(kWorkOfExponential * static_cast<double>(n), n, threads), [&](int part, int parts) {
    const Range r = part_of(n, part, parts);
    kernels.exponential(x + r.begin, y + r.begin, r.end - r.begin);
  });
}

}  // namespace accel
