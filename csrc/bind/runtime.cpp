// SPDX-License-Identifier: BSD-3-Clause
#include <pybind11/stl.h>
#include <sys/mman.h>

#include <new>
#include <vector>

#include "bind/bind.h"
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

// Zeroed memory on its own pages; 2 MB pages where it is large and the system has them (weights and arenas are read
// at memory speed, and 4 KB pages run the TLB dry).
py::array_t<std::uint8_t> aligned_buffer(std::size_t bytes) {
  constexpr std::size_t kHuge = std::size_t{2} << 20;
  const std::size_t rounded = (bytes + 4095) / 4096 * 4096;
  const std::size_t mapped = rounded + (rounded >= kHuge ? kHuge : 4096);
  if (mapped < bytes) throw std::bad_alloc();
  void* raw = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  auto address = reinterpret_cast<std::uintptr_t>(raw);
  if (rounded >= kHuge) {
    address = (address + kHuge - 1) / kHuge * kHuge;
#ifdef MADV_HUGEPAGE
    madvise(reinterpret_cast<void*>(address), rounded, MADV_HUGEPAGE);
#endif
  }
  struct Mapping {
    void* raw;
    std::size_t size;
  };
  py::capsule owner(new Mapping{raw, mapped}, [](void* p) {
    auto* m = static_cast<Mapping*>(p);
    munmap(m->raw, m->size);
    delete m;
  });
  return py::array_t<std::uint8_t>({static_cast<py::ssize_t>(bytes)}, {1}, reinterpret_cast<std::uint8_t*>(address),
                                   owner);
}

double peak_operations(int isa) {
  const Probe& probe = *kProbes[checked_isa(isa)];
  py::gil_scoped_release release;
  return multiply_add_peak(probe);
}

double peak_bytes(int isa, const Array<float>& x) {
  constexpr long kStep = 256;
  const Probe& probe = *kProbes[checked_isa(isa)];
  const long n = static_cast<long>(x.size()) / kStep * kStep;
  require(n > 0, "x: expected at least 256 numbers");
  const float* data = x.data();
  py::gil_scoped_release release;
  return read_peak(probe, data, n);
}

}  // namespace

void bind_runtime(py::module_& m) {
  m.def("isa_names", &isa_names);
  m.def("supported_isas", &supported_isas);
  m.def("usable_threads", &usable_threads);
  m.def("thread_limit", &thread_limit);
  m.def("aligned_buffer", &aligned_buffer, py::arg("bytes"));
  m.def("fma_peak", &peak_operations, py::arg("isa"));
  m.def("read_peak", &peak_bytes, py::arg("isa"), py::arg("x").noconvert());
}

}  // namespace accel::bind
