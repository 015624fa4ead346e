// SPDX-License-Identifier: BSD-3-Clause
// A sparse matrix as compressed sparse rows, the form that every packing of this folder starts from.
#pragma once
#include <cstdint>

namespace accel {

// How the values are stored.
enum class ValueKind {
  f32,
  bf16,     // the upper half of a float32
  i8,       // times a scale per row
  code16,   // one byte a code in memory before packing, below 16, into a codebook
  code256,  // the same, below 256
};
inline constexpr int kValueKinds = 5;

inline constexpr int value_bytes(ValueKind kind) noexcept {
  return kind == ValueKind::f32 ? 4 : kind == ValueKind::bf16 ? 2 : 1;
}

// Arrays that belong to the caller and are valid: indptr ascends from 0, the columns of each row ascend.
struct CsrView {
  long rows, columns;
  const std::int32_t* indptr;   // [rows + 1]
  const std::int32_t* indices;  // [nnz]
  ValueKind kind;
  const void* values;  // [nnz] of float, uint16, int8 or uint8
  const float* scale;  // [rows] for i8, else null
  const float* book;   // [16] or [256] for codes, unused entries 0; else null
};

}  // namespace accel
