// SPDX-License-Identifier: BSD-3-Clause
// Block-circulant matrices, prepared, and the step that multiplies by them.
#include "kernels/circulant/circulant.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "bind/program.h"
#include "bind/result.h"

namespace accel::bind::circulant_bindings {
namespace {

using Floats = Array<float>;
using Prepared = std::shared_ptr<Circulant>;
constexpr long kKept = 1l << 20;  // floats of scratch that a thread keeps between calls, 4 MB

Prepared prepare(int isa, const Floats& r, const py::object& signs, long in, long out, bool single) {
  const std::size_t i = checked_isa(isa);
  require(r.ndim() == 3 && r.size() > 0, "circulant: r does not fit");
  const CirculantShape shape{r.shape(0), r.shape(1), r.shape(2), in, out};
  Floats flips;
  if (!signs.is_none()) {
    require(Floats::check_(signs), "circulant: signs do not fit");
    flips = py::reinterpret_borrow<Floats>(signs);
    require(flips.size() == in, "circulant: signs do not fit");
  }
  const float* const flip = signs.is_none() ? nullptr : flips.data();
  const Unlocked unlocked;
  return std::make_shared<Circulant>(r.data(), flip, shape, single, i);
}

void run(const Circulant& w, long batch, const float* x, float* y, int threads) {
  const long floats = w.scratch_floats(batch, threads);
  const auto with = [&](float* scratch) { w.run(batch, Activation{}, x, nullptr, y, scratch, threads); };
  if (floats > kKept) return with(LineFloats(floats).data());
  static thread_local LineFloats kept;
  static thread_local long size = 0;
  if (floats > size) kept = LineFloats(floats), size = floats;
  with(kept.data());
}

// x (..., in) W^T: the result, or None where an argument does not fit, which accel.kernels then finds and names. For a
// small matrix checks in Python would take longer than the product, and so would a look at the number of threads:
// `threads` is called where there is work for several. Below that the GIL is kept.
py::object multiply(const Circulant& w, const py::object& x_any, const py::object& out_any, const py::object& threads) {
  if (!holds<float>(x_any)) return py::none();
  const auto x = py::reinterpret_borrow<Floats>(x_any);
  const CirculantShape& shape = w.shape();
  const py::ssize_t last = x.ndim() - 1;
  if (last < 0 || x.shape(last) != shape.in || x.size() == 0) return py::none();
  Floats y;
  if (out_any.is_none()) {
    Shape sizes(x.shape(), x.shape() + x.ndim());
    sizes.back() = shape.out;
    y = new_result<float>(sizes);
  } else {
    if (!holds<float>(out_any)) return py::none();
    y = py::reinterpret_borrow<Floats>(out_any);
    const bool shaped = y.ndim() == x.ndim() && std::equal(x.shape(), x.shape() + last, y.shape());
    if (!shaped || y.shape(last) != shape.out || !y.writeable() || !apart(x, y)) return py::none();
  }
  const long batch = x.size() / shape.in;
  const float* const from = x.data();
  float* const to = y.mutable_data();
  if (!w.divides(batch)) {
    run(w, batch, from, to, 1);
    return y;
  }
  const int count = threads().cast<int>();
  require(count > 0, "circulant: threads do not fit");
  const Unlocked unlocked;
  run(w, batch, from, to, count);
  return y;
}

void add_circulant(PyProgram& p, const Prepared& weights, long batch, const Activation& activation, Place x, Place y,
                   Place scratch, const py::object& bias, int most_threads) {
  require(batch >= 0 && most_threads > 0, "circulant: batch or threads do not fit");
  const float* b = nullptr;
  if (!bias.is_none()) b = p.keep(bias.cast<Floats>(), static_cast<std::size_t>(weights->shape().out));
  p.program.add([=](float* const* s, int threads) {
    weights->run(batch, activation, x.in(s), b, y.in(s), scratch.in(s), std::min(threads, most_threads));
  });
}

}  // namespace

void add(py::module_& m) {
  py::class_<Circulant, Prepared>(m, "Circulant")
      .def_property_readonly("nbytes", &Circulant::nbytes)
      .def("scratch_floats", &Circulant::scratch_floats)
      .def("multiply", &multiply);
  m.def("prepare_circulant", &prepare);
  m.def("circulant_length", [](int isa, long least) {
    require(least > 0 && least < 1l << 40, "circulant: length does not fit");
    return circulant_length(least, checked_isa(isa));
  });
  py::class_<PyProgram> program(m.attr("Program"));
  program.def("circulant", &add_circulant);
}

}  // namespace accel::bind::circulant_bindings
