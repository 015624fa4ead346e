// SPDX-License-Identifier: BSD-3-Clause
#include "simd/isa.h"

namespace accel {

const char* isa_name(Isa isa) noexcept {
  constexpr const char* kNames[] = {
#define X(name) #name,
      ACCEL_FOR_EACH_ISA(X)
#undef X
  };
  return kNames[static_cast<std::size_t>(isa)];
}

bool isa_supported(Isa isa) noexcept {
#if defined(__x86_64__)
  // __builtin_cpu_supports also asks the OS (XGETBV), unlike raw CPUID.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  switch (isa) {
    case Isa::avx512:  // the Ice Lake / Zen 4 cluster, see kAvx512 in foreach_isa.h
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vpopcntdq") &&
             __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("avx512vbmi") &&
             __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("vpclmulqdq");
    case Isa::avx2:
      return avx2;
    case Isa::baseline:
      return true;
  }
  return false;
#else
  (void)isa;  // NEON belongs to every aarch64
  return true;
#endif
}

bool permutes_beside_fma() noexcept {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return !__builtin_cpu_is("intel");
#else
  return true;
#endif
}

}  // namespace accel
