// SPDX-License-Identifier: BSD-3-Clause
// Sparse matrices and the steps that multiply by them.
#include "bind/sparse.h"

#include <pybind11/stl.h>

#include <memory>
#include <vector>

#include "bind/program.h"
#include "kernels/sparse/sparse_conv.h"

namespace accel::bind {
namespace {

using Matrix = std::shared_ptr<SparseMatrix>;

Matrix pack(int isa, const CsrArrays& arrays, int threads) {
  const SpmmKernels& kernels = *kSpmm[checked_isa(isa)];
  const CsrView view = arrays.view();
  py::gil_scoped_release release;
  return std::make_shared<SparseMatrix>(view, kernels, threads);
}

std::shared_ptr<PreparedConv> prepare(int isa, const ConvSpec& spec, const std::vector<Matrix>& matrices, int threads) {
  const std::size_t i = checked_isa(isa);
  for (const Matrix& m : matrices) require(m && &m->kernels() == kSpmm[i], "sparse conv: packed for another isa");
  return std::make_shared<SparseConv>(
      spec, std::vector<std::shared_ptr<const SparseMatrix>>(matrices.begin(), matrices.end()), *kTileSets[i], threads);
}

// `scratch` names a slot with the number of floats that it returns.
long add_linear(PyProgram& p, const Matrix& matrix, long batch, const Activation& activation, int threads, Place x,
                Place y, Place scratch, const Array<float>& bias) {
  require(&matrix->kernels() == kSpmm[p.isa], "sparse linear: packed for another isa");
  const auto linear = std::make_shared<SparseLinear>(*matrix, batch, activation, *kTileSets[p.isa], threads);
  const float* b = p.keep(bias, static_cast<std::size_t>(matrix->rows()));
  p.program.add([=](float* const* s, int n) {
    (void)matrix;  // kept alive with the step: `linear` refers to it
    linear->run(x.in(s), b, y.in(s), scratch.in(s), n);
  });
  return linear->scratch_floats();
}

}  // namespace

void bind_sparse(py::module_& m) {
  py::enum_<ValueKind>(m, "ValueKind")
      .value("f32", ValueKind::f32)
      .value("bf16", ValueKind::bf16)
      .value("i8", ValueKind::i8)
      .value("code16", ValueKind::code16)
      .value("code256", ValueKind::code256);
  py::class_<SparseMatrix, Matrix>(m, "SparseMatrix")
      .def_property_readonly("rows", &SparseMatrix::rows)
      .def_property_readonly("columns", &SparseMatrix::columns)
      .def_property_readonly("values", &SparseMatrix::values)
      .def_property_readonly("nbytes", &SparseMatrix::nbytes);
  m.def("pack_sparse",
        [](int isa, const Array<std::int32_t>& indptr, const Array<std::int32_t>& indices, const py::array& values,
           ValueKind kind, const py::object& scale, const py::object& book, long columns,
           int threads) { return pack(isa, CsrArrays(indptr, indices, values, kind, scale, book, columns), threads); });
  m.def("prepare_sparse", &prepare);
  py::class_<PyProgram> program(m.attr("Program"));
  program.def("sparse_linear", &add_linear);
}

}  // namespace accel::bind
