// SPDX-License-Identifier: BSD-3-Clause
// Convolutions prepared for one shape, and their weights.
#include "kernels/conv/conv.h"

#include <pybind11/stl.h>

#include <array>
#include <memory>

#include "bind/bind.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/fft/fft.h"
#include "kernels/im2col/im2col.h"
#include "kernels/layout/fold.h"
#include "kernels/winograd/winograd.h"

namespace accel::bind::conv_bindings {
namespace {

using Prepared = std::shared_ptr<PreparedConv>;

Prepared prepare_direct(int isa, const ConvSpec& spec) {
  return std::make_shared<Conv>(spec, *kTileSets[checked_isa(isa)]);
}

Prepared prepare_depthwise(int isa, const ConvSpec& spec) {
  return std::make_shared<Depthwise>(spec, kDepthwise[checked_isa(isa)]);
}

Prepared prepare_winograd(int isa, const ConvSpec& spec, int m, int threads, std::pair<int, int> blocking) {
  const std::size_t i = checked_isa(isa);
  check_conv(spec);
  return std::make_shared<Winograd>(spec, winograd_kernels(i, m, spec.kernel_h, spec.stride_h), *kTileSets[i],
                                    WinogradBlocking{blocking.first, blocking.second}, threads);
}

Prepared prepare_im2col(int isa, const ConvSpec& spec, int threads) {
  return std::make_shared<Im2col>(spec, *kTileSets[checked_isa(isa)], threads);
}

Prepared prepare_fft(int isa, const ConvSpec& spec, int threads, std::pair<int, int> blocking) {
  const std::size_t i = checked_isa(isa);
  return std::make_shared<FftConv>(spec, *kFft[i], *kTileSets[i], FftBlocking{blocking.first, blocking.second},
                                   threads);
}

// Runs f() without the interpreter's lock, and has it again where the result is copied: that touches a Python object.
template <class F>
void without_gil(F&& f) {
  const Unlocked unlocked;
  f();
}

Array<float> packed(const Array<float>& w, long inner, int threads, const Array<float>& out) {
  require(w.ndim() == 3 && inner >= 1, "pack: expected (out, depth, taps) and inner >= 1");
  const long o = w.shape(0), d = w.shape(1), t = w.shape(2);
  require(static_cast<std::size_t>(out.size()) >= packed_size(o, d, t), "pack: out is too small");
  float* to = const_cast<float*>(out.data());
  without_gil([&] { pack_weights(w.data(), o, d, t, inner, to, threads); });
  return out;
}

Array<float> packed_depthwise(const Array<float>& w, const Array<float>& out) {
  require(w.ndim() == 2, "pack_depthwise: expected (channels, taps)");
  const long c = w.shape(0), t = w.shape(1);
  require(static_cast<std::size_t>(out.size()) >= static_cast<std::size_t>((c + kBlock - 1) / kBlock * kBlock * t),
          "pack_depthwise: out is too small");
  pack_depthwise(w.data(), c, t, const_cast<float*>(out.data()));
  return out;
}

std::size_t size_of_winograd(long out, long depth, int m, int kernel, int stride) {
  return winograd_size(out, depth, winograd_kernels(0, m, kernel, stride));
}

Array<float> packed_winograd(int isa, const Array<float>& w, int m, int stride, int threads, const Array<float>& out) {
  require(w.ndim() == 4 && w.shape(2) == w.shape(3), "pack_winograd: expected (out, depth, k, k)");
  const long o = w.shape(0), d = w.shape(1);
  const WinogradKernels& kernels = winograd_kernels(checked_isa(isa), m, static_cast<int>(w.shape(2)), stride);
  require(static_cast<std::size_t>(out.size()) >= winograd_size(o, d, kernels), "pack_winograd: out is too small");
  float* to = const_cast<float*>(out.data());
  without_gil([&] { pack_winograd(w.data(), o, d, kernels, to, threads); });
  return out;
}

Array<float> packed_fft(const Array<float>& w, int threads, const Array<float>& out) {
  require(w.ndim() == 4 && w.shape(2) <= kMostFftKernel && w.shape(3) <= kMostFftKernel,
          "pack_fft: expected (out, depth, kh, kw), kh and kw at most 13");
  const long o = w.shape(0), d = w.shape(1);
  const int kh = static_cast<int>(w.shape(2)), kw = static_cast<int>(w.shape(3));
  require(static_cast<std::size_t>(out.size()) >= fft_size(o, d, w.shape(2) * w.shape(3)),
          "pack_fft: out is too small");
  float* to = const_cast<float*>(out.data());
  without_gil([&] { pack_fft(w.data(), o, d, kh, kw, to, threads); });
  return out;
}

FoldSpec fold_spec(const std::array<int, 4>& shape, int stride, int top, int left, const Map& output) {
  const FoldSpec spec{shape[0], shape[1], shape[2], shape[3], stride, top, left, output};
  check_fold(spec);
  return spec;
}

}  // namespace

void add(py::module_& m) {
  py::class_<ConvSpec>(m, "ConvSpec")
      .def(py::init<>())
      .def_readwrite("input", &ConvSpec::input)
      .def_readwrite("output", &ConvSpec::output)
      .def_property(
          "kernel", [](const ConvSpec& s) { return std::pair(s.kernel_h, s.kernel_w); },
          [](ConvSpec& s, std::pair<int, int> v) { std::tie(s.kernel_h, s.kernel_w) = v; })
      .def_property(
          "strides", [](const ConvSpec& s) { return std::pair(s.stride_h, s.stride_w); },
          [](ConvSpec& s, std::pair<int, int> v) { std::tie(s.stride_h, s.stride_w) = v; })
      .def_property(
          "before", [](const ConvSpec& s) { return std::pair(s.top, s.left); },
          [](ConvSpec& s, std::pair<int, int> v) { std::tie(s.top, s.left) = v; })
      .def_property(
          "dilations", [](const ConvSpec& s) { return std::pair(s.dilation_h, s.dilation_w); },
          [](ConvSpec& s, std::pair<int, int> v) { std::tie(s.dilation_h, s.dilation_w) = v; })
      .def_readwrite("groups", &ConvSpec::groups)
      .def_readwrite("pool", &ConvSpec::pool)
      .def_property(
          "fold", [](const ConvSpec& s) { return std::pair(s.fold, s.folded_kernel); },
          [](ConvSpec& s, std::pair<int, int> v) {
            require(v.first >= 1 && v.second >= 0, "fold: expected a stride >= 1 and a kernel >= 0");
            std::tie(s.fold, s.folded_kernel) = v;
          })
      .def_property(
          "residual", [](const ConvSpec& s) { return s.residual; },
          [](ConvSpec& s, const Map& map) { s.residual = map, s.has_residual = true; })
      .def_readwrite("activation", &ConvSpec::activation);
  py::class_<PreparedConv, Prepared>(m, "PreparedConv")
      .def_property_readonly("weight_floats", &PreparedConv::weight_floats)
      .def_property_readonly("bias_floats", &PreparedConv::bias_floats)
      .def_property_readonly("scratch_floats", &PreparedConv::scratch_floats);
  m.def("prepare_direct", &prepare_direct, py::arg("isa"), py::arg("spec"));
  m.def("prepare_depthwise", &prepare_depthwise, py::arg("isa"), py::arg("spec"));
  m.def("prepare_winograd", &prepare_winograd, py::arg("isa"), py::arg("spec"), py::arg("m"), py::arg("threads"),
        py::arg("blocking") = std::pair(0, 0));  // tiles and panels; 0: by a rule
  m.def("prepare_im2col", &prepare_im2col, py::arg("isa"), py::arg("spec"), py::arg("threads"));
  m.def("prepare_fft", &prepare_fft, py::arg("isa"), py::arg("spec"), py::arg("threads"),
        py::arg("blocking") = std::pair(0, 0));  // tiles and panels; 0: by a rule
  m.def("fft_size", &fft_size, py::arg("out"), py::arg("depth"), py::arg("taps"));
  m.def("pack_fft", &packed_fft, py::arg("w").noconvert(), py::arg("threads"), py::arg("out").noconvert());
  m.def("pack_weights", &packed, py::arg("w").noconvert(), py::arg("inner"), py::arg("threads"),
        py::arg("out").noconvert());
  m.def("pack_depthwise", &packed_depthwise, py::arg("w").noconvert(), py::arg("out").noconvert());
  m.def("packed_size", &packed_size, py::arg("out"), py::arg("depth"), py::arg("taps"));
  py::class_<FoldSpec>(m, "FoldSpec")
      .def(py::init(&fold_spec), py::arg("shape"), py::arg("stride"), py::arg("top"), py::arg("left"),
           py::arg("output"));
  m.def("winograd_size", &size_of_winograd, py::arg("out"), py::arg("depth"), py::arg("m"), py::arg("kernel"),
        py::arg("stride"));
  m.def("pack_winograd", &packed_winograd, py::arg("isa"), py::arg("w").noconvert(), py::arg("m"), py::arg("stride"),
        py::arg("threads"), py::arg("out").noconvert());
}

}  // namespace accel::bind::conv_bindings
