// SPDX-License-Identifier: BSD-3-Clause
#include <pybind11/stl.h>
#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

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

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Zeroed memory from the system, on 2 MB pages where it has them: weights and arenas are read at memory speed, and 4 KB
// pages run the TLB dry.
class Pages {
 public:
  explicit Pages(std::size_t bytes) : mapped_((bytes + kHugePage - 1) / kHugePage * kHugePage + kHugePage) {
    if (mapped_ < bytes) throw std::bad_alloc();
    raw_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw_ == MAP_FAILED) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    madvise(begin(), mapped_ - kHugePage, MADV_HUGEPAGE);
#endif
  }
  ~Pages() { munmap(raw_, mapped_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  std::uint8_t* begin() const {
    return reinterpret_cast<std::uint8_t*>((reinterpret_cast<std::uintptr_t>(raw_) + kHugePage - 1) / kHugePage *
                                           kHugePage);
  }
  std::size_t size() const { return mapped_ - kHugePage; }

 private:
  std::size_t mapped_;
  void* raw_;
};

// Small arrays share pages: one after another from the newest, which lives as long as any array on it.
std::pair<std::shared_ptr<Pages>, std::uint8_t*> allocate(std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  static std::mutex mutex;
  static std::weak_ptr<Pages> newest;
  static std::size_t used = 0;
  if (bytes >= kHugePage) {
    auto pages = std::make_shared<Pages>(bytes);
    std::uint8_t* begin = pages->begin();
    return {std::move(pages), begin};
  }
  const std::scoped_lock lock(mutex);
  auto pages = newest.lock();
  if (!pages || pages->size() - used < bytes) {
    pages = std::make_shared<Pages>(2 * kHugePage);
    newest = pages;
    used = 0;
  }
  std::uint8_t* begin = pages->begin() + used;
  used = std::min((used + bytes + kLine - 1) / kLine * kLine, pages->size());
  return {std::move(pages), begin};
}

// Zeroed, on a cache line of its own.
py::array_t<std::uint8_t> aligned_buffer(std::size_t bytes) {
  auto [pages, begin] = allocate(bytes);
  py::capsule owner(new std::shared_ptr<Pages>(std::move(pages)),
                    [](void* p) { delete static_cast<std::shared_ptr<Pages>*>(p); });
  return py::array_t<std::uint8_t>({static_cast<py::ssize_t>(bytes)}, {1}, begin, owner);
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
  m.def("evict", &evict, py::arg("array").noconvert());
  m.def("aligned_buffer", &aligned_buffer, py::arg("bytes"));
  m.def("fma_peak", &peak_operations, py::arg("isa"));
  m.def("read_peak", &peak_bytes, py::arg("isa"), py::arg("x").noconvert());
}

}  // namespace accel::bind
