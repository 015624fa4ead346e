// SPDX-License-Identifier: BSD-3-Clause
// What every binding needs. accel/kernels checks dtypes, shapes and contiguity and reports them by name; the bindings
// check again what memory safety hangs on.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "simd/isa.h"

namespace accel::bind {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;  // with py::arg().noconvert(): never a silent copy

inline void require(bool ok, const char* what) {
  if (!ok) throw py::value_error(what);
}

// Whether `a` is a C-contiguous array of T and of NumPy's own type: np.matrix, masked arrays and other subclasses can
// have an arithmetic of their own. Takes a tenth of the time of Array<T>::check_, which asks NumPy whether two dtypes
// are equivalent: that is left for dtypes of another number (long long) or of no byte order (uint8).
template <class T>
bool holds(const py::object& a) {
  const void* const type = Py_TYPE(a.ptr());
  if (type != py::detail::npy_api::get().PyArray_Type_) return false;
  const auto array = py::reinterpret_borrow<py::array>(a);
  const py::dtype kind = array.dtype();
  if (kind.num() != py::dtype::num_of<T>() || kind.byteorder() != '=') return Array<T>::check_(a);
  return (array.flags() & py::array::c_style) == py::array::c_style;
}

// Whether two arrays have no byte in common; for contiguous ones.
inline bool apart(const py::array& a, const py::array& b) {
  const auto *p = static_cast<const char*>(a.data()), *q = static_cast<const char*>(b.data());
  const std::less_equal<const char*> before;
  return a.nbytes() == 0 || b.nbytes() == 0 || before(p + a.nbytes(), q) || before(q + b.nbytes(), p);
}

// The ISA as Python passes it: its index in Isa.
inline std::size_t checked_isa(int isa) {
  require(isa >= 0 && isa < static_cast<int>(kIsaCount) && isa_supported(static_cast<Isa>(isa)),
          "isa: not supported on this machine");
  return static_cast<std::size_t>(isa);
}

// While one lives, other threads may run Python. Not py::gil_scoped_release: when the interpreter has ended, Python
// before 3.14 ends a daemon thread that asks for its lock by unwinding its stack, which terminates the process at this
// destructor and would drop references without the lock. Such a thread sleeps until the process ends, as 3.14 has it.
class Unlocked {
 public:
  Unlocked() : thread_(PyEval_SaveThread()) {}
  ~Unlocked() {
    try {
      PyEval_RestoreThread(thread_);
    } catch (...) {  // nothing else is thrown by it; not to be left, so that nothing is unwound
      for (;;) pause();
    }
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  PyThreadState* thread_;
};

}  // namespace accel::bind
