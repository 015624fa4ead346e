// SPDX-License-Identifier: BSD-3-Clause
// Program as Python sees it: it keeps alive the packed weights that its steps point to.
#pragma once
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "bind/bind.h"
#include "kernels/conv/conv.h"
#include "runtime/program.h"

namespace accel::bind {

struct PyProgram {
  explicit PyProgram(int isa_index) : isa(checked_isa(isa_index)) {}

  std::size_t isa;
  Program program;
  std::vector<Array<float>> constants;

  // Steps with load slots to spare, and what each may fetch for a later one.
  struct Fetcher {
    std::shared_ptr<Upcoming> upcoming;
    long most;
  };
  std::vector<Fetcher> fetchers;

  // Half of what it could fetch: all of it slowed the last convolutions of MobileNetV2.
  void offer(std::shared_ptr<Upcoming> upcoming, long most) {
    if (most > 1) fetchers.push_back({std::move(upcoming), most / 2});
  }

  // The last step so far reads `floats` once, which come from memory no faster than they are used: the nearest steps
  // before it call them into the caches, the nearest ones the last of them.
  void expect(const float* from, long floats) {
    floats = std::min(floats, kMostExpected);
    for (auto f = fetchers.rbegin(); f != fetchers.rend() && floats > 0; ++f) {
      if (f->upcoming->floats > 0) continue;
      const long n = std::min(floats, f->most);
      floats -= n;
      *f->upcoming = {from + floats, n};
    }
  }
  static constexpr long kMostExpected = 2l << 20;  // 8 MB, a part of an L3 cache

  const float* keep(const Array<float>& a, std::size_t least) {
    require(static_cast<std::size_t>(a.size()) >= least, "constant: too few floats");
    constants.push_back(a);
    return a.data();
  }
};

}  // namespace accel::bind
