// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <new>
#include <utility>

namespace accel {
namespace {

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

}  // namespace

Memory allocate(std::size_t bytes) {
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

}  // namespace accel
