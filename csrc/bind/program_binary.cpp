// SPDX-License-Identifier: BSD-3-Clause
// Rows of signs: the step of a Program that packs them, and the question whether an array holds nothing else.
#include "bind/program.h"
#include "kernels/binary/bits.h"
#include "kernels/binary/signs.h"

namespace accel::bind {
namespace {

void add_pack_rows(PyProgram& p, long rows, long n, Place x, Place y) {
  require(rows >= 0 && n > 0, "pack_rows: sizes must be positive");
  const BitKernels& kernels = *kBits[p.isa];
  p.program.add([=, &kernels](float* const* s, int threads) {
    pack_rows(x.in(s), rows, n, kernels, reinterpret_cast<std::uint64_t*>(y.in(s)), threads);
  });
}

}  // namespace

void bind_program_binary(py::module_& m) {
  py::class_<PyProgram> program(m.attr("Program"));
  program.def("pack_rows", &add_pack_rows);
  m.def("only_signs", [](const Array<float>& x) { return only_signs(x.data(), x.size()); }, py::arg("x").noconvert());
}

}  // namespace accel::bind
