// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/csr_product.h"

#include "bind/bind.h"

namespace accel::bind {
namespace {

template <class P>
bool product(int isa, const Array<float>& data, const Array<std::int32_t>& indices, const Array<P>& indptr,
             const Array<float>& x, Array<float>& y, int threads) {
  const std::size_t i = checked_isa(isa);
  require(data.ndim() == 1 && indices.ndim() == 1 && indptr.ndim() == 1 && x.ndim() == 2 && y.ndim() == 2 &&
              indptr.size() > 0 && indices.size() == data.size() && x.shape(1) < 1l << 31 && threads > 0,
          "csr product: shapes do not fit");
  const CsrMatrix<P> a{indptr.size() - 1, x.shape(1), indptr.data(), indices.data(), data.data()};
  const long batch = x.shape(0);
  require(y.shape(0) == batch && y.shape(1) == a.rows, "csr product: y does not fit");
  float* to = y.mutable_data();
  py::gil_scoped_release release;
  if (!csr_ascends(a.indptr, a.rows, data.size())) return false;
  return csr_product(a, i, batch, x.data(), to, threads);
}

}  // namespace

// csr_product(isa, data, indices, indptr, x, y, threads): false if indptr or indices are not valid.
void bind_csr_product(py::module_& m) {
  m.def("csr_product", &product<std::int32_t>, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
        py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert());
  m.def("csr_product", &product<std::int64_t>, py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(),
        py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert(), py::arg().noconvert());
}

}  // namespace accel::bind
