// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/pages.h"

#include <sys/mman.h>

#include <new>
#include <utility>

namespace accel {

Pages::Pages(std::size_t bytes, std::size_t front) : mapped_(bytes + front + kHugePage), bytes_(bytes) {
  if (mapped_ < bytes) throw std::bad_alloc();
  raw_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw_ == MAP_FAILED) throw std::bad_alloc();
  begin_ = reinterpret_cast<std::uint8_t*>(round_up(reinterpret_cast<std::uintptr_t>(raw_) + front, kHugePage));
  // Tried: MADV_POPULATE_WRITE, as fast as the first touch up to 32 MB and slower beyond.
#ifdef MADV_HUGEPAGE
  madvise(raw_, static_cast<std::size_t>(begin_ - static_cast<std::uint8_t*>(raw_)), MADV_NOHUGEPAGE);
  madvise(begin_, bytes_, MADV_HUGEPAGE);
#endif
}

Pages::~Pages() {
  if (raw_ != nullptr) munmap(raw_, mapped_);
}

Pages::Pages(Pages&& other) noexcept
    : raw_(std::exchange(other.raw_, nullptr)), mapped_(other.mapped_), bytes_(other.bytes_), begin_(other.begin_) {}

}  // namespace accel
