// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/memory.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <new>
#include <utility>

#include "runtime/fork_mutex.h"
#include "runtime/pages.h"

namespace accel {

Memory allocate(std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  static ForkMutex mutex;
  static auto& newest = *new std::weak_ptr<Pages>;  // never destroyed: a thread may be here when the process ends
  static std::size_t used = 0;
  if (bytes > std::numeric_limits<std::size_t>::max() - kHugePage) throw std::bad_alloc();
  if (bytes >= kHugePage) {
    auto pages = std::make_shared<Pages>(round_up(bytes, kHugePage));
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
  used = std::min(round_up(used + bytes, kLine), pages->size());
  return {std::move(pages), begin};
}

}  // namespace accel
