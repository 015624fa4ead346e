// SPDX-License-Identifier: BSD-3-Clause
// One thread pool per process. A parallel call is cut into `parts`; part 0 runs in the caller, and after it those that
// no worker has begun. Parts are static, so results do not depend on timing, and nor do they on who does which. A
// nested call, or one made while the pool is busy, runs serially in its caller. Workers start at the first parallel
// call and are started afresh after a fork. They sleep when idle, but for 45 us after a call that closely followed
// another: docs/decisions/0007-workers-wait-awake-between-close-calls.md.
#pragma once
#include <atomic>
#include <type_traits>
#include <utility>

namespace accel {

using PartFn = void (*)(void* context, int part, int parts);

void parallel_parts(int parts, PartFn fn, void* context);

// Calls f(part, parts) for part = 0 .. parts-1.
template <class F>
void parallel(int parts, F&& f) {
  using Fn = std::remove_reference_t<F>;
  parallel_parts(
      parts, [](void* c, int part, int n) { (*static_cast<Fn*>(c))(part, n); },
      const_cast<void*>(static_cast<const void*>(&f)));
}

// Calls f(piece, pieces) for piece = 0 .. pieces-1; each of `threads` takes the next one when it is done, so that a
// worker that has to be woken does less. Which thread that is depends on timing: for pieces that share no scratch.
template <class F>
void parallel_pieces(int threads, int pieces, F&& f) {
  std::atomic<int> next{0};
  parallel(threads, [&](int, int) {
    for (int piece; (piece = next.fetch_add(1, std::memory_order_relaxed)) < pieces;) f(piece, pieces);
  });
}
inline constexpr int kPieces = 8;  // of a thread's work

// The half-open range of `count` items that belongs to `part`; sizes differ by at most one.
struct Range {
  long begin, end;
};
inline Range part_of(long count, int part, int parts) noexcept {
  return {count * part / parts, count * (part + 1) / parts};
}

// How many threads `work` (multiply-adds or floats moved) in `units` that can be split is worth, at most `threads`:
// each wants about 5 us of it, which is what waking a sleeping thread costs.
int parts_for(double work, long units, int threads) noexcept;

int usable_threads() noexcept;  // affinity and cgroup quota

// A process-wide thread count for threadpoolctl, which finds these two by name; 0 where none is set.
extern "C" {
__attribute__((visibility("default"))) int accel_get_num_threads() noexcept;
__attribute__((visibility("default"))) void accel_set_num_threads(int threads) noexcept;
}
int thread_limit() noexcept;

// While one is alive, idle workers wait a few microseconds awake for the next step of the run.
class AwakeWorkers {
 public:
  explicit AwakeWorkers(int threads) noexcept;
  ~AwakeWorkers();
  AwakeWorkers(const AwakeWorkers&) = delete;
  AwakeWorkers& operator=(const AwakeWorkers&) = delete;

 private:
  bool active_;
};

}  // namespace accel
