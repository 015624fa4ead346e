// SPDX-License-Identifier: BSD-3-Clause
// Windows over planes, for maps that are not blocked: depthwise convolution and max-pooling. Lanes are the pixels of a
// row; each plane is first copied to where it has a border (phases.h), but not for the largest of each 2 x 2, which
// need none. Maps are plain, without halos, and such that TapShifts fits.
#pragma once
#include <cstdint>

#include "kernels/planes/phases.h"
#include "kernels/planes/shifts.h"
#include "kernels/pool/pool.h"

namespace accel {

struct PlaneWindow {       // one output plane
  const float* x;          // its phases
  const std::int32_t* at;  // and row, as PlanePhases has them
  long row;
  int kernel_h, kernel_w;
  bool shared;  // tap rows lie one row apart: a row that is loaded serves all
  int height, width;
  const float *weights, *residual;  // of convolution
  float bias;
  float* y;
  Activation activation;
};
struct PlaneKernels {
  int lanes;
  void (*convolve)(const PlaneWindow&) noexcept;
  void (*maximum)(const PlaneWindow&) noexcept;  // NaN where a window has one
  // The same for windows of 2 x 2 side by side: y[rows][columns] of a plane whose rows lie `row` apart.
  void (*halves)(const float* x, long row, long rows, long columns, float* y) noexcept;
  CopyEvery copy;
};
extern const PlaneKernels* const kPlanes[kIsaCount];

// spec.groups is ignored: one filter a channel. Weights: [channel][tap]. residual may be y.
class PlaneDepthwise final : public PreparedConv {
 public:
  // `threads`: the most that run() will be asked for.
  PlaneDepthwise(const ConvSpec& spec, const PlaneKernels& kernels, int threads);
  void run(const ConvArrays& arrays, int threads) const noexcept override;
  std::size_t weight_floats() const noexcept override;
  std::size_t bias_floats() const noexcept override { return static_cast<std::size_t>(spec_.output.channels); }
  long scratch_floats() const noexcept override { return threads_ * phases_.floats(); }

 private:
  ConvSpec spec_;
  const PlaneKernels& kernels_;
  int threads_;
  PlanePhases phases_;
};

class PlaneMaximum {
 public:
  PlaneMaximum(const PoolSpec& spec, const PlaneKernels& kernels, int threads);
  void run(const float* x, float* y, float* scratch, int threads) const noexcept;
  long scratch_floats() const noexcept { return threads_ * phases_.floats(); }

 private:
  void run_halves(const float* x, float* y, int threads) const noexcept;

  ConvSpec spec_;
  const PlaneKernels& kernels_;
  int threads_;
  PlanePhases phases_;
  bool halves_;  // windows of 2 x 2 side by side, none of which reaches beyond the image
};

// Whether a pooling can run over planes.
bool plane_maximum_fits(const PoolSpec& spec) noexcept;

}  // namespace accel
