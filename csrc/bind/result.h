// SPDX-License-Identifier: BSD-3-Clause
// New arrays for results: large ones in memory that earlier results have left (runtime/results.h), as NumPy's own
// allocator, so that they own it and can be resized, the others as NumPy makes them.
#pragma once
#include <algorithm>
#include <vector>

#include "bind/bind.h"

namespace accel::bind {

using Shape = std::vector<py::ssize_t>;

// Not initialised.
py::array new_result(const py::dtype& dtype, const Shape& shape);

template <class T>
Array<T> new_result(const Shape& shape) {
  return py::reinterpret_steal<Array<T>>(new_result(py::dtype::of<T>(), shape).release());
}

template <class T>
Array<T> new_result(py::ssize_t size) {
  return new_result<T>(Shape{size});
}

}  // namespace accel::bind
