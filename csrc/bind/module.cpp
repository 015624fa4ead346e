// SPDX-License-Identifier: BSD-3-Clause
// Table of contents of accel._core: one bind_* call per kernel family. No header of pybind11: that alone takes seconds.
namespace pybind11 {
class module_;
}

namespace accel::bind {
namespace binary_bindings {
void add(pybind11::module_& m);
}
namespace circulant_bindings {
void add(pybind11::module_& m);
}
namespace codebook_bindings {
void add(pybind11::module_& m);
}
namespace conv_bindings {
void add(pybind11::module_& m);
}
namespace csr_product_bindings {
void add(pybind11::module_& m);
}
namespace fastfood_bindings {
void add(pybind11::module_& m);
}
namespace floats_bindings {
void add(pybind11::module_& m);
}
namespace fwht_bindings {
void add(pybind11::module_& m);
}
namespace gaps_bindings {
void add(pybind11::module_& m);
}
namespace hashed_bindings {
void add(pybind11::module_& m);
}
namespace huffman_bindings {
void add(pybind11::module_& m);
}
namespace kmeans_bindings {
void add(pybind11::module_& m);
}
namespace program_bindings {
void add(pybind11::module_& m);
}
namespace program_movement_bindings {
void add(pybind11::module_& m);
}
void bind_result(pybind11::module_& m);
void bind_runtime(pybind11::module_& m);
namespace sparse_bindings {
void add(pybind11::module_& m);
}
namespace spmv_bindings {
void add(pybind11::module_& m);
}

void bind_all(pybind11::module_& m) {
  conv_bindings::add(m);
  csr_product_bindings::add(m);
  floats_bindings::add(m);
  fwht_bindings::add(m);
  gaps_bindings::add(m);
  huffman_bindings::add(m);
  kmeans_bindings::add(m);
  bind_result(m);
  bind_runtime(m);
  program_bindings::add(m);
  // These add steps to the Program of bind_program.
  binary_bindings::add(m);
  circulant_bindings::add(m);
  codebook_bindings::add(m);
  fastfood_bindings::add(m);
  hashed_bindings::add(m);
  program_movement_bindings::add(m);
  sparse_bindings::add(m);
  spmv_bindings::add(m);
}

}  // namespace accel::bind
