// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/results.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

#include "runtime/fork_mutex.h"
#include "runtime/pages.h"

namespace accel {
namespace {

constexpr std::size_t kPage = 4096;

// Lies on a page of its own before the memory it describes, so that giving back takes no memory.
struct Block {
  Pages pages;
  Block* next = nullptr;  // the one kept before it; of a block that is in use, none
};

Block* block_of(const void* result) {
  return reinterpret_cast<Block*>(const_cast<char*>(static_cast<const char*>(result)) - kPage);
}

Block* new_block(std::size_t bytes) {
  Pages pages(bytes, kPage);
  void* place = pages.begin() - kPage;
  return new (place) Block{std::move(pages)};
}

void unmap(Block* blocks) noexcept {
  while (blocks != nullptr) {
    const Pages pages = std::move(blocks->pages);  // the block lies on its own pages
    blocks = blocks->next;
  }
}

// At most an eighth more: sizes that differ little share memory.
std::size_t size_class(std::size_t bytes) { return round_up(bytes, std::max(std::bit_floor(bytes) / 8, kPage)); }

// The system may take pages that are kept when it has no others, and finds them clean; until then they stay. Only those
// of 2 MB: it takes longer to mark small ones than to fill them.
void let_the_system_take(const Pages& pages) {
#ifdef MADV_FREE
  madvise(pages.begin(), pages.size() / kHugePage * kHugePage, MADV_FREE);
#else
  (void)pages;
#endif
}

class Keeper {
 public:
  // The smallest kept block for `bytes` that wastes no more than a quarter, or nullptr.
  Block* find(std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    Block** best = nullptr;
    for (Block** at = &first_; *at != nullptr; at = &(*at)->next) {
      const std::size_t size = (*at)->pages.size();
      if (size >= bytes && size - bytes <= bytes / 4 && (best == nullptr || size < (*best)->pages.size())) best = at;
    }
    if (best == nullptr) return nullptr;
    bytes_ -= (*best)->pages.size();
    Block* found = *best;
    *best = std::exchange(found->next, nullptr);
    return found;
  }

  void keep(Block* block) {
    let_the_system_take(block->pages);
    unmap(insert(block));
  }

  void set_most(std::size_t most) { unmap(bound(most)); }

  void release() { unmap(drop_all()); }

  Kept kept() {
    const std::scoped_lock lock(mutex_);
    return {bytes_, most_};
  }

 private:
  // Each of these returns what goes back to the system, which is done without the lock.
  Block* insert(Block* block) {
    const std::scoped_lock lock(mutex_);
    if (block->pages.size() > most_) return block;
    block->next = std::exchange(first_, block);
    return above();
  }

  Block* bound(std::size_t most) {
    const std::scoped_lock lock(mutex_);
    most_ = most;
    return above();
  }

  Block* drop_all() {
    const std::scoped_lock lock(mutex_);
    bytes_ = 0;
    return std::exchange(first_, nullptr);
  }

  // The oldest, from the first one that makes them too many.
  Block* above() {
    bytes_ = 0;
    Block** at = &first_;
    for (; *at != nullptr && (*at)->pages.size() <= most_ - bytes_; at = &(*at)->next) bytes_ += (*at)->pages.size();
    return std::exchange(*at, nullptr);
  }

  ForkMutex mutex_;
  Block* first_ = nullptr;  // the newest
  std::size_t bytes_ = 0, most_ = std::size_t{256} << 20;
};

// Never destroyed: arrays may outlive everything else when the process ends.
Keeper& keeper() {
  static Keeper* const instance = [] {
    auto* made = new Keeper;
    // To write pages that its parent has too, a child would have to copy them, which takes longer than clearing others.
    // Handlers of children run in the order in which they were given: this one finds the mutex free.
    pthread_atfork(nullptr, nullptr, [] { keeper().release(); });
    return made;
  }();
  return *instance;
}

}  // namespace

void* take_result(std::size_t bytes) noexcept {
  bytes = size_class(std::max(bytes, kPage));
  Block* block = keeper().find(bytes);
  for (int attempt = 0; block == nullptr && attempt < 2; ++attempt) {
    try {
      block = new_block(bytes);
    } catch (const std::bad_alloc&) {
      keeper().release();
    }
  }
  return block == nullptr ? nullptr : block->pages.begin();
}

void give_back_result(void* result) noexcept { keeper().keep(block_of(result)); }

std::size_t room_of_result(const void* result) noexcept { return block_of(result)->pages.size(); }

Kept kept_results() noexcept { return keeper().kept(); }

void keep_results(std::size_t most) noexcept { keeper().set_most(most); }

}  // namespace accel
