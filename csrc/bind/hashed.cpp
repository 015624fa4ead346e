// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/hashed/hashed.h"

#include <memory>

#include "bind/program.h"

namespace accel::bind::hashed_bindings {
namespace {

// `scratch` names a slot with the number of floats that it returns.
long add_hashed(PyProgram& p, int rows, int depth, int out, const Activation& activation, Place x, Place y,
                Place scratch, const Array<float>& values, std::uint64_t seed, const Array<float>& bias) {
  require(rows >= 0 && depth > 0 && out > 0 && values.size() > 0 && values.size() < 1l << 32,
          "hashed: sizes do not fit");
  const float* v = p.keep(values, static_cast<std::size_t>(values.size()));
  const float* b = p.keep(bias, static_cast<std::size_t>((out + kBlock - 1) / kBlock * kBlock));
  const HashedValues hashed{v, static_cast<std::uint64_t>(values.size()), hash64(seed)};
  const auto linear = std::make_shared<HashedLinear>(rows, depth, out, hashed, activation, p.isa);
  p.program.add([=](float* const* s, int threads) { linear->run(x.in(s), b, y.in(s), scratch.in(s), threads); });
  return linear->scratch_floats();
}

}  // namespace

void add(py::module_& m) {
  py::class_<PyProgram> program(m.attr("Program"));
  program.def("hashed", &add_hashed);
}

}  // namespace accel::bind::hashed_bindings
