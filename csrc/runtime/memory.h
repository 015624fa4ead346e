// SPDX-License-Identifier: BSD-3-Clause
// Memory for weights and arenas.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace accel {

struct Memory {
  std::shared_ptr<void> owner;  // of the pages, which live as long as any array on them
  std::uint8_t* begin = nullptr;
};

// Zeroed, on a cache line of its own. Small arrays share pages: one after another from the newest.
// Throws std::bad_alloc.
Memory allocate(std::size_t bytes);

}  // namespace accel
