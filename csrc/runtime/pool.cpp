// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "runtime/float_mode.h"

namespace accel {
namespace {

inline void pause_cpu() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

constexpr int kSpins = 2500;  // about 45 us of PAUSE on Zen 4: longer than most serial steps of a session
// A call that comes so soon after a worker became idle makes it wait awake for the next: docs/decisions/0007.
constexpr std::int64_t kSoonNs = 45'000;

std::int64_t now_ns() noexcept {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Pool {
 public:
  void run(int parts, PartFn fn, void* context) {
    if (busy_.exchange(true, std::memory_order_acquire)) {  // by another thread, or by a kernel that called this one
      for (int i = 0; i < parts; ++i) fn(context, i, parts);
      return;
    }
    grow(parts - 1);
    const int called = std::min(parts - 1, static_cast<int>(workers_.size()));
    fn_ = fn, context_ = context, parts_ = parts, mode_ = FloatMode::current();
    remaining_.store(called, std::memory_order_relaxed);
    called_.store(now_ns(), std::memory_order_relaxed);
    for (int i = 0; i < called; ++i) {
      workers_[static_cast<std::size_t>(i)]->epoch.fetch_add(1, std::memory_order_release);
      workers_[static_cast<std::size_t>(i)]->epoch.notify_one();
    }
    fn(context, 0, parts);
    for (int i = called + 1; i < parts; ++i) fn(context, i, parts);  // no thread to be had
    // Tried: waiting for workers that are not awake yet. Where another process has their cores they wait for this one.
    // Tried: workers that sleep at once where they are on the caller's processor. No gain, on one processor or two.
    for (int i = 0; i < called; ++i) {
      Worker& worker = *workers_[static_cast<std::size_t>(i)];
      if (!worker.claim(worker.epoch.load(std::memory_order_relaxed))) continue;
      fn(context, i + 1, parts);
      remaining_.fetch_sub(1, std::memory_order_relaxed);
    }
    for (int left, spins = 0; (left = remaining_.load(std::memory_order_acquire)) != 0; ++spins) {
      if (spins < kSpins)
        pause_cpu();
      else
        remaining_.wait(left, std::memory_order_acquire);
    }
    busy_.store(false, std::memory_order_release);
  }

  std::atomic<int> awake{0};

 private:
  // A worker waits for its own epoch to change: a call of two parts does not disturb what a call of many left behind.
  // Whoever claims an epoch, the worker or the caller, does its part.
  struct alignas(64) Worker {
    std::atomic<std::uint32_t> epoch{0}, claimed{0};
    bool claim(std::uint32_t now) {
      std::uint32_t before = now - 1;
      return claimed.compare_exchange_strong(before, now, std::memory_order_acq_rel);
    }
  };

  void grow(int workers) {
    try {
      workers_.reserve(static_cast<std::size_t>(workers));  // so that no worker is lost that a thread waits on
      while (static_cast<int>(workers_.size()) < workers) {
        const int part = static_cast<int>(workers_.size()) + 1;
        auto worker = std::make_unique<Worker>();
        std::thread([this, part, w = worker.get()] { work(part, *w); }).detach();
        workers_.push_back(std::move(worker));
      }
    } catch (const std::exception&) {
      // The system refuses another thread: the caller does those parts itself.
    }
  }

  void work(int part, Worker& worker) {
    bool soon = false;  // calls follow each other closely
    for (std::uint32_t seen = 0;;) {
      const std::int64_t idle = now_ns();
      for (int spins = 0; worker.epoch.load(std::memory_order_acquire) == seen; ++spins) {
        if (spins < kSpins && (soon || awake.load(std::memory_order_relaxed) > 0))
          pause_cpu();
        else
          worker.epoch.wait(seen, std::memory_order_acquire);
      }
      soon = called_.load(std::memory_order_relaxed) - idle < kSoonNs;
      seen = worker.epoch.load(std::memory_order_acquire);
      if (!worker.claim(seen)) continue;
      {
        const FloatMode::Scope scope(mode_);
        fn_(context_, part, parts_);
      }
      if (remaining_.fetch_sub(1, std::memory_order_acq_rel) == 1) remaining_.notify_one();
    }
  }

  // Nothing here is thread_local: glibc makes room for a library's own at a thread's first use of them, and where there
  // is none ends the process, with exit code 127.
  std::atomic<bool> busy_{false};
  std::vector<std::unique_ptr<Worker>> workers_;  // never shrinks
  std::atomic<int> remaining_{0};
  std::atomic<std::int64_t> called_{0};  // when the last call began
  PartFn fn_ = nullptr;
  void* context_ = nullptr;
  int parts_ = 0;
  FloatMode mode_{};
};

Pool* g_pool = nullptr;
std::atomic<int> g_thread_limit{0};

// Never destroyed: its threads live as long as the process. A forked child has none of them and takes a new pool.
Pool& pool() {
  [[maybe_unused]] static const bool once = [] {  // std::call_once has something thread_local
    g_pool = new Pool;
    return pthread_atfork(nullptr, nullptr, [] { g_pool = new Pool; }) == 0;
  }();
  return *g_pool;
}

int read_cgroup_quota() noexcept {
  long quota = -1, period = -1;
  if (std::FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    if (std::fscanf(f, "%ld %ld", &quota, &period) != 2) quota = -1;
    std::fclose(f);
  }
  return quota > 0 && period > 0 ? static_cast<int>((quota + period - 1) / period) : 1 << 20;
}

// Read again after a second: reading takes 5 us, and a container's limit can be changed while it runs.
int cgroup_quota() noexcept {
  using Clock = std::chrono::steady_clock;
  constexpr Clock::rep kSecond = Clock::duration(std::chrono::seconds(1)).count();
  static std::atomic<Clock::rep> next{0};
  static std::atomic<int> quota{0};
  const Clock::rep now = Clock::now().time_since_epoch().count();
  if (quota.load(std::memory_order_relaxed) == 0 || now >= next.load(std::memory_order_relaxed)) {
    quota.store(read_cgroup_quota(), std::memory_order_relaxed);
    next.store(now + kSecond, std::memory_order_relaxed);
  }
  return quota.load(std::memory_order_relaxed);
}

}  // namespace

void parallel_parts(int parts, PartFn fn, void* context) {
  if (parts <= 1) {
    if (parts == 1) fn(context, 0, 1);
    return;
  }
  pool().run(parts, fn, context);
}

int parts_for(double work, long units, int threads) noexcept {
  constexpr double kWorthAThread = 2e5;
  const double most = std::max(1.0, work / kWorthAThread);
  return static_cast<int>(std::max(1.0, std::min({most, static_cast<double>(units), static_cast<double>(threads)})));
}

AwakeWorkers::AwakeWorkers(int threads) noexcept : active_(threads > 1) {
  if (active_) pool().awake.fetch_add(1, std::memory_order_relaxed);
}
AwakeWorkers::~AwakeWorkers() {
  if (active_) pool().awake.fetch_sub(1, std::memory_order_relaxed);
}

int usable_threads() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int affinity = sched_getaffinity(0, sizeof set, &set) == 0
                           ? CPU_COUNT(&set)
                           : static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, std::min(affinity, cgroup_quota()));
}

int thread_limit() noexcept { return g_thread_limit.load(std::memory_order_relaxed); }

extern "C" int accel_get_num_threads() noexcept {
  const int limit = thread_limit();
  return limit > 0 ? limit : usable_threads();
}
// As many as there are is no limit: threadpoolctl restores by it, and the environment holds again.
extern "C" void accel_set_num_threads(int threads) noexcept {
  g_thread_limit.store(threads > 0 && threads != usable_threads() ? threads : 0, std::memory_order_relaxed);
}

}  // namespace accel
