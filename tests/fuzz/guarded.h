// SPDX-License-Identifier: BSD-3-Clause
// Memory whose last byte is followed by a page that nobody may touch. AddressSanitizer does not see what masked vector
// loads and stores do; the processor does.
#pragma once
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

class Guarded {
 public:
  explicit Guarded(std::size_t most) : size_((most + kFront + kPage - 1) / kPage * kPage) {
    void* memory = mmap(nullptr, size_ + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    begin_ = static_cast<std::uint8_t*>(memory);
    if (mprotect(begin_ + size_, kPage, PROT_NONE)) std::abort();
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  // The last n bytes; those before them are poisoned, and the nearest hold a pattern.
  std::uint8_t* last(std::size_t n) {
    std::uint8_t* const p = begin_ + size_ - n;
    ASAN_UNPOISON_MEMORY_REGION(begin_, size_);
    std::memset(p - kFront, kPattern, kFront);
    ASAN_POISON_MEMORY_REGION(begin_, static_cast<std::size_t>(p - begin_));
    return p;
  }
  bool front_is_whole(const std::uint8_t* p) {
    ASAN_UNPOISON_MEMORY_REGION(p - kFront, kFront);
    for (std::size_t k = 1; k <= kFront; ++k)
      if (*(p - k) != kPattern) return false;
    return true;
  }

 private:
  static constexpr std::size_t kPage = 4096, kFront = 64;
  static constexpr std::uint8_t kPattern = 0xEE;
  std::size_t size_;
  std::uint8_t* begin_;
};
