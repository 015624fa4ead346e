// SPDX-License-Identifier: BSD-3-Clause
// Every second lane of two vectors, and lanes of neighbouring vectors.
namespace accel::ACCEL_ISA {
namespace {

template <class V>
ACCEL_INLINE V even_lanes(V a, V b) {  // of a, then of b
  if constexpr (f32::lanes == 16)
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  else if constexpr (f32::lanes == 8)
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
  else
    return __builtin_shufflevector(a, b, 0, 2, 4, 6);
}

template <class V>
ACCEL_INLINE V odd_lanes(V a, V b) {
  if constexpr (f32::lanes == 16)
    return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  else if constexpr (f32::lanes == 8)
    return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
  else
    return __builtin_shufflevector(a, b, 1, 3, 5, 7);
}

template <class V>
ACCEL_INLINE V from_last_lane(V a, V b) {  // the last of a, then b
  if constexpr (f32::lanes == 16)
    return __builtin_shufflevector(a, b, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
  else if constexpr (f32::lanes == 8)
    return __builtin_shufflevector(a, b, 7, 8, 9, 10, 11, 12, 13, 14);
  else
    return __builtin_shufflevector(a, b, 3, 4, 5, 6);
}

template <class V>
ACCEL_INLINE V from_second_lane(V a, V b) {  // a without its first, then the first of b
  if constexpr (f32::lanes == 16)
    return __builtin_shufflevector(a, b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
  else if constexpr (f32::lanes == 8)
    return __builtin_shufflevector(a, b, 1, 2, 3, 4, 5, 6, 7, 8);
  else
    return __builtin_shufflevector(a, b, 1, 2, 3, 4);
}

}  // namespace
}  // namespace accel::ACCEL_ISA
