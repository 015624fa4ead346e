// SPDX-License-Identifier: BSD-3-Clause
// Memory straight from the system.
#pragma once
#include <cstddef>
#include <cstdint>

namespace accel {

inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

constexpr std::size_t round_up(std::size_t bytes, std::size_t step) { return (bytes + step - 1) / step * step; }

// Before [from, to) of an output that ends at `end` is written, and nothing behind it has been. Linux clears a fresh
// huge page towards the address that is touched first: with that at the page's end, upwards, in less than half of the
// time (groups `codes` of bench/results/container.json). Writes the last byte of each page; others' pages are let
// alone.
inline void touch_pages(std::uint8_t* from, const std::uint8_t* to, std::uint8_t* end) noexcept {
  while (from < to) {
    const std::size_t left = kHugePage - reinterpret_cast<std::uintptr_t>(from) % kHugePage;
    from = left < static_cast<std::size_t>(end - from) ? from + left : end;
    *const_cast<volatile std::uint8_t*>(from - 1) = 0;
  }
}

// Zeroed memory that begins on a page of 2 MB and has such pages where the system gives them: those are cleared faster
// than pages of 4 KB, which also run the TLB dry. Its last bytes, that fill no page of 2 MB, are on small ones.
class Pages {
 public:
  // `front` bytes are there before the first one, too. Throws std::bad_alloc.
  explicit Pages(std::size_t bytes, std::size_t front = 0);
  ~Pages();
  Pages(Pages&& other) noexcept;
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  std::uint8_t* begin() const { return begin_; }
  std::size_t size() const { return bytes_; }

 private:
  void* raw_;
  std::size_t mapped_, bytes_;
  std::uint8_t* begin_;
};

}  // namespace accel
