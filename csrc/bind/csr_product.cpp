// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/csr_product.h"

#include <algorithm>
#include <optional>

#include "bind/sparse.h"

namespace accel::bind::csr_product_bindings {
namespace {

using Floats = Array<float>;
using Columns = Array<std::int32_t>;

// A new array, or `out` where it fits.
std::optional<Floats> result(const py::object& out, const Floats& x, long rows) {
  const Shape shape = product_shape(x, rows);
  if (out.is_none()) return new_result<float>(shape);
  if (!holds<float>(out)) return std::nullopt;
  auto y = py::reinterpret_borrow<Floats>(out);
  const bool fits = y.writeable() && y.ndim() == x.ndim() && std::equal(shape.begin(), shape.end(), y.shape());
  return fits ? std::optional(y) : std::nullopt;
}

template <class P>
py::object product(int isa, const Floats& data, const Columns& indices, const Array<P>& indptr, const Floats& x,
                   const py::object& out, int threads) {
  const std::size_t i = checked_isa(isa);
  require(threads > 0, "csr product: threads do not fit");
  if (data.ndim() != 1 || indices.ndim() != 1 || indptr.ndim() != 1 || indptr.size() == 0 || x.ndim() == 0 ||
      indices.size() != data.size())
    return py::none();
  const CsrMatrix<P> a{indptr.size() - 1, x.shape(x.ndim() - 1), indptr.data(), indices.data(), data.data()};
  if (x.size() == 0 || a.columns >= 1l << 31) return py::none();
  std::optional<Floats> y = result(out, x, a.rows);
  if (!y || !apart(*y, data) || !apart(*y, indices) || !apart(*y, indptr) || !apart(*y, x)) return py::none();
  float* to = y->mutable_data();
  bool done;
  {
    const Unlocked unlocked;
    done = csr_ascends(a.indptr, a.rows, data.size()) && csr_product(a, i, x.size() / a.columns, x.data(), to, threads);
  }
  return done ? py::object(*y) : py::none();
}

py::object any_product(int isa, const py::object& data, const py::object& indices, const py::object& indptr,
                       const py::object& x, const py::object& out, int threads) {
  if (!holds<float>(data) || !holds<std::int32_t>(indices) || !holds<float>(x)) return py::none();
  const auto run = [&](auto p) {
    return product(isa, py::reinterpret_borrow<Floats>(data), py::reinterpret_borrow<Columns>(indices), p,
                   py::reinterpret_borrow<Floats>(x), out, threads);
  };
  if (holds<std::int32_t>(indptr)) return run(py::reinterpret_borrow<Array<std::int32_t>>(indptr));
  if (holds<std::int64_t>(indptr)) return run(py::reinterpret_borrow<Array<std::int64_t>>(indptr));
  return py::none();
}

}  // namespace

// csr_product(isa, data, indices, indptr, x, out or None, threads): the result, or None where anything does not fit,
// which accel.kernels.csr then finds and names. All is checked here, because for a small matrix it would take longer
// in Python than the product does.
void add(py::module_& m) { m.def("csr_product", &any_product); }

}  // namespace accel::bind::csr_product_bindings
