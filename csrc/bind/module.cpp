// SPDX-License-Identifier: BSD-3-Clause
// Table of contents of accel._core: the file of each kernel family adds its functions. No header of pybind11: that
// alone takes seconds.
namespace pybind11 {
class module_;
}

// From `program` on in their order: the families behind it add steps to its Program.
#define ACCEL_FOR_EACH_FAMILY(X) \
  X(conv)                        \
  X(csr_product)                 \
  X(floats)                      \
  X(fwht)                        \
  X(gaps)                        \
  X(huffman)                     \
  X(kmeans)                      \
  X(result)                      \
  X(runtime)                     \
  X(program)                     \
  X(binary)                      \
  X(circulant)                   \
  X(codebook)                    \
  X(fastfood)                    \
  X(hashed)                      \
  X(program_movement)            \
  X(sparse)                      \
  X(spmv)

namespace accel::bind {

#define ACCEL_DECLARE(family)        \
  namespace family##_bindings {      \
    void add(pybind11::module_ & m); \
  }
ACCEL_FOR_EACH_FAMILY(ACCEL_DECLARE)

void bind_all(pybind11::module_& m) {
#define ACCEL_ADD(family) family##_bindings::add(m);
  ACCEL_FOR_EACH_FAMILY(ACCEL_ADD)
}

}  // namespace accel::bind
