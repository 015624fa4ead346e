// SPDX-License-Identifier: BSD-3-Clause
// Fastfood, prepared for its arrays.
#include "kernels/fastfood/fastfood.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "bind/program.h"

namespace accel::bind::fastfood_bindings {
namespace {

using Prepared = std::shared_ptr<Fastfood>;
using Floats = Array<float>;

void check_permutations(const Array<std::int32_t>& perm, long blocks, long n) {
  std::vector<bool> seen;
  for (long k = 0; k < blocks; ++k) {
    seen.assign(static_cast<std::size_t>(n), false);
    for (const std::int32_t *p = perm.data() + k * n, *end = p + n; p < end; ++p) {
      require(*p >= 0 && *p < n && !seen[static_cast<std::size_t>(*p)], "fastfood: perm is no permutation");
      seen[static_cast<std::size_t>(*p)] = true;
    }
  }
}

// All of shape (blocks, n); offset (d_out,) or None is added, an amplitude means cosines and sines.
Prepared prepare(int isa, const Floats& s, const Floats& g, const Array<std::int32_t>& perm, const Floats& b, long d_in,
                 long d_out, const py::object& offset, const py::object& amplitude) {
  require(s.ndim() == 2 && g.ndim() == 2 && b.ndim() == 2 && perm.ndim() == 2, "fastfood: two axes expected");
  const long blocks = s.shape(0), n = s.shape(1);
  int log2n = 0;
  while (log2n < kFastfoodMostLog2 && 1l << log2n < n) ++log2n;
  require(1l << log2n == n, "fastfood: n is no power of two, or too large");
  for (const py::array& a : {py::array(g), py::array(perm), py::array(b)})
    require(a.shape(0) == blocks && a.shape(1) == n, "fastfood: shapes differ");
  require(d_in > 0 && d_in <= n && d_out > (blocks - 1) * n && d_out <= blocks * n, "fastfood: sizes do not fit");
  check_permutations(perm, blocks, n);
  FastfoodFinish finish;
  Floats add;
  if (!offset.is_none()) {
    add = py::cast<Floats>(offset);
    require(add.size() == d_out, "fastfood: offset does not fit");
    finish.kind = FastfoodFinish::Kind::add;
  }
  if (!amplitude.is_none()) {
    finish.kind = FastfoodFinish::Kind::waves;
    finish.amplitude = py::cast<float>(amplitude);
  }
  const FastfoodArrays arrays{b.data(), g.data(), s.data(), offset.is_none() ? nullptr : add.data(), perm.data()};
  return std::make_shared<Fastfood>(FastfoodSpec{d_in, d_out, blocks, log2n}, arrays, finish, checked_isa(isa));
}

// Whether `out` fits x: the same leading axes, memory of its own.
bool fits(const Fastfood& f, const Floats& x, const Floats& out) {
  const auto last = x.ndim() - 1;
  return last >= 0 && x.size() > 0 && out.ndim() == x.ndim() && out.writeable() && x.shape(last) == f.spec().d_in &&
         out.shape(last) == f.row_floats() && std::equal(x.shape(), x.shape() + last, out.shape()) && apart(x, out);
}

// False, and nothing done, where x or out are not what they have to be: whoever calls finds out what is wrong.
bool run(const Fastfood& f, const py::object& x, const py::object& out, Floats& scratch, int threads) {
  require(threads > 0 && scratch.size() >= f.scratch_floats(threads), "fastfood: scratch does not fit");
  if (!holds<float>(x) || !holds<float>(out)) return false;
  const auto from = py::reinterpret_borrow<Floats>(x);
  auto to = py::reinterpret_borrow<Floats>(out);
  if (!fits(f, from, to)) return false;
  const float* p = from.data();
  float *q = to.mutable_data(), *work = scratch.mutable_data();
  const long rows = from.size() / f.spec().d_in;
  const Unlocked unlocked;
  f.run(rows, p, q, work, threads);
  return true;
}

// `scratch` holds scratch_floats(threads) for as many threads as the program is run with.
void add_fastfood(PyProgram& p, const Prepared& f, long rows, Place x, Place y, Place scratch, int most_threads) {
  require(rows >= 0 && most_threads > 0 && f->isa() == p.isa, "fastfood: prepared for something else");
  p.program.add([=](float* const* s, int threads) {
    f->run(rows, x.in(s), y.in(s), scratch.in(s), std::min(threads, most_threads));
  });
}

}  // namespace

void add(py::module_& m) {
  py::class_<Fastfood, Prepared>(m, "Fastfood")
      .def("scratch_floats", &Fastfood::scratch_floats)
      .def_property_readonly("nbytes", &Fastfood::nbytes);
  m.def("prepare_fastfood", &prepare, py::arg("isa"), py::arg("s").noconvert(), py::arg("g").noconvert(),
        py::arg("perm").noconvert(), py::arg("b").noconvert(), py::arg("d_in"), py::arg("d_out"), py::arg("offset"),
        py::arg("amplitude"));
  m.def("run_fastfood", &run, py::arg("prepared"), py::arg("x"), py::arg("out"), py::arg("scratch").noconvert(),
        py::arg("threads"));
  py::class_<PyProgram> program(m.attr("Program"));
  program.def("fastfood", &add_fastfood);
}

}  // namespace accel::bind::fastfood_bindings
