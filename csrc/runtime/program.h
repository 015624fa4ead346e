// SPDX-License-Identifier: BSD-3-Clause
// A list of prepared kernel calls over numbered memory slots: what a session runs.
#pragma once
#include <chrono>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "runtime/float_mode.h"
#include "runtime/pool.h"

namespace accel {

// Where an array lies at run time: `offset` floats into a slot (an arena tensor, an input or an output).
struct Place {
  int slot = -1;
  long offset = 0;
  float* in(float* const* slots) const noexcept { return slot < 0 ? nullptr : slots[slot] + offset; }
};

// Immutable once built; any number of threads may run it, each with slots of its own.
class Program {
 public:
  using Step = std::function<void(float* const* slots, int threads)>;
  static constexpr std::chrono::milliseconds kPatience{100};  // until the caller may look for signals

  void add(Step step) { steps_.push_back(std::move(step)); }
  std::size_t size() const noexcept { return steps_.size(); }

  // Steps first .. last-1, or fewer when kPatience has passed; returns the first that did not run. Denormals are
  // flushed inside unless `keep_denormals`; the caller's mode is restored.
  std::size_t run(std::size_t first, std::size_t last, float* const* slots, int threads, bool keep_denormals) const {
    const FloatMode now = FloatMode::current();
    const FloatMode::Scope mode(keep_denormals ? now : now.flushing_denormals());
    const AwakeWorkers awake(threads);
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (first < last) {
      steps_[first++](slots, threads);
      if (first < last && std::chrono::steady_clock::now() > until) break;
    }
    return first;
  }

 private:
  std::vector<Step> steps_;
};

}  // namespace accel
