// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/huffman/payload.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace accel {

bool BlockBytes::fill(std::size_t n) noexcept {
  if (!window_) return false;
  std::memmove(window_, at_, ready_);
  at_ = window_;
  while (ready_ < n) {
    const ssize_t count = pread(file_, window_ + ready_, std::min(kWindow, left_) - ready_, static_cast<off_t>(first_));
    if (count == 0 || (count < 0 && errno != EINTR)) return false;
    if (count < 0) continue;
    ready_ += static_cast<std::size_t>(count);
    first_ += count;
  }
  return true;
}

}  // namespace accel
