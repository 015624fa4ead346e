// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/peak.h"

#include <algorithm>
#include <chrono>
#define ACCEL_KERNEL_FILE "runtime/peak.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {
namespace {

constexpr int kRuns = 12;  // the best counts: others may disturb, none can help
volatile float g_sink;     // or the compiler would drop what nobody reads

template <class Run>
double fastest(const Run& run) {
  double best = 1e300;
  for (int i = 0; i < kRuns; ++i) {
    const auto start = std::chrono::steady_clock::now();
    g_sink = run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace

#define ACCEL_TABLE_ENTRY kProbe
const Probe* const kProbes[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

double multiply_add_peak(const Probe& probe) noexcept {
  constexpr long kRounds = 1L << 20;  // some milliseconds
  const double seconds = fastest([&] { return probe.multiply_add(kRounds); });
  return static_cast<double>(probe.operations) * static_cast<double>(kRounds) / seconds;
}

double read_peak(const Probe& probe, const float* x, long n) noexcept {
  const long passes = std::max(1L, (1L << 22) / n);
  const double seconds = fastest([&] {
    float most = 0;
    for (long p = 0; p < passes; ++p) most += probe.read(x, n);
    return most;
  });
  return 4.0 * static_cast<double>(n) * static_cast<double>(passes) / seconds;
}

}  // namespace accel
