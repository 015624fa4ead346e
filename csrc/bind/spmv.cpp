// SPDX-License-Identifier: BSD-3-Clause
// Sparse matrices packed for vectors, and the step that multiplies by them.
#include "kernels/sparse/spmv.h"

#include <memory>

#include "bind/program.h"
#include "bind/sparse.h"

namespace accel::bind::spmv_bindings {
namespace {

using Prepared = std::shared_ptr<Spmv>;

Prepared pack(int isa, const CsrArrays& arrays, int threads) {
  const SpmvKernels& kernels = *kSpmv[checked_isa(isa)];
  const CsrView view = arrays.view();
  const Unlocked unlocked;
  return std::make_shared<Spmv>(view, kernels, threads);
}

void add_spmv(PyProgram& p, const Prepared& weights, long batch, const Activation& activation, Place x, Place y,
              const Array<float>& bias) {
  require(batch >= 0, "spmv: batch is negative");
  const float* b = p.keep(bias, static_cast<std::size_t>(weights->rows()));
  require(&weights->kernels() == kSpmv[p.isa], "spmv: packed for another isa");
  p.program.add([=](float* const* s, int threads) { weights->run(batch, activation, x.in(s), b, y.in(s), threads); });
}

// The product at once, without a program.
Array<float> run(const Prepared& weights, const Array<float>& x, const Array<float>& bias, int threads) {
  require(x.ndim() > 0 && x.shape(x.ndim() - 1) == weights->columns() && weights->columns() > 0 &&
              bias.size() >= weights->rows() && threads >= 1,
          "spmv: arrays do not fit");
  auto y = new_result<float>(product_shape(x, weights->rows()));
  float* to = y.mutable_data();
  {
    const Unlocked unlocked;
    weights->run(x.size() / weights->columns(), Activation{}, x.data(), bias.data(), to, threads);
  }
  return y;
}

}  // namespace

void add(py::module_& m) {
  py::class_<Spmv, Prepared>(m, "Spmv")
      .def_property_readonly("nbytes", &Spmv::nbytes)
      .def_property_readonly("rows", &Spmv::rows)
      .def_property_readonly("columns", &Spmv::columns)
      .def_property_readonly("slots", &Spmv::slots)
      .def_property_readonly("singles", &Spmv::singles);
  m.def("pack_spmv",
        [](int isa, const Array<std::int32_t>& indptr, const Array<std::int32_t>& indices, const py::array& values,
           ValueKind kind, const py::object& scale, const py::object& book, long columns,
           int threads) { return pack(isa, CsrArrays(indptr, indices, values, kind, scale, book, columns), threads); });
  m.def("run_spmv", &run, py::arg(), py::arg().noconvert(), py::arg().noconvert(), py::arg());
  py::class_<PyProgram> program(m.attr("Program"));
  program.def("spmv", &add_spmv);
}

}  // namespace accel::bind::spmv_bindings
