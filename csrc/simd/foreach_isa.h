// SPDX-License-Identifier: BSD-3-Clause
// Compiles ACCEL_KERNEL_FILE once per instruction set, each time inside
// namespace accel::ACCEL_ISA with that instruction set switched on.
// Include every standard header the kernel needs BEFORE this file, or its
// inline functions are compiled for the wrong instruction set.
#ifndef ACCEL_KERNEL_FILE
#error "define ACCEL_KERNEL_FILE before including foreach_isa.h"
#endif

#include <cstdint>
#include <cstring>

#include "simd/isa.h"
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define ACCEL_PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#define ACCEL_TARGET_BEGIN(t) ACCEL_PRAGMA(clang attribute push(__attribute__((target(t))), apply_to = function))
#define ACCEL_TARGET_END _Pragma("clang attribute pop")
#define ACCEL_UNROLL(n) ACCEL_PRAGMA(unroll n)
#define ACCEL_WIDE  // clang does not know the option, and its intrinsics keep their width without it
#else
#define ACCEL_TARGET_BEGIN(t) _Pragma("GCC push_options") ACCEL_PRAGMA(GCC target(t))
#define ACCEL_TARGET_END _Pragma("GCC pop_options")
#define ACCEL_UNROLL(n) ACCEL_PRAGMA(GCC unroll n)
#define ACCEL_WIDE ",prefer-vector-width=512"
// GCC 12's own AVX-512 headers trip these two.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
// Makes a pointer's value unknown to the compiler: GCC otherwise computes every address of an unrolled loop before it,
// and spills them.
#define ACCEL_OPAQUE(p) asm("" : "+r"(p))
#define ACCEL_STEP_END asm volatile("" ::: "memory")  // no load moves across
#define ACCEL_INLINE static inline __attribute__((always_inline))
#define ACCEL_FORCE_INLINE inline __attribute__((always_inline))  // for members

// For #include: PREFIX<isa>.h, of the instruction set in force.
#define ACCEL_STRING_(x) #x
#define ACCEL_STRING(x) ACCEL_STRING_(x)
// clang-format off
#define ACCEL_ISA_PATH(prefix, isa) ACCEL_STRING(prefix##isa.h)
// clang-format on
#define ACCEL_ISA_FILE_(prefix, isa) ACCEL_ISA_PATH(prefix, isa)
#define ACCEL_ISA_FILE(prefix) ACCEL_ISA_FILE_(prefix, ACCEL_ISA)

#define ACCEL_ISA baseline
#include "simd/vec_baseline.h"
#include ACCEL_KERNEL_FILE
#undef ACCEL_ISA

#if defined(__x86_64__)
ACCEL_TARGET_BEGIN("avx2,fma,popcnt,bmi,bmi2,f16c,lzcnt")
#define ACCEL_ISA avx2
#include "simd/vec_avx2.h"
#include ACCEL_KERNEL_FILE
#undef ACCEL_ISA
ACCEL_TARGET_END

ACCEL_TARGET_BEGIN(
    "avx2,fma,popcnt,bmi,bmi2,f16c,lzcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vpopcntdq,avx512bitalg,"
    "avx512vbmi,avx512vbmi2,pclmul,vpclmulqdq" ACCEL_WIDE)
#define ACCEL_ISA avx512
#include "simd/vec_avx512.h"
#include ACCEL_KERNEL_FILE
#undef ACCEL_ISA
ACCEL_TARGET_END
#elif defined(__aarch64__)
#define ACCEL_ISA neon
#include "simd/vec_neon.h"
#include ACCEL_KERNEL_FILE
#undef ACCEL_ISA
#endif
