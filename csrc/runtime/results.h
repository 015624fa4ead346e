// SPDX-License-Identifier: BSD-3-Clause
// Memory for large results. What is given back is kept for the next one, up to a bound: the system has to clear fresh
// pages, which takes as long as many a kernel that then writes them. docs/decisions/0008-memory-of-results-is-kept.md.
#pragma once
#include <cstddef>

namespace accel {

// Room for `bytes`, whatever is in it, on a page of its own; nullptr where the system has no more.
void* take_result(std::size_t bytes) noexcept;
void give_back_result(void* result) noexcept;  // what take_result gave
std::size_t room_of_result(const void* result) noexcept;

struct Kept {
  std::size_t bytes, most;  // now; at most
};
Kept kept_results() noexcept;
// Sets how many bytes are kept at most; what is above goes back to the system, what was kept longest first.
void keep_results(std::size_t most) noexcept;

}  // namespace accel
