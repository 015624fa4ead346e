// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/depthwise/depthwise.h"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "kernels/layout/layout.h"
#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/depthwise/depthwise.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY depthwise_rows
const DepthwiseFn kDepthwise[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

void pack_depthwise(const float* w, long channels, long taps, float* packed) noexcept {
  const long blocks = (channels + kBlock - 1) / kBlock;
  for (long c = 0; c < blocks * kBlock; ++c)
    for (long t = 0; t < taps; ++t)
      packed[(c / kBlock * taps + t) * kBlock + c % kBlock] = c < channels ? w[c * taps + t] : 0.f;
}

Depthwise::Depthwise(const ConvSpec& spec, DepthwiseFn kernel) : spec_(spec), kernel_(kernel) {
  check_conv(spec);
  if (!spec.input.blocked || spec.pool != 1 || spec.input.channels != spec.output.channels)
    throw std::invalid_argument("depthwise: maps do not fit");
  for (int p = 0; p < spec.kernel_h; ++p)
    for (int q = 0; q < spec.kernel_w; ++q)
      taps_.push_back(static_cast<std::int32_t>((p * spec.dilation_h - spec.top) * spec.input.row +
                                                (q * spec.dilation_w - spec.left) * kBlock));
}

std::size_t Depthwise::weight_floats() const noexcept {
  return static_cast<std::size_t>(spec_.output.planes()) * kBlock * taps_.size();
}

void Depthwise::run(const ConvArrays& arrays, int threads) const noexcept {
  const auto [x, weights, bias, residual, y, scratch, upcoming] = arrays;
  const Map &in = spec_.input, &out = spec_.output, &res = spec_.residual;
  const long rows = static_cast<long>(out.images) * out.planes() * out.height;
  const double macs = static_cast<double>(rows) * out.width * kBlock * static_cast<double>(taps_.size());
  parallel(parts_for(macs, rows, threads), [&](int part, int parts) {
    const Range range = part_of(rows, part, parts);
    DepthwiseRow d{};
    d.x_step = static_cast<long>(spec_.stride_w) * kBlock;
    d.x_row = spec_.stride_h * in.row;
    d.taps = taps_.data();
    d.tap_count = static_cast<int>(taps_.size());
    const bool square = spec_.kernel_h == spec_.kernel_w && spec_.stride_h == spec_.stride_w && spec_.dilation_h == 1 &&
                        spec_.dilation_w == 1;
    d.kernel = square ? spec_.kernel_h : 0;
    d.stride = square ? spec_.stride_h : 0;
    d.x_line = in.row;
    d.y_row = out.row;
    d.residual_row = res.row;
    d.width = out.width;
    d.activation = spec_.activation;
    for (long i = range.begin; i < range.end; i += d.rows) {
      const long plane = i / out.height, first = i % out.height, image = plane / out.planes(), p = plane % out.planes();
      d.rows = static_cast<int>(std::min(range.end - i, out.height - first));
      d.x = x + image * in.image + p * in.plane + in.origin() + first * spec_.stride_h * in.row;
      d.weights = weights + p * static_cast<long>(taps_.size()) * kBlock;
      d.bias = bias + p * kBlock;
      if (residual) d.residual = residual + image * res.image + p * res.plane + res.origin() + first * res.row;
      d.y = y + image * out.image + p * out.plane + out.origin() + first * out.row;
      kernel_(d);
      zero_halo_rows(out, y + image * out.image + p * out.plane, first, first + d.rows);
    }
  });
}

}  // namespace accel
