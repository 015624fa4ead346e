// SPDX-License-Identifier: BSD-3-Clause
// Instruction sets, slowest first. The order is the order of preference.
#pragma once
#include <cstddef>

#if defined(__x86_64__)
#define ACCEL_FOR_EACH_ISA(X) X(baseline) X(avx2) X(avx512)
#elif defined(__aarch64__)
#define ACCEL_FOR_EACH_ISA(X) X(baseline) X(neon)
#else
#define ACCEL_FOR_EACH_ISA(X) X(baseline)
#endif

namespace accel {

enum class Isa {
#define X(name) name,
  ACCEL_FOR_EACH_ISA(X)
#undef X
};

#define X(name) +1
inline constexpr std::size_t kIsaCount = 0 ACCEL_FOR_EACH_ISA(X);
#undef X

const char* isa_name(Isa isa) noexcept;
bool isa_supported(Isa isa) noexcept;  // by the processor and by the operating system
// Whether permutations of vectors run beside multiply-adds, not in their place. Intel's processors have two ports for
// multiply-adds of 64 bytes, and permute on one of them; what is broadcast by a load needs neither.
bool permutes_beside_fma() noexcept;

}  // namespace accel

// One row per instruction set, in the order of Isa.
#define ACCEL_ISA_ROW(isa) &isa::ACCEL_TABLE_ENTRY,
