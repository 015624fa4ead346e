// SPDX-License-Identifier: BSD-3-Clause
#include "bind/result.h"

#include <atomic>
#include <cstring>

#include "runtime/results.h"

namespace accel::bind {
namespace {

// Smaller ones NumPy's heap recycles well, and at no cost.
std::atomic<std::size_t> least{std::size_t{1} << 20};

void* take(void*, std::size_t bytes) noexcept { return take_result(bytes); }

void* take_zeroed(void*, std::size_t count, std::size_t size) noexcept {
  void* p = take_result(count * size);  // NumPy has checked the product
  return p == nullptr ? p : std::memset(p, 0, count * size);
}

void release(void*, void* p, std::size_t) noexcept {
  if (p != nullptr) give_back_result(p);
}

void* resize(void*, void* p, std::size_t bytes) noexcept {
  if (p == nullptr) return take_result(bytes);
  const std::size_t room = room_of_result(p);
  if (bytes <= room && bytes > room / 2) return p;
  void* other = take_result(bytes);
  if (other == nullptr) return other;
  std::memcpy(other, p, std::min(bytes, room));
  give_back_result(p);
  return other;
}

// PyDataMem_Handler of numpy/ndarraytypes.h, version 1; NumPy has it since 1.22.
struct Handler {
  char name[127];
  std::uint8_t version;
  void* context;
  void* (*malloc)(void*, std::size_t) noexcept;
  void* (*calloc)(void*, std::size_t, std::size_t) noexcept;
  void* (*realloc)(void*, void*, std::size_t) noexcept;
  void (*free)(void*, void*, std::size_t) noexcept;
};

constinit Handler g_handler = {"accel_results", 1, nullptr, take, take_zeroed, resize, release};

struct Numpy {
  PyObject* handler;  // a capsule of g_handler, for good
  PyObject* (*set_handler)(PyObject*);
};

// Looked up at the import: no call has to wait for it.
Numpy g_numpy;

void look_up() {
  constexpr int kSetHandler = 304;  // its place in NumPy's table, numpy/__multiarray_api.h, which keeps it
  const py::object table = py::detail::import_numpy_core_submodule("multiarray").attr("_ARRAY_API");
  void** const functions = static_cast<void**>(PyCapsule_GetPointer(table.ptr(), nullptr));
  if (functions == nullptr) throw py::error_already_set();
  g_numpy.set_handler = reinterpret_cast<PyObject* (*)(PyObject*)>(functions[kSetHandler]);
  g_numpy.handler = PyCapsule_New(&g_handler, "mem_handler", nullptr);
  if (g_numpy.handler == nullptr) throw py::error_already_set();
}

// While one lives, arrays made in this thread take their memory from here.
class OurMemory {
 public:
  OurMemory() : before_(py::reinterpret_steal<py::object>(g_numpy.set_handler(g_numpy.handler))) {
    if (!before_) throw py::error_already_set();
  }
  ~OurMemory() {
    const py::error_scope keep_the_error;
    Py_XDECREF(g_numpy.set_handler(before_.ptr()));
  }
  OurMemory(const OurMemory&) = delete;
  OurMemory& operator=(const OurMemory&) = delete;

 private:
  py::object before_;
};

PyObject* new_array(PyObject* dtype, const py::ssize_t* shape, int axes) {
  const auto& api = py::detail::npy_api::get();
  Py_INCREF(dtype);  // which it takes
  return api.PyArray_NewFromDescr_(api.PyArray_Type_, dtype, axes, shape, nullptr, nullptr, 0, nullptr);
}

bool is_large(const py::dtype& dtype, const py::ssize_t* shape, int axes) {
  double bytes = static_cast<double>(dtype.itemsize());
  for (int i = 0; i < axes; ++i) bytes *= static_cast<double>(shape[i]);
  return bytes >= static_cast<double>(least.load(std::memory_order_relaxed)) && kept_results().most > 0;
}

// A new reference, or nullptr and an error.
PyObject* made(const py::dtype& dtype, const py::ssize_t* shape, int axes) {
  if (!is_large(dtype, shape, axes)) return new_array(dtype.ptr(), shape, axes);
  const OurMemory ours;
  return new_array(dtype.ptr(), shape, axes);
}

constexpr int kMostAxes = 64;

// The sizes of a tuple of integers or of one integer; -1 and an error where it is neither.
int sizes_of(PyObject* shape, py::ssize_t (&sizes)[kMostAxes]) {
  const bool one = !PyTuple_Check(shape);
  const py::ssize_t axes = one ? 1 : PyTuple_GET_SIZE(shape);
  if (axes > kMostAxes) {
    PyErr_SetString(PyExc_ValueError, "shape: too many axes");
    return -1;
  }
  for (py::ssize_t i = 0; i < axes; ++i) {
    sizes[i] = PyNumber_AsSsize_t(one ? shape : PyTuple_GET_ITEM(shape, i), PyExc_ValueError);
    if (sizes[i] == -1 && PyErr_Occurred() != nullptr) return -1;
  }
  return static_cast<int>(axes);
}

// empty(shape, dtype): as numpy.empty, and as fast, which pybind11's calls are not.
PyObject* empty(PyObject*, PyObject* const* arguments, py::ssize_t count) {
  if (count != 2) {
    PyErr_SetString(PyExc_TypeError, "empty: a shape and a dtype expected");
    return nullptr;
  }
  py::object shape = py::reinterpret_borrow<py::object>(arguments[0]);
  if (PyList_Check(shape.ptr())) {  // which a size's __index__ could change
    shape = py::reinterpret_steal<py::object>(PyList_AsTuple(shape.ptr()));
    if (!shape) return nullptr;
  }
  py::ssize_t sizes[kMostAxes];
  const int axes = sizes_of(shape.ptr(), sizes);
  PyObject* dtype = nullptr;
  if (axes < 0 || py::detail::npy_api::get().PyArray_DescrConverter_(arguments[1], &dtype) == 0) return nullptr;
  try {
    return made(py::reinterpret_steal<py::dtype>(dtype), sizes, axes);
  } catch (py::error_already_set& e) {
    e.restore();
    return nullptr;
  }
}

PyMethodDef g_empty = {"empty", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(empty)), METH_FASTCALL,
                       "A new array of a shape and a dtype, not initialised."};

py::tuple kept() {
  const Kept now = kept_results();
  return py::make_tuple(now.bytes, now.most);
}

}  // namespace

py::array new_result(const py::dtype& dtype, const Shape& shape) {
  PyObject* array = made(dtype, shape.data(), static_cast<int>(shape.size()));
  if (array == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::array>(array);
}

namespace result_bindings {
void add(py::module_& m) {
  look_up();
  m.attr("empty") = py::reinterpret_steal<py::object>(PyCFunction_New(&g_empty, nullptr));
  m.def("keep_results", &keep_results, py::arg("most"));
  m.def("kept_results", &kept);
  // For tests: from how many bytes on a result is a large one.
  m.def("keep_results_from", [](std::size_t bytes) { return least.exchange(bytes); }, py::arg("bytes"));
}
}  // namespace result_bindings

}  // namespace accel::bind
