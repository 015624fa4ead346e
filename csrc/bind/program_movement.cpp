// SPDX-License-Identifier: BSD-3-Clause
// Steps of a Program that move elements, resample, or compute on plain arrays.
#include <pybind11/stl.h>

#include <algorithm>

#include "bind/program.h"
#include "kernels/broadcast/broadcast.h"
#include "kernels/movement/movement.h"
#include "kernels/resize/resize.h"
#include "kernels/softmax/softmax.h"

namespace accel::bind::program_movement_bindings {
namespace {

using Longs = std::vector<long>;

void add_copy_strided(PyProgram& p, int width, const Longs& sizes, const Side& from, Place x, const Side& to, Place y) {
  const Strided copy = make_strided(width, sizes, from, to);
  p.program.add([=](float* const* s, int threads) { copy_strided(copy, x.in(s), y.in(s), threads); });
}

void add_copy_window(PyProgram& p, const Map& from, Place x, const Map& to, Place y, int channel,
                     std::pair<int, int> first, std::pair<int, int> step, float value) {
  const MapWindow window{from, to, channel, first.first, step.first, first.second, step.second, value};
  check_map_window(window);
  p.program.add([=](float* const* s, int threads) { copy_window(window, x.in(s), y.in(s), threads); });
}

void add_channels_last(PyProgram& p, const Map& map, Place x, Place y) {
  require(map.blocked, "channels_last: map does not fit");
  p.program.add([=](float* const* s, int threads) { export_channels_last(map, x.in(s), y.in(s), threads); });
}

ResizeAxis axis_of(const std::vector<int>& cells, const std::vector<float>& weights, int size) {
  const int taps = weights.empty() ? 1 : static_cast<int>(cells.size()) / std::max(size, 1);
  return {taps, cells, weights};
}

void add_resize(PyProgram& p, const Map& from, Place x, const Map& to, Place y, const std::vector<int>& cells_h,
                const std::vector<float>& weights_h, const std::vector<int>& cells_w,
                const std::vector<float>& weights_w) {
  const auto spec = std::make_shared<const ResizeSpec>(
      ResizeSpec{from, to, axis_of(cells_h, weights_h, to.height), axis_of(cells_w, weights_w, to.width)});
  check_resize(*spec);
  const ResizeRow kernel = kResize[p.isa];
  p.program.add([=](float* const* s, int threads) { resize(*spec, kernel, x.in(s), y.in(s), threads); });
}

void add_softmax(PyProgram& p, long outer, long n, long inner, Place x, Place y) {
  require(outer >= 0 && n >= 1 && inner >= 1, "softmax: sizes must be positive");
  const SoftmaxSpec spec{outer, n, inner};
  const SoftmaxKernels& kernels = *kSoftmax[p.isa];
  p.program.add([=, &kernels](float* const* s, int threads) { softmax(spec, kernels, x.in(s), y.in(s), threads); });
}

void add_broadcast(PyProgram& p, Arithmetic kind, const Longs& shape_a, Place a, const Longs& shape_b, Place b,
                   Place y) {
  const BroadcastSpec spec = make_broadcast(kind, shape_a, shape_b);
  const BroadcastKernels& kernels = *kBroadcast[p.isa];
  p.program.add(
      [=, &kernels](float* const* s, int threads) { broadcast(spec, kernels, a.in(s), b.in(s), y.in(s), threads); });
}

void add_exponential(PyProgram& p, long n, Place x, Place y) {
  require(n >= 0, "exponential: size must not be negative");
  const BroadcastKernels& kernels = *kBroadcast[p.isa];
  p.program.add([=, &kernels](float* const* s, int threads) { exponential(kernels, n, x.in(s), y.in(s), threads); });
}

}  // namespace

void add(py::module_& m) {
  py::class_<Side>(m, "Side").def(
      py::init([](long first, const Longs& steps, long elements) { return Side{first, steps, elements}; }),
      py::arg("first"), py::arg("steps"), py::arg("elements"));
  py::enum_<Arithmetic>(m, "Arithmetic")
      .value("add", Arithmetic::add)
      .value("subtract", Arithmetic::subtract)
      .value("multiply", Arithmetic::multiply)
      .value("divide", Arithmetic::divide);
  py::class_<PyProgram> program(m.attr("Program"));
  program.def("copy_strided", &add_copy_strided)
      .def("copy_window", &add_copy_window, py::arg("source"), py::arg("x"), py::arg("target"), py::arg("y"),
           py::arg("channel"), py::arg("first"), py::arg("step"), py::arg("value"))
      .def("channels_last", &add_channels_last)
      .def("resize", &add_resize)
      .def("softmax", &add_softmax)
      .def("broadcast", &add_broadcast)
      .def("exponential", &add_exponential);
}

}  // namespace accel::bind::program_movement_bindings
