// SPDX-License-Identifier: BSD-3-Clause
// Program as Python sees it: it keeps alive the packed weights that its steps point to.
#pragma once
#include <memory>
#include <vector>

#include "bind/bind.h"
#include "runtime/program.h"

namespace accel::bind {

struct PyProgram {
  explicit PyProgram(int isa_index) : isa(checked_isa(isa_index)) {}

  std::size_t isa;
  Program program;
  std::vector<Array<float>> constants;

  const float* keep(const Array<float>& a, std::size_t least) {
    require(static_cast<std::size_t>(a.size()) >= least, "constant: too few floats");
    constants.push_back(a);
    return a.data();
  }
};

}  // namespace accel::bind
