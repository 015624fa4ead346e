// SPDX-License-Identifier: BSD-3-Clause
// The floating-point control register (MXCSR, FPCR): read it, and set it for one scope.
#pragma once
#include <cstdint>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace accel {

struct FloatMode {
  std::uint64_t bits = 0;

  static FloatMode current() noexcept {
#if defined(__x86_64__)
    return {_mm_getcsr()};
#elif defined(__aarch64__)
    std::uint64_t fpcr;
    asm volatile("mrs %0, fpcr" : "=r"(fpcr));
    return {fpcr};
#else
    return {};
#endif
  }
  // Denormal inputs and results are zero: one of them can make a layer a hundred times slower.
  FloatMode flushing_denormals() const noexcept {
#if defined(__x86_64__)
    return {bits | 0x8040u};  // FTZ | DAZ
#elif defined(__aarch64__)
    return {bits | (1u << 24)};
#else
    return *this;
#endif
  }
  void set() const noexcept {
#if defined(__x86_64__)
    _mm_setcsr(static_cast<unsigned>(bits));
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" ::"r"(bits));
#endif
  }

  class Scope;
};

class FloatMode::Scope {
 public:
  explicit Scope(FloatMode mode) noexcept : saved_(current()) { mode.set(); }
  ~Scope() { saved_.set(); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  FloatMode saved_;
};

}  // namespace accel
