// SPDX-License-Identifier: BSD-3-Clause
// y = f(a op b) over blocked maps of the same sizes, each with a halo of its own. b may also be one value per image
// and channel (contiguous images x channels). y may be a or b.
#pragma once
#include "kernels/activation/activation.h"
#include "kernels/layout/map.h"
#include "simd/isa.h"

namespace accel {

struct ElementwiseSpec {
  enum class Kind { copy, add, subtract, multiply };  // copy: y = f(a)
  Kind kind = Kind::copy;
  Map a, b, y;
  bool b_per_channel = false;
  Activation activation;
};

// `pixels` neighbours of one block; where b is per channel, it holds 16 values for all of them. Copy never reads it.
using ElementwiseFn = void (*)(const ElementwiseSpec&, const float* a, const float* b, float* y, long pixels) noexcept;
extern const ElementwiseFn kElementwise[kIsaCount];

void check_elementwise(const ElementwiseSpec& spec);  // throws std::invalid_argument
void elementwise(const ElementwiseSpec& spec, ElementwiseFn kernel, const float* a, const float* b, float* y,
                 int threads) noexcept;

}  // namespace accel
