// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/fwht/fwht.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "bind/result.h"

namespace accel::bind::fwht_bindings {
namespace {

constexpr long kHeld = 1 << 13;  // elements below which giving up the interpreter's lock costs more than it gains

const FwhtKernels<float>& kernels(std::size_t isa, float) { return *kFwhtF32[isa]; }
const FwhtKernels<double>& kernels(std::size_t isa, double) { return *kFwhtF64[isa]; }
const FwhtKernels<std::int32_t>& kernels(std::size_t isa, std::int32_t) { return *kFwhtI32[isa]; }

// A new array, x itself, or another one beside it.
template <class T>
std::optional<Array<T>> result(const py::object& out, const Array<T>& x) {
  if (out.is_none()) return new_result<T>(Shape(x.shape(), x.shape() + x.ndim()));
  if (!holds<T>(out)) return std::nullopt;
  auto y = py::reinterpret_borrow<Array<T>>(out);
  const bool shaped = y.writeable() && y.ndim() == x.ndim() && std::equal(x.shape(), x.shape() + x.ndim(), y.shape());
  if (!shaped || (y.data() != x.data() && !apart(x, y))) return std::nullopt;
  return y;
}

template <class T>
py::object transform(std::size_t isa, const Array<T>& x, long axis, bool ortho, const py::object& out, int threads) {
  const long ndim = x.ndim();
  if (axis < 0) axis += ndim;
  if (axis < 0 || axis >= ndim || x.size() == 0 || (ortho && std::is_integral_v<T>)) return py::none();
  const auto n = static_cast<unsigned long>(x.shape(axis));
  std::optional<Array<T>> y;
  if (!std::has_single_bit(n) || !(y = result(out, x))) return py::none();
  FwhtSpec spec{1, std::countr_zero(n), 1};
  for (long i = 0; i < ndim; ++i)
    if (i != axis) (i < axis ? spec.outer : spec.inner) *= x.shape(i);
  const T scale = ortho ? static_cast<T>(1 / std::sqrt(static_cast<double>(n))) : T(1);
  T* to = y->mutable_data();
  const T* from = x.data();
  if (x.size() < kHeld) {
    fwht(spec, kernels(isa, T()), from, to, scale, 1);
  } else {
    const Unlocked unlocked;
    fwht(spec, kernels(isa, T()), from, to, scale, threads);
  }
  return *y;
}

py::object any_transform(int isa, const py::object& x, long axis, bool ortho, const py::object& out, int threads) {
  const std::size_t i = checked_isa(isa);
  require(threads > 0, "fwht: threads do not fit");
  const auto run = [&](auto array) { return transform(i, array, axis, ortho, out, threads); };
  if (holds<float>(x)) return run(py::reinterpret_borrow<Array<float>>(x));
  if (holds<double>(x)) return run(py::reinterpret_borrow<Array<double>>(x));
  if (holds<std::int32_t>(x)) return run(py::reinterpret_borrow<Array<std::int32_t>>(x));
  return py::none();
}

}  // namespace

// fwht(isa, x, axis, ortho, out or None, threads): the result, or None where anything does not fit, which
// accel.kernels.fwht then finds and names: checking in Python takes longer than a short transform.
void add(py::module_& m) { m.def("fwht", &any_transform); }

}  // namespace accel::bind::fwht_bindings
