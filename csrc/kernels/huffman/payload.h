// SPDX-License-Identifier: BSD-3-Clause
// The blocks of a stream, in memory or in a file. From a file they are read as they are decoded, through a window that
// stays in a core's cache: memory for all of them is fresh from the system, and filling it takes as long as decoding.
#pragma once
#include <cstddef>
#include <cstdint>

namespace accel {

inline constexpr std::size_t kWindow = std::size_t{1} << 17;  // bytes; more than a part of a block has

// The bytes of a block from front to back.
class BlockBytes {
 public:
  BlockBytes() = default;
  BlockBytes(const std::uint8_t* at, std::size_t bytes) : at_(at), ready_(bytes), left_(bytes) {}
  // From `first` on in a file; kWindow bytes of memory at `window`.
  BlockBytes(int file, std::int64_t first, std::size_t bytes, std::uint8_t* window)
      : at_(window), left_(bytes), file_(file), first_(first), window_(window) {}

  std::size_t left() const noexcept { return left_; }
  // The next n bytes, of `left()` and kWindow at most, until the next call. Null where the file ends before them or
  // cannot be read.
  const std::uint8_t* peek(std::size_t n) noexcept { return n <= ready_ || fill(n) ? at_ : nullptr; }
  const std::uint8_t* take(std::size_t n) noexcept {
    const std::uint8_t* const found = peek(n);
    if (found) at_ += n, ready_ -= n, left_ -= n;
    return found;
  }

 private:
  bool fill(std::size_t n) noexcept;

  const std::uint8_t* at_ = nullptr;
  std::size_t ready_ = 0, left_ = 0;  // bytes at at_, and those together with what is still in the file
  int file_ = -1;
  std::int64_t first_ = 0;  // of the bytes to be read next
  std::uint8_t* window_ = nullptr;
};

struct Payload {
  const std::uint8_t* data;  // where there is no file
  std::size_t bytes;
  int file = -1;
  std::int64_t first = 0;           // where it begins in the file
  std::uint8_t* windows = nullptr;  // kWindow bytes for each thread that reads the file

  // Bytes begin .. end - 1, which lie in the payload.
  BlockBytes block(std::size_t begin, std::size_t end, int thread) const noexcept {
    if (file < 0) return {data + begin, end - begin};
    return {file, first + static_cast<std::int64_t>(begin), end - begin,
            windows + kWindow * static_cast<std::size_t>(thread)};
  }
};

}  // namespace accel
