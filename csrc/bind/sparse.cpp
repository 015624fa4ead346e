// SPDX-License-Identifier: BSD-3-Clause
// Sparse matrices, the steps that multiply by them, and what runs beside them over planes.
#include "bind/sparse.h"

#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <vector>

#include "bind/program.h"
#include "kernels/sparse/sparse_bands.h"

namespace accel::bind::sparse_bindings {
namespace {

using Matrix = std::shared_ptr<SparseMatrix>;

Matrix pack(int isa, const CsrArrays& arrays, long width, int threads, std::array<int, 3> window, bool permute,
            bool intel) {
  const SpmmKernels& kernels = *kSpmm[checked_isa(isa)];
  const CsrView view = arrays.view();
  const Unlocked unlocked;
  return std::make_shared<SparseMatrix>(view, kernels, width, threads, SpmmWindow{window[0], window[1], window[2]},
                                        permute, intel);
}

SparseBands::Matrices packed_for(std::size_t isa, const std::vector<Matrix>& matrices) {
  for (const Matrix& m : matrices) require(m && &m->kernels() == kSpmm[isa], "sparse conv: packed for another isa");
  return {matrices.begin(), matrices.end()};
}

std::shared_ptr<PreparedConv> prepare(int isa, const ConvSpec& spec, const std::vector<Matrix>& matrices, int threads) {
  const std::size_t i = checked_isa(isa);
  return std::make_shared<SparseConv>(spec, packed_for(i, matrices), *kTileSets[i], *kPlanes[i], threads);
}

// Two convolutions in bands of `rows`, from band_rows.
std::shared_ptr<PreparedConv> prepare_bands(int isa, const ConvSpec& first, const std::vector<Matrix>& first_matrices,
                                            const ConvSpec& second, const std::vector<Matrix>& second_matrices,
                                            long rows, int threads) {
  const std::size_t i = checked_isa(isa);
  return std::make_shared<SparseBands>(first, packed_for(i, first_matrices), second, packed_for(i, second_matrices),
                                       *kTileSets[i], *kPlanes[i], rows, threads);
}

struct PyLinear {  // keeps the matrix that it refers to
  Matrix matrix;
  long batch;
  SparseLinear linear;
};
using Linear = std::shared_ptr<PyLinear>;

Linear prepare_linear(int isa, const Matrix& matrix, long batch, const Activation& activation, int threads) {
  const std::size_t i = checked_isa(isa);
  require(matrix && &matrix->kernels() == kSpmm[i], "sparse linear: packed for another isa");
  return std::make_shared<PyLinear>(matrix, batch, SparseLinear(*matrix, batch, activation, *kTileSets[i], threads));
}

void add_linear(PyProgram& p, const Linear& prepared, Place x, Place y, Place scratch, const Array<float>& bias) {
  const float* b = p.keep(bias, static_cast<std::size_t>(prepared->matrix->rows()));
  p.program.add([=](float* const* s, int n) { prepared->linear.run(x.in(s), b, y.in(s), scratch.in(s), n); });
}

// The product at once, without a program; the caller's scratch.
Array<float> run_linear(const Linear& prepared, const Array<float>& x, const Array<float>& bias, Array<float>& scratch,
                        int threads) {
  const SparseMatrix& m = *prepared->matrix;
  require(x.ndim() > 0 && x.size() == prepared->batch * m.columns() && bias.size() >= m.rows() &&
              scratch.size() >= prepared->linear.scratch_floats() && threads >= 1,
          "sparse linear: arrays do not fit");
  auto y = new_result<float>(product_shape(x, m.rows()));
  float *to = y.mutable_data(), *room = scratch.mutable_data();
  {
    const Unlocked unlocked;
    prepared->linear.run(x.data(), bias.data(), to, room, threads);
  }
  return y;
}

std::shared_ptr<PreparedConv> prepare_plane_depthwise(int isa, const ConvSpec& spec, int threads) {
  return std::make_shared<PlaneDepthwise>(spec, *kPlanes[checked_isa(isa)], threads);
}

std::shared_ptr<PlaneMaximum> prepare_plane_maximum(int isa, const PoolSpec& spec, int threads) {
  return std::make_shared<PlaneMaximum>(spec, *kPlanes[checked_isa(isa)], threads);
}

void add_plane_maximum(PyProgram& p, const std::shared_ptr<PlaneMaximum>& pool, Place x, Place y, Place scratch) {
  p.program.add([=](float* const* s, int n) { pool->run(x.in(s), y.in(s), scratch.in(s), n); });
}

}  // namespace

void add(py::module_& m) {
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
      .def_property_readonly("vectors", &SparseMatrix::vectors)
      .def_property_readonly("permutes", &SparseMatrix::permutes)
      .def_property_readonly("nbytes", &SparseMatrix::nbytes);
  m.def(
      "pack_sparse",
      [](int isa, const Array<std::int32_t>& indptr, const Array<std::int32_t>& indices, const py::array& values,
         ValueKind kind, const py::object& scale, const py::object& book, long columns, long width, int threads,
         std::array<int, 3> window, bool permute, bool intel) {
        return pack(isa, CsrArrays(indptr, indices, values, kind, scale, book, columns), width, threads, window,
                    permute, intel);
      },
      py::arg("isa"), py::arg("indptr"), py::arg("indices"), py::arg("values"), py::arg("kind"), py::arg("scale"),
      py::arg("book"), py::arg("columns"), py::arg("width"), py::arg("threads"), py::arg("window"), py::kw_only(),
      py::arg("permute") = permutes_beside_fma(), py::arg("intel"));
  m.attr("intel") = !permutes_beside_fma();
  m.def("strips_fit", [](int isa, std::array<int, 3> window, std::array<long, 2> size) {
    return strips_fit(kSpmm[checked_isa(isa)]->lanes, {window[0], window[1], window[2]}, size[0], size[1]);
  });
  m.def("strips_pool", [](int isa, std::array<long, 2> size) {
    return !strip_tiles(kSpmm[checked_isa(isa)]->lanes, {0, size[0]}, size[1], 2).empty();
  });
  m.def("prepare_sparse", &prepare);
  m.def("band_rows", &band_rows);
  m.def("prepare_sparse_bands", &prepare_bands);
  py::class_<PyLinear, Linear>(m, "SparseLinear").def_property_readonly("scratch_floats", [](const PyLinear& p) {
    return p.linear.scratch_floats();
  });
  py::class_<PlaneMaximum, std::shared_ptr<PlaneMaximum>>(m, "PlaneMaximum")
      .def_property_readonly("scratch_floats", &PlaneMaximum::scratch_floats);
  m.def("prepare_sparse_linear", &prepare_linear);
  m.def("run_sparse_linear", &run_linear, py::arg(), py::arg().noconvert(), py::arg().noconvert(),
        py::arg().noconvert(), py::arg());
  m.def("prepare_plane_depthwise", &prepare_plane_depthwise);
  m.def("prepare_plane_maximum", &prepare_plane_maximum);
  m.def("plane_maximum_fits", &plane_maximum_fits);
  py::class_<PyProgram> program(m.attr("Program"));
  program.def("sparse_linear", &add_linear).def("plane_maximum", &add_plane_maximum);
}

}  // namespace accel::bind::sparse_bindings
