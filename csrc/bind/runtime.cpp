// SPDX-License-Identifier: BSD-3-Clause
// The module itself (module.cpp lists what is in it), and what the process has: instruction sets, threads, memory.
#include <pybind11/stl.h>

#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "bind/bind.h"
#include "runtime/memory.h"
#include "runtime/peak.h"
#include "runtime/pool.h"

namespace accel::bind {
namespace {

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kIsaCount; ++i) names.emplace_back(isa_name(static_cast<Isa>(i)));
  return names;
}

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kIsaCount; ++i)
    if (isa_supported(static_cast<Isa>(i))) names.emplace_back(isa_name(static_cast<Isa>(i)));
  return names;
}

// What os.environ.get says in a tenth of its time: Python changes the process's own environment too. Empty where it is
// not set; bytes, since it need not be text.
py::bytes environment(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? py::bytes() : py::bytes(text);
}

// Zeroed, on a cache line of its own.
py::array_t<std::uint8_t> aligned_buffer(std::size_t bytes) {
  Memory memory = allocate(bytes);
  py::capsule owner(new std::shared_ptr<void>(std::move(memory.owner)),
                    [](void* p) { delete static_cast<std::shared_ptr<void>*>(p); });
  return py::array_t<std::uint8_t>({static_cast<py::ssize_t>(bytes)}, {1}, memory.begin, owner);
}

// Out of every cache, as weights are when a network comes around to them again. Where no instruction says so: nothing.
void evict(const Array<float>& a) {
#if defined(__x86_64__)
  const char* p = reinterpret_cast<const char*>(a.data());
  for (py::ssize_t i = 0; i < a.nbytes(); i += 64) _mm_clflush(p + i);
  _mm_mfence();
#else
  (void)a;
#endif
}

double peak_operations(int isa) {
  const Probe& probe = *kProbes[checked_isa(isa)];
  const Unlocked unlocked;
  return multiply_add_peak(probe);
}

double peak_bytes(int isa, const Array<float>& x) {
  constexpr long kStep = 256;
  const Probe& probe = *kProbes[checked_isa(isa)];
  const long n = static_cast<long>(x.size()) / kStep * kStep;
  require(n > 0, "x: expected at least 256 numbers");
  const float* data = x.data();
  const Unlocked unlocked;
  return read_peak(probe, data, n);
}

}  // namespace

namespace runtime_bindings {
void add(py::module_& m) {
  m.def("isa_names", &isa_names);
  m.def("supported_isas", &supported_isas);
  m.def("usable_threads", &usable_threads);
  m.def("thread_limit", &thread_limit);
  m.def("environment", &environment);
  m.def("evict", &evict, py::arg("array").noconvert());
  m.def("aligned_buffer", &aligned_buffer, py::arg("bytes"));
  m.def("fma_peak", &peak_operations, py::arg("isa"));
  m.def("read_peak", &peak_bytes, py::arg("isa"), py::arg("x").noconvert());
}
}  // namespace runtime_bindings

void bind_all(py::module_& m);  // module.cpp

}  // namespace accel::bind

PYBIND11_MODULE(_core, m) {
  m.doc() = "Native kernels of accel; accel.kernels is the public face.";
  accel::bind::bind_all(m);
}
