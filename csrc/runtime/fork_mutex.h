// SPDX-License-Identifier: BSD-3-Clause
// A mutex for what all threads of a process share.
#pragma once
#include <mutex>

namespace accel {

// fork() waits until no thread holds one: a child, which has none of those threads, finds it free, and what it guards
// whole. For objects that are never destroyed. No thread may take one while it holds another, as fork takes them all.
class ForkMutex : public std::mutex {
 public:
  ForkMutex();

 private:
  friend class ForkMutexes;
  ForkMutex* next_ = nullptr;
};

}  // namespace accel
