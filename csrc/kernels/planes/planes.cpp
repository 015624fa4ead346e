// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/planes/planes.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "runtime/pool.h"
#define ACCEL_KERNEL_FILE "kernels/planes/planes.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kPlaneKernels
const PlaneKernels* const kPlanes[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

namespace {

ConvSpec as_conv(const PoolSpec& s) noexcept {
  ConvSpec spec;
  spec.input = s.input, spec.output = s.output;
  spec.kernel_h = s.kernel_h, spec.kernel_w = s.kernel_w, spec.stride_h = s.stride_h, spec.stride_w = s.stride_w;
  spec.top = s.top, spec.left = s.left, spec.dilation_h = s.dilation_h, spec.dilation_w = s.dilation_w;
  return spec;
}

bool has_halves(const ConvSpec& s) noexcept {
  const bool window = s.kernel_h == 2 && s.kernel_w == 2 && s.stride_h == 2 && s.stride_w == 2 && s.top == 0 &&
                      s.left == 0 && s.dilation_h == 1 && s.dilation_w == 1;
  return window && 2 * s.output.height <= s.input.height && 2 * s.output.width <= s.input.width;
}

bool same_sizes(const Map& a, const Map& b) {
  return !a.blocked && a.halo == 0 && a.images == b.images && a.channels == b.channels && a.height == b.height &&
         a.width == b.width;
}

const ConvSpec& checked(const ConvSpec& s, int threads) {
  const bool window = s.kernel_h > 0 && s.kernel_w > 0 && s.stride_h > 0 && s.stride_w > 0 && s.top >= 0 &&
                      s.left >= 0 && s.dilation_h > 0 && s.dilation_w > 0 && s.pool == 1 && s.fold == 1;
  const bool maps = window && TapShifts::fits(s) && s.input.images == s.output.images &&
                    s.input.channels == s.output.channels && (!s.has_residual || same_sizes(s.residual, s.output));
  if (!maps || threads < 1) throw std::invalid_argument("planes: maps, kernel or threads do not fit");
  return s;
}

// Tried: the next plane brought in, to a place of its own, before the work on one begins: no gain.
// Calls work(plane, window) for every plane, with what all windows have in common and x, beside which lies `outside`.
template <class F>
void for_planes(const ConvSpec& spec, const PlanePhases& phases, const PlaneKernels& kernels, const ConvArrays& arrays,
                float outside, int threads, F&& work) {
  const Map& out = spec.output;
  const long planes = static_cast<long>(out.images) * out.channels;
  const double loads = static_cast<double>(out.pixels()) * static_cast<double>(planes) * spec.kernel_h * spec.kernel_w;
  parallel(parts_for(loads, planes, threads), [&](int part, int parts) {
    const Range range = part_of(planes, part, parts);
    float* const x = arrays.scratch + part * phases.floats();
    std::fill_n(x, phases.floats(), outside);
    PlaneWindow w{};
    w.x = x, w.at = phases.at().data(), w.row = phases.row();
    w.kernel_h = spec.kernel_h, w.kernel_w = spec.kernel_w, w.height = out.height, w.width = out.width;
    w.shared = spec.stride_h == 1 && spec.dilation_h == 1;
    for (long plane = range.begin; plane < range.end; ++plane) {
      phases.split(arrays.x + plane * spec.input.plane, x, kernels.copy);
      w.y = arrays.y + plane * out.plane;
      work(plane, w);
    }
  });
}

}  // namespace

PlaneDepthwise::PlaneDepthwise(const ConvSpec& spec, const PlaneKernels& kernels, int threads)
    : spec_(checked(spec, threads)), kernels_(kernels), threads_(threads), phases_(spec, kernels.lanes) {}

std::size_t PlaneDepthwise::weight_floats() const noexcept {
  return static_cast<std::size_t>(spec_.output.channels) * phases_.at().size();
}

void PlaneDepthwise::run(const ConvArrays& arrays, int threads) const noexcept {
  const Map& out = spec_.output;
  for_planes(spec_, phases_, kernels_, arrays, 0.f, std::min(threads, threads_), [&](long plane, PlaneWindow& w) {
    const long c = plane % out.channels;
    w.weights = arrays.weights + c * std::ssize(phases_.at());
    w.bias = arrays.bias[c];
    w.activation = spec_.activation;
    if (arrays.residual) w.residual = arrays.residual + plane * out.plane;
    kernels_.convolve(w);
  });
}

bool plane_maximum_fits(const PoolSpec& spec) noexcept {
  return spec.kind == PoolSpec::Kind::max && spec.stride_w > 0 && TapShifts::fits(as_conv(spec));
}

PlaneMaximum::PlaneMaximum(const PoolSpec& spec, const PlaneKernels& kernels, int threads)
    : spec_(checked(as_conv(spec), threads)),
      kernels_(kernels),
      threads_(threads),
      phases_(spec_, kernels.lanes),
      halves_(has_halves(spec_)) {}

void PlaneMaximum::run_halves(const float* x, float* y, int threads) const noexcept {
  const Map &in = spec_.input, &out = spec_.output;
  const long planes = static_cast<long>(out.images) * out.channels;
  parallel(parts_for(static_cast<double>(planes * in.plane), planes, threads), [&](int part, int parts) {
    const Range range = part_of(planes, part, parts);
    for (long p = range.begin; p < range.end; ++p)
      kernels_.halves(x + p * in.plane, in.width, out.height, out.width, y + p * out.plane);
  });
}

void PlaneMaximum::run(const float* x, float* y, float* scratch, int threads) const noexcept {
  if (halves_) return run_halves(x, y, std::min(threads, threads_));
  const float outside = -std::numeric_limits<float>::infinity();
  for_planes(spec_, phases_, kernels_, {x, nullptr, nullptr, nullptr, y, scratch}, outside, std::min(threads, threads_),
             [&](long, PlaneWindow& w) { kernels_.maximum(w); });
}

}  // namespace accel
