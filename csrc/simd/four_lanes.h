// SPDX-License-Identifier: BSD-3-Clause
// The words of sparse products where a vector has four lanes, the same for every such instruction set: included inside
// the namespace of each, after load, store and quad(a, b, c, d). See vec_avx512.h for what they mean.
ACCEL_INLINE f32 load_bits(const float* p, unsigned bits, f32 other) {
  if (bits == 0xf) return load(p);
  float t[4];
  store(t, other);
  for (unsigned i = 0; i < 4; ++i)
    if (bits >> i & 1u) t[i] = p[i];
  return load(t);
}
ACCEL_INLINE f32 quad(const float* p) { return load(p); }
ACCEL_INLINE void two_quads(const float* p, f32* two) { two[0] = load(p), two[1] = load(p + 4); }
ACCEL_INLINE f32 quad(const std::uint16_t* p) {
  std::uint32_t bits[4];
  for (int i = 0; i < 4; ++i) bits[i] = static_cast<std::uint32_t>(p[i]) << 16;
  float t[4];
  std::memcpy(t, bits, sizeof t);
  return load(t);
}
ACCEL_INLINE f32 quad(const std::int8_t* p) {
  return quad(static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]), static_cast<float>(p[3]));
}
struct QuadBook {
  const float* p;
  explicit ACCEL_FORCE_INLINE QuadBook(const float* book) : p(book) {}
};
ACCEL_INLINE f32 quad(const QuadBook& book, const std::uint8_t* nibbles) {
  return quad(book.p[nibbles[0] & 15], book.p[nibbles[0] >> 4], book.p[nibbles[1] & 15], book.p[nibbles[1] >> 4]);
}
using f32_quarter = f32;  // four lanes are all there are
ACCEL_INLINE f32_quarter zero_quarter() { return zero(); }
ACCEL_INLINE f32_quarter load_quarter(const float* p) { return load(p); }
ACCEL_INLINE void store_quarter(float* p, f32_quarter a) { store(p, a); }
ACCEL_INLINE f32_quarter quarter(f32 a) { return a; }
ACCEL_INLINE f32_quarter quarter(float a, float b, float c, float d) { return quad(a, b, c, d); }
