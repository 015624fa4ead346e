// SPDX-License-Identifier: BSD-3-Clause
#include "bind/program.h"

#include <pybind11/stl.h>

#include "kernels/conv/conv.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/layout/fold.h"
#include "kernels/layout/layout.h"
#include "kernels/linear/linear.h"
#include "kernels/pool/pool.h"

namespace accel::bind::program_bindings {
namespace {

std::size_t padded(int channels) { return static_cast<std::size_t>((channels + kBlock - 1) / kBlock * kBlock); }

void add_conv(PyProgram& p, const std::shared_ptr<PreparedConv>& conv, Place x, Place y, Place residual, Place scratch,
              const Array<float>& weights, const Array<float>& bias) {
  const float* w = p.keep(weights, conv->weight_floats());
  const float* b = p.keep(bias, conv->bias_floats());
  const auto upcoming = std::make_shared<Upcoming>();
  p.expect(w, conv->streamed_floats());
  p.offer(upcoming, conv->fetched_floats());
  p.program.add([=](float* const* s, int threads) {
    conv->run({x.in(s), w, b, residual.in(s), y.in(s), scratch.in(s), *upcoming}, threads);
  });
}

// `scratch` names a slot with the number of floats that it returns.
long add_linear(PyProgram& p, int rows, int depth, int out, const Activation& activation, Place x, Place y,
                Place scratch, const Array<float>& weights, const Array<float>& bias) {
  const auto linear = std::make_shared<Linear>(rows, depth, out, activation, *kTileSets[p.isa]);
  const float* w = p.keep(weights, packed_size(out, depth, 1));
  const float* b = p.keep(bias, padded(out));
  if (linear->streams()) p.expect(w, static_cast<long>(packed_size(out, depth, 1)));
  p.program.add([=](float* const* s, int threads) { linear->run(x.in(s), w, b, y.in(s), scratch.in(s), threads); });
  return linear->scratch_floats();
}

void add_pool(PyProgram& p, const PoolSpec& spec, Place x, Place y) {
  check_pool(spec);
  const PoolKernels& kernels = *kPools[p.isa];
  p.program.add([=, &kernels](float* const* s, int threads) { pool(spec, kernels, x.in(s), y.in(s), threads); });
}

void add_global_average(PyProgram& p, const Map& map, Place x, Place y) {
  require(map.blocked && map.pixels() > 0, "global_average: map does not fit");
  const PoolKernels& kernels = *kPools[p.isa];
  p.program.add([=, &kernels](float* const* s, int n) { global_average(map, kernels, x.in(s), y.in(s), n); });
}

void add_elementwise(PyProgram& p, const ElementwiseSpec& spec, Place a, Place b, Place y) {
  check_elementwise(spec);
  const ElementwiseFn kernel = kElementwise[p.isa];
  p.program.add([=](float* const* s, int n) { elementwise(spec, kernel, a.in(s), b.in(s), y.in(s), n); });
}

void add_activation(PyProgram& p, const Activation& f, long n, Place x, Place y) {
  const TileSet& tiles = *kTileSets[p.isa];
  p.program.add([=, &tiles](float* const* s, int threads) {
    parallel(parts_for(static_cast<double>(n) * 4, n, threads), [&](int part, int parts) {
      const Range r = part_of(n, part, parts);
      tiles.activate(f, x.in(s) + r.begin, y.in(s) + r.begin, r.end - r.begin);
    });
  });
}

void add_import(PyProgram& p, const Map& map, Place plain, Place x) {
  const LayoutKernels& kernels = *kLayouts[p.isa];
  p.program.add([=, &kernels](float* const* s, int n) { import_plain(plain.in(s), map, kernels, x.in(s), n); });
}

void add_fold(PyProgram& p, const FoldSpec& spec, Place plain, Place x) {
  p.program.add([=](float* const* s, int n) { fold(spec, plain.in(s), x.in(s), n); });
}

void add_export(PyProgram& p, const Map& map, Place x, Place plain) {
  const LayoutKernels& kernels = *kLayouts[p.isa];
  p.program.add([=, &kernels](float* const* s, int n) { export_plain(map, kernels, x.in(s), plain.in(s), n); });
}

bool same_sizes(const Map& a, const Map& b) {
  return a.images == b.images && a.channels == b.channels && a.height == b.height && a.width == b.width;
}

void add_copy(PyProgram& p, const Map& from, Place x, const Map& to, Place y) {
  require(from.blocked && same_sizes(from, to), "copy: maps do not fit");
  const LayoutKernels& kernels = *kLayouts[p.isa];
  p.program.add([=, &kernels](float* const* s, int n) { copy_map(from, kernels, x.in(s), to, y.in(s), n); });
}

void add_close_groups(PyProgram& p, const Map& from, Place x, int groups, const Map& to, Place y) {
  require(from.blocked && to.blocked && groups > 0 && to.channels % groups == 0 && from.planes() % groups == 0 &&
              from.planes() / groups * kBlock >= to.channels / groups && from.images == to.images &&
              from.height == to.height && from.width == to.width,
          "close_groups: maps do not fit");
  p.program.add([=](float* const* s, int n) { close_groups(from, x.in(s), groups, to, y.in(s), n); });
}

// Runs steps first .. last-1; `bindings` are the caller's own arrays for this run (inputs, outputs).
void run(const PyProgram& p, const std::vector<std::pair<int, py::array>>& bindings, Array<std::uintptr_t>& slots,
         std::size_t first, std::size_t last, int threads, bool keep_denormals) {
  require(first <= last && last <= p.program.size() && threads >= 1, "run: steps or threads out of range");
  auto* table = slots.mutable_data();
  for (const auto& [slot, a] : bindings) {
    require(slot >= 0 && slot < slots.size(), "run: slot out of range");
    table[slot] = reinterpret_cast<std::uintptr_t>(a.data());
  }
  while (first < last) {
    {
      const Unlocked unlocked;
      first = p.program.run(first, last, reinterpret_cast<float* const*>(table), threads, keep_denormals);
    }
    if (first < last && PyErr_CheckSignals() != 0) throw py::error_already_set();  // Ctrl-C ends a long run
  }
}

void bind_specs(py::module_& m) {
  py::class_<Map>(m, "Map")
      .def(py::init(&make_map), py::arg("blocked"), py::arg("images"), py::arg("channels"), py::arg("height"),
           py::arg("width"), py::arg("halo"))
      .def_readonly("blocked", &Map::blocked)
      .def_readonly("images", &Map::images)
      .def_readonly("channels", &Map::channels)
      .def_readonly("height", &Map::height)
      .def_readonly("width", &Map::width)
      .def_readonly("halo", &Map::halo)
      .def_readonly("plane", &Map::plane)
      .def_property_readonly("floats", &Map::size)
      // The first `channels` channels of a wider map, for a producer that writes its part of a concatenation in place.
      .def("narrowed", [](Map map, int channels) {
        require(channels > 0 && channels <= map.channels, "narrowed: channels out of range");
        map.channels = channels;
        return map;
      });
  py::class_<Place>(m, "Place")
      .def(py::init([](int slot, long offset) { return Place{slot, offset}; }), py::arg("slot"), py::arg("offset") = 0);
  py::class_<Activation> activation(m, "Activation");
  py::enum_<Activation::Kind>(activation, "Kind")
      .value("clamp", Activation::Kind::clamp)
      .value("leaky_relu", Activation::Kind::leaky_relu)
      .value("hard_sigmoid", Activation::Kind::hard_sigmoid)
      .value("hard_swish", Activation::Kind::hard_swish)
      .value("sigmoid", Activation::Kind::sigmoid)
      .value("swish", Activation::Kind::swish);
  activation.def(py::init<>())
      .def_readwrite("kind", &Activation::kind)
      .def_readwrite("low", &Activation::low)
      .def_readwrite("high", &Activation::high)
      .def_readwrite("a", &Activation::a)
      .def_readwrite("b", &Activation::b);
  py::class_<PoolSpec>(m, "PoolSpec")
      .def(py::init<>())
      .def_readwrite("input", &PoolSpec::input)
      .def_readwrite("output", &PoolSpec::output)
      .def_property(
          "average", [](const PoolSpec& s) { return s.kind == PoolSpec::Kind::average; },
          [](PoolSpec& s, bool v) { s.kind = v ? PoolSpec::Kind::average : PoolSpec::Kind::max; })
      .def_property(
          "kernel", [](const PoolSpec& s) { return std::pair(s.kernel_h, s.kernel_w); },
          [](PoolSpec& s, std::pair<int, int> v) { std::tie(s.kernel_h, s.kernel_w) = v; })
      .def_property(
          "strides", [](const PoolSpec& s) { return std::pair(s.stride_h, s.stride_w); },
          [](PoolSpec& s, std::pair<int, int> v) { std::tie(s.stride_h, s.stride_w) = v; })
      .def_property(
          "before", [](const PoolSpec& s) { return std::pair(s.top, s.left); },
          [](PoolSpec& s, std::pair<int, int> v) { std::tie(s.top, s.left) = v; })
      .def_property(
          "after", [](const PoolSpec& s) { return std::pair(s.bottom, s.right); },
          [](PoolSpec& s, std::pair<int, int> v) { std::tie(s.bottom, s.right) = v; })
      .def_property(
          "dilations", [](const PoolSpec& s) { return std::pair(s.dilation_h, s.dilation_w); },
          [](PoolSpec& s, std::pair<int, int> v) { std::tie(s.dilation_h, s.dilation_w) = v; })
      .def_readwrite("count_padding", &PoolSpec::count_padding);
  py::class_<ElementwiseSpec> elementwise_spec(m, "ElementwiseSpec");
  py::enum_<ElementwiseSpec::Kind>(elementwise_spec, "Kind")
      .value("copy", ElementwiseSpec::Kind::copy)
      .value("add", ElementwiseSpec::Kind::add)
      .value("subtract", ElementwiseSpec::Kind::subtract)
      .value("multiply", ElementwiseSpec::Kind::multiply);
  elementwise_spec.def(py::init<>())
      .def_readwrite("kind", &ElementwiseSpec::kind)
      .def_readwrite("a", &ElementwiseSpec::a)
      .def_readwrite("b", &ElementwiseSpec::b)
      .def_readwrite("y", &ElementwiseSpec::y)
      .def_readwrite("b_per_channel", &ElementwiseSpec::b_per_channel)
      .def_readwrite("activation", &ElementwiseSpec::activation);
}

}  // namespace

void add(py::module_& m) {
  bind_specs(m);
  py::class_<PyProgram>(m, "Program")
      .def(py::init<int>(), py::arg("isa"))
      .def_readonly("isa", &PyProgram::isa)
      .def("__len__", [](const PyProgram& p) { return p.program.size(); })
      .def("conv", &add_conv)
      .def("linear", &add_linear)
      .def("pool", &add_pool)
      .def("global_average", &add_global_average)
      .def("elementwise", &add_elementwise)
      .def("activation", &add_activation)
      .def("import_plain", &add_import)
      .def("fold", &add_fold)
      .def("export_plain", &add_export)
      .def("copy", &add_copy)
      .def("close_groups", &add_close_groups)
      .def("run", &run, py::arg("bindings"), py::arg("slots").noconvert(), py::arg("first"), py::arg("last"),
           py::arg("threads"), py::arg("keep_denormals"));
}

}  // namespace accel::bind::program_bindings
