// SPDX-License-Identifier: BSD-3-Clause
// Every second lane of two vectors, and lanes of neighbouring vectors.
namespace accel::ACCEL_ISA {
namespace {

// Lanes FIRST, FIRST + STEP, ... of a and b, one behind the other.
template <int FIRST, int STEP, class V, int... I>
ACCEL_INLINE V pick_lanes(V a, V b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (FIRST + STEP * I)...);
}
using EachLane = std::make_integer_sequence<int, f32::lanes>;

template <class V>
ACCEL_INLINE V even_lanes(V a, V b) {
  return pick_lanes<0, 2>(a, b, EachLane());
}
template <class V>
ACCEL_INLINE V odd_lanes(V a, V b) {
  return pick_lanes<1, 2>(a, b, EachLane());
}
template <class V>
ACCEL_INLINE V from_last_lane(V a, V b) {  // the last of a, then b
  return pick_lanes<f32::lanes - 1, 1>(a, b, EachLane());
}
template <class V>
ACCEL_INLINE V from_second_lane(V a, V b) {  // a without its first, then the first of b
  return pick_lanes<1, 1>(a, b, EachLane());
}

}  // namespace
}  // namespace accel::ACCEL_ISA
