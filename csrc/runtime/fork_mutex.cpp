// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/fork_mutex.h"

#include <pthread.h>

namespace accel {

// Of the process. Its own mutex is held during a fork, too: no other may appear between locking and unlocking all.
class ForkMutexes {
 public:
  static void add(ForkMutex& mutex) {
    const std::scoped_lock lock(guard_);
    if (first_ == nullptr) pthread_atfork(lock_all, unlock_all, unlock_all);
    mutex.next_ = first_;
    first_ = &mutex;
  }

 private:
  static void lock_all() {
    guard_.lock();
    for (ForkMutex* m = first_; m != nullptr; m = m->next_) m->lock();
  }
  static void unlock_all() {
    for (ForkMutex* m = first_; m != nullptr; m = m->next_) m->unlock();
    guard_.unlock();
  }

  static constinit std::mutex guard_;
  static constinit ForkMutex* first_;  // the newest
};
constinit std::mutex ForkMutexes::guard_;
constinit ForkMutex* ForkMutexes::first_ = nullptr;

ForkMutex::ForkMutex() { ForkMutexes::add(*this); }

}  // namespace accel
