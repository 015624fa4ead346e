// SPDX-License-Identifier: BSD-3-Clause
// Activations that a kernel applies to its result before or just after storing it.
//   y = min(high, max(low, x)) for `clamp`, which with infinite bounds is the identity and with low = 0 is ReLU.
// NaN stays NaN and -0 stays -0 in every one of them.
#pragma once
#include <limits>

namespace accel {

struct Activation {
  enum class Kind {
    clamp,
    leaky_relu,    // x < 0 ? a x : x
    hard_sigmoid,  // clamp(a x + b, 0, 1)
    hard_swish,    // x clamp(x / 6 + 1/2, 0, 1)
    sigmoid,       // 1 / (1 + exp(-x))
    swish,         // x sigmoid(x)
  };
  Kind kind = Kind::clamp;
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  float a = 0.f, b = 0.f;
};

}  // namespace accel
