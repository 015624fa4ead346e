// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/sparse/sparse.h"

#include <bit>

namespace accel {

float csr_value(const CsrView& a, long p) noexcept {
  switch (a.kind) {
    case ValueKind::f32:
      return static_cast<const float*>(a.values)[p];
    case ValueKind::bf16:
      return std::bit_cast<float>(static_cast<std::uint32_t>(static_cast<const std::uint16_t*>(a.values)[p]) << 16);
    case ValueKind::i8:
      return static_cast<float>(static_cast<const std::int8_t*>(a.values)[p]);
    case ValueKind::code16:
    case ValueKind::code256:
      return a.book[static_cast<const std::uint8_t*>(a.values)[p]];
  }
  return 0.f;
}

}  // namespace accel
