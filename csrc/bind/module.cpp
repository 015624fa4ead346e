// SPDX-License-Identifier: BSD-3-Clause
// Table of contents of accel._core: one bind_* call per kernel family. No header of pybind11: that alone takes seconds.
namespace pybind11 {
class module_;
}

namespace accel::bind {
void bind_binary(pybind11::module_& m);
void bind_circulant(pybind11::module_& m);
void bind_codebook(pybind11::module_& m);
void bind_conv(pybind11::module_& m);
void bind_csr_product(pybind11::module_& m);
void bind_fastfood(pybind11::module_& m);
void bind_floats(pybind11::module_& m);
void bind_fwht(pybind11::module_& m);
void bind_gaps(pybind11::module_& m);
void bind_hashed(pybind11::module_& m);
void bind_huffman(pybind11::module_& m);
void bind_kmeans(pybind11::module_& m);
void bind_program(pybind11::module_& m);
void bind_program_movement(pybind11::module_& m);
void bind_result(pybind11::module_& m);
void bind_runtime(pybind11::module_& m);
void bind_sparse(pybind11::module_& m);
void bind_spmv(pybind11::module_& m);

void bind_all(pybind11::module_& m) {
  bind_conv(m);
  bind_csr_product(m);
  bind_floats(m);
  bind_fwht(m);
  bind_gaps(m);
  bind_huffman(m);
  bind_kmeans(m);
  bind_result(m);
  bind_runtime(m);
  bind_program(m);
  // These add steps to the Program of bind_program.
  bind_binary(m);
  bind_circulant(m);
  bind_codebook(m);
  bind_fastfood(m);
  bind_hashed(m);
  bind_program_movement(m);
  bind_sparse(m);
  bind_spmv(m);
}

}  // namespace accel::bind
