// SPDX-License-Identifier: BSD-3-Clause
// Bits, and the convolution of bits.
#include "kernels/binary/binary.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <utility>

#include "bind/program.h"
#include "kernels/binary/bits.h"
#include "kernels/binary/sign.h"
#include "kernels/binary/signs.h"
#include "kernels/layout/layout.h"

namespace accel::bind::binary_bindings {
namespace {

using Words = Array<std::uint64_t>;
using Filters = std::shared_ptr<BinaryFilters>;
using Conv = std::shared_ptr<BinaryConv>;

template <class T>
std::vector<T> vector_of(const Array<T>& a) {
  return std::vector<T>(a.data(), a.data() + a.size());
}

void pack_rows_f32(int isa, const Array<float>& x, const Words& to, int threads) {
  require(x.ndim() == 2 && to.ndim() == 2 && to.shape(0) == x.shape(0) && to.shape(1) == words_of(x.shape(1)),
          "pack_bits: shapes do not fit");
  const BitKernels& kernels = *kBits[checked_isa(isa)];
  auto* words = const_cast<std::uint64_t*>(to.data());
  const Unlocked unlocked;
  pack_rows(x.data(), x.shape(0), x.shape(1), kernels, words, threads);
}

void pack_rows_i8(const Array<std::int8_t>& x, const Words& to, int threads) {
  require(x.ndim() == 2 && to.ndim() == 2 && to.shape(0) == x.shape(0) && to.shape(1) == words_of(x.shape(1)),
          "pack_bits: shapes do not fit");
  auto* words = const_cast<std::uint64_t*>(to.data());
  const Unlocked unlocked;
  pack_rows(x.data(), x.shape(0), x.shape(1), words, threads);
}

void pack_pixels(int isa, const Array<float>& x, const Array<float>& at, const Array<bool>& below, const Words& to,
                 int threads) {
  require(x.ndim() == 4 && at.size() == x.shape(1) && below.size() == x.shape(1) &&
              to.size() == x.shape(0) * x.shape(2) * x.shape(3) * words_of(x.shape(1)),
          "pack_pixels: shapes do not fit");
  const BitKernels& kernels = *kBits[checked_isa(isa)];
  auto* words = const_cast<std::uint64_t*>(to.data());
  const auto* downwards = reinterpret_cast<const std::uint8_t*>(below.data());
  const Unlocked unlocked;
  pack_planes(x.data(), x.shape(0), static_cast<int>(x.shape(1)), x.shape(2) * x.shape(3), at.data(), downwards,
              kernels, words, threads);
}

void means(int isa, const Array<float>& x, const Array<float>& to, int threads) {
  require(x.ndim() == 4 && to.size() == x.shape(0) * x.shape(2) * x.shape(3), "channel_means: shapes do not fit");
  const BitKernels& kernels = *kBits[checked_isa(isa)];
  auto* y = const_cast<float*>(to.data());
  const Unlocked unlocked;
  channel_means(x.data(), x.shape(0), static_cast<int>(x.shape(1)), x.shape(2) * x.shape(3), kernels, y, threads);
}

using Pair = std::pair<int, int>;

BitPool bit_pool(const std::array<int, 3>& image, Pair out, long words, Pair kernel, Pair strides, Pair before,
                 bool minimum) {
  const BitPool p{image[0],      image[1],      image[2],       out.first,    out.second,    words,  kernel.first,
                  kernel.second, strides.first, strides.second, before.first, before.second, minimum};
  const auto meets = [](long size, long n, long k, long stride, long pad) {
    return pad >= 0 && pad < k && stride > 0 && n > 0 && (n - 1) * stride - pad < size;
  };
  require(image[0] >= 0 && words > 0 && meets(p.height, p.out_h, p.kernel_h, p.stride_h, p.top) &&
              meets(p.width, p.out_w, p.kernel_w, p.stride_w, p.left),
          "bit pool: sizes do not fit");
  return p;
}

void pool(const BitPool& p, const Words& x, const Words& y, int threads) {
  require(x.size() == p.images * p.words * p.height * p.width && y.size() == p.images * p.words * p.out_h * p.out_w,
          "bit pool: arrays do not fit");
  auto* to = const_cast<std::uint64_t*>(y.data());
  const Unlocked unlocked;
  pool_bits(p, x.data(), to, threads);
}

bool dirty(const Words& x, long n) {
  require(x.ndim() > 0 && x.shape(x.ndim() - 1) == words_of(n), "words do not fit");
  return n > 0 && padding_is_dirty(x.data(), x.size() / words_of(n), n);
}

Filters filters(int isa, const BinaryGeometry& g, BinaryOutput output, const Words& bits, const py::object& at,
                const py::object& below, const py::object& scale, const py::object& bias,
                const Activation& activation) {
  BinaryEpilogue e{output, {}, {}, {}, {}, activation};
  if (output == BinaryOutput::bits) {
    e.at = vector_of(at.cast<Array<std::int32_t>>());
    for (const bool b : vector_of(below.cast<Array<bool>>())) e.below.push_back(b);
  }
  const auto floats = [&](const py::object& o, float other) {
    return o.is_none() ? std::vector<float>(static_cast<std::size_t>(g.filters), other)
                       : vector_of(o.cast<Array<float>>());
  };
  if (output == BinaryOutput::reals) e.scale = floats(scale, 1.f), e.bias = floats(bias, 0.f);
  require(bits.ndim() == 4 && bits.shape(0) == g.filters && bits.shape(1) == g.kernel_h &&
              bits.shape(2) == g.kernel_w && bits.shape(3) == words_of(g.channels),
          "binary filters: bits do not fit");
  const BinaryKernels& kernels = *kBinary[checked_isa(isa)];
  const Unlocked unlocked;
  return std::make_shared<BinaryFilters>(g, std::move(e), bits.data(), kernels);
}

BinaryLayout layout(const py::object& map) {
  BinaryLayout l;
  l.pixel_major = map.is_none();
  if (!l.pixel_major) l.map = map.cast<Map>();
  return l;
}

// Scratch of a thread's own, kept for its next call.
std::uint8_t* scratch(std::size_t bytes) {
  thread_local std::size_t held = 0;
  thread_local Memory memory;
  if (bytes > held) memory = allocate(bytes), held = bytes;
  return memory.begin;
}

// Whether `a` is such an array, and may be written if that is wanted.
template <class T>
bool is(const py::object& a, const std::vector<py::ssize_t>& shape, bool writable) {
  if (!holds<T>(a)) return false;
  const auto array = py::reinterpret_borrow<py::array>(a);
  return array.ndim() == std::ssize(shape) && std::equal(shape.begin(), shape.end(), array.shape()) &&
         (!writable || array.writeable());
}

struct PyBinary {  // a convolution as Python calls it, with arrays of its own shape
  Conv conv;
  Filters filters;
  std::vector<py::ssize_t> x_shape, y_shape;  // y: pixel-major
  py::ssize_t x_words, y_elements, pixels;

  const std::uint64_t* checked(const Words& x) const {
    require(x.size() == x_words, "x: another shape than prepared for");
    const BinaryGeometry& g = filters->geometry();
    const long channels = static_cast<long>(g.channels) * g.groups;
    require(!padding_is_dirty(x.data(), x.size() / g.image_words(), channels),
            "x: expected zeros after the channels, got bits set in the padding of the last word");
    return x.data();
  }
  static const float* optional(const py::object& o, py::ssize_t size, const char* what) {
    if (o.is_none()) return nullptr;
    const auto a = o.cast<Array<float>>();
    require(a.size() == size, what);
    return a.data();
  }
  void run(const Words& x, const py::array& y, const py::object& residual, const py::object& pixel_scale,
           int threads) const {
    const BinaryOutput output = filters->epilogue().output;
    require(y.size() == y_elements && y.itemsize() == (output == BinaryOutput::bits ? 8 : 4) &&
                (y.flags() & py::array::c_style) != 0,
            "y: another array than prepared for");
    const BinaryArrays arrays{checked(x), const_cast<void*>(y.data()),
                              optional(residual, y_elements, "residual: another shape than prepared for"),
                              optional(pixel_scale, pixels, "pixel_scale: another shape than prepared for"),
                              scratch(static_cast<std::size_t>(conv->scratch_bytes()))};
    const Unlocked unlocked;
    const AwakeWorkers awake(threads);
    conv->run(arrays, threads);
  }
  // The same without residual and scales, into a pixel-major y; false, and nothing done, where an argument is wrong.
  bool again(const py::object& x, const py::object& y, int threads) const {
    const BinaryOutput output = filters->epilogue().output;
    const bool fits =
        is<std::uint64_t>(x, x_shape, false) && (output == BinaryOutput::bits     ? is<std::uint64_t>(y, y_shape, true)
                                                 : output == BinaryOutput::counts ? is<std::int32_t>(y, y_shape, true)
                                                                                  : is<float>(y, y_shape, true));
    const BinaryGeometry& g = filters->geometry();
    const auto words = py::reinterpret_borrow<py::array>(x);
    const auto* bits = static_cast<const std::uint64_t*>(fits ? words.data() : nullptr);
    if (!fits || !apart(words, py::reinterpret_borrow<py::array>(y)) ||
        padding_is_dirty(bits, x_words / g.image_words(), static_cast<long>(g.channels) * g.groups))
      return false;
    auto* to = const_cast<void*>(py::reinterpret_borrow<py::array>(y).data());
    std::uint8_t* mine = scratch(static_cast<std::size_t>(conv->scratch_bytes()));
    const Unlocked unlocked;
    const AwakeWorkers awake(threads);
    conv->run({bits, to, nullptr, nullptr, mine}, threads);
    return true;
  }
};

PyBinary prepare(const Filters& f, const std::array<int, 3>& image, const py::object& y, const py::object& residual,
                 const py::object& sign_at, const py::object& sign_below) {
  require(f != nullptr, "filters: expected some");
  BinarySigns signs;
  if (!sign_at.is_none()) {
    signs.at = vector_of(sign_at.cast<Array<float>>());
    for (const bool b : vector_of(sign_below.cast<Array<bool>>())) signs.below.push_back(b);
  }
  const auto conv = std::make_shared<BinaryConv>(f, image[0], image[1], image[2], layout(y), layout(residual), signs);
  const BinaryGeometry& g = f->geometry();
  const long h = conv->out_height(), w = conv->out_width(), pixels = image[0] * h * w;
  const bool bits = f->epilogue().output == BinaryOutput::bits;
  const long last = bits ? words_of(g.filters) : g.filters;
  return {conv,
          f,
          {image[0], image[1], image[2], g.image_words()},
          {image[0], h, w, last},
          static_cast<py::ssize_t>(image[0]) * image[1] * image[2] * g.image_words(),
          y.is_none() ? pixels * last : layout(y).map.size(),
          pixels};
}

// `scratch` names a slot of scratch_bytes / 4 floats. Words lie in slots as two floats each.
void add_conv(PyProgram& p, const PyBinary& binary, Place x, Place y, Place residual, Place pixel_scale,
              Place scratch_at, Place signs) {
  require(&binary.filters->kernels() == kBinary[p.isa], "binary conv: packed for another isa");
  p.program.add([=, conv = binary.conv](float* const* s, int threads) {
    conv->run({reinterpret_cast<const std::uint64_t*>(x.in(s)), y.in(s), residual.in(s), pixel_scale.in(s),
               scratch_at.in(s), reinterpret_cast<std::uint64_t*>(signs.in(s))},
              threads);
  });
}

void add_pack(PyProgram& p, const Map& map, const Array<float>& at, const Array<bool>& below, Place x, Place y) {
  require(map.blocked && at.size() == map.channels && below.size() == map.channels, "pack: map does not fit");
  const std::size_t blocks = static_cast<std::size_t>(map.planes());
  std::vector<float> limits(blocks * kBlock, std::numeric_limits<float>::infinity());
  std::vector<std::uint16_t> downwards(blocks);
  for (py::ssize_t c = 0; c < at.size(); ++c) {
    limits[static_cast<std::size_t>(c)] = at.data()[c];
    if (below.data()[c]) downwards[static_cast<std::size_t>(c / kBlock)] |= static_cast<std::uint16_t>(1 << c % kBlock);
  }
  const BitKernels& kernels = *kBits[p.isa];
  p.program.add([=, &kernels](float* const* s, int threads) {
    pack_map(map, x.in(s), limits.data(), downwards.data(), kernels, reinterpret_cast<std::uint64_t*>(y.in(s)),
             threads);
  });
}

void add_pack_rows(PyProgram& p, long rows, long n, Place x, Place y) {
  require(rows >= 0 && n > 0, "pack_rows: sizes must be positive");
  const BitKernels& kernels = *kBits[p.isa];
  p.program.add([=, &kernels](float* const* s, int threads) {
    pack_rows(x.in(s), rows, n, kernels, reinterpret_cast<std::uint64_t*>(y.in(s)), threads);
  });
}

void add_pack_planes(PyProgram& p, const std::array<int, 4>& shape, const Array<float>& at, const Array<bool>& below,
                     Place x, Place y) {
  require(std::min({shape[0], shape[1], shape[2], shape[3]}) > 0 && at.size() == shape[1] && below.size() == shape[1],
          "pack: shape does not fit");
  std::vector<std::uint8_t> downwards;
  for (const bool b : vector_of(below)) downwards.push_back(b);
  const BitKernels& kernels = *kBits[p.isa];
  p.program.add([=, limits = vector_of(at), &kernels](float* const* s, int threads) {
    pack_planes(x.in(s), shape[0], shape[1], static_cast<long>(shape[2]) * shape[3], limits.data(), downwards.data(),
                kernels, reinterpret_cast<std::uint64_t*>(y.in(s)), threads);
  });
}

void add_pool(PyProgram& p, const BitPool& pool, Place x, Place y) {
  p.program.add([=](float* const* s, int threads) {
    pool_bits(pool, reinterpret_cast<const std::uint64_t*>(x.in(s)), reinterpret_cast<std::uint64_t*>(y.in(s)),
              threads);
  });
}

using Signs = std::shared_ptr<SignMatrix>;

Signs sign_matrix(const Words& bits, long columns) {
  require(bits.ndim() == 2 && columns > 0 && bits.shape(1) == words_of(columns), "sign matrix: bits do not fit");
  const Unlocked unlocked;
  return std::make_shared<SignMatrix>(bits.data(), bits.shape(0), columns);
}

// `scratch` names a slot of scratch_floats.
void add_sign_linear(PyProgram& p, const Signs& weights, long batch, const Activation& activation, Place x, Place y,
                     Place scratch_at, const Array<float>& scale, const Array<float>& bias) {
  require(batch >= 0, "sign_linear: batch is negative");
  const float* factors = p.keep(scale, static_cast<std::size_t>(weights->rows()));
  const float* b = p.keep(bias, static_cast<std::size_t>(weights->rows()));
  const SignKernels& kernels = *kSigns[p.isa];
  p.program.add([=, &kernels](float* const* s, int threads) {
    weights->run(kernels, batch, activation, x.in(s), factors, b, y.in(s), scratch_at.in(s), threads);
  });
}

BinaryGeometry geometry(int n, int channels, int groups, Pair kernel, Pair strides, const std::array<int, 4>& pads,
                        Pair dilations, int pad_value) {
  return {n,       channels, groups,  kernel.first, kernel.second,   strides.first,    strides.second,
          pads[0], pads[1],  pads[2], pads[3],      dilations.first, dilations.second, pad_value};
}

}  // namespace

void add(py::module_& m) {
  py::enum_<BinaryOutput>(m, "BinaryOutput")
      .value("counts", BinaryOutput::counts)
      .value("bits", BinaryOutput::bits)
      .value("reals", BinaryOutput::reals);
  py::class_<BinaryGeometry>(m, "BinaryGeometry").def(py::init(&geometry));
  py::class_<BinaryFilters, Filters>(m, "BinaryFilters")
      .def(py::init(&filters))
      .def_property_readonly("side_by_side", &BinaryFilters::side_by_side)
      .def_property_readonly("nbytes", &BinaryFilters::nbytes);
  py::class_<PyBinary>(m, "BinaryConv")
      .def(py::init(&prepare), py::arg("filters"), py::arg("image"), py::arg("y") = py::none(),
           py::arg("residual") = py::none(), py::arg("sign_at") = py::none(), py::arg("sign_below") = py::none())
      .def_property_readonly("scratch_floats", [](const PyBinary& b) { return b.conv->scratch_bytes() / 4; })
      .def("run", &PyBinary::run, py::arg("x").noconvert(), py::arg("y"), py::arg("residual"), py::arg("pixel_scale"),
           py::arg("threads"))
      .def("again", &PyBinary::again);
  m.def("pack_bits_f32", &pack_rows_f32, py::arg("isa"), py::arg("x").noconvert(), py::arg("to").noconvert(),
        py::arg("threads"));
  m.def("pack_bits_i8", &pack_rows_i8, py::arg("x").noconvert(), py::arg("to").noconvert(), py::arg("threads"));
  m.def("pack_pixels", &pack_pixels, py::arg("isa"), py::arg("x").noconvert(), py::arg("at").noconvert(),
        py::arg("below").noconvert(), py::arg("to").noconvert(), py::arg("threads"));
  m.def("channel_means", &means, py::arg("isa"), py::arg("x").noconvert(), py::arg("to").noconvert(),
        py::arg("threads"));
  py::class_<BitPool>(m, "BitPool").def(py::init(&bit_pool));
  m.def("pool_bits", &pool, py::arg("pool"), py::arg("x").noconvert(), py::arg("y").noconvert(), py::arg("threads"));
  m.def("only_signs", [](const Array<float>& x) { return only_signs(x.data(), x.size()); }, py::arg("x").noconvert());
  m.def("padding_is_dirty", &dirty, py::arg("x").noconvert(), py::arg("n"));
  py::class_<SignMatrix, Signs>(m, "SignMatrix")
      .def(py::init(&sign_matrix), py::arg("bits").noconvert(), py::arg("columns"))
      .def_property_readonly("nbytes", &SignMatrix::nbytes)
      .def_property_readonly("scratch_floats", &SignMatrix::scratch_floats);
  py::class_<PyProgram> program(m.attr("Program"));
  program
      .def("binary_conv", &add_conv, py::arg("prepared"), py::arg("x"), py::arg("y"), py::arg("residual"),
           py::arg("pixel_scale"), py::arg("scratch"), py::arg("signs") = Place{})
      .def("sign_linear", &add_sign_linear)
      .def("pack_map", &add_pack)
      .def("pack_rows", &add_pack_rows)
      .def("pack_planes", &add_pack_planes)
      .def("pool_bits", &add_pool);
}

}  // namespace accel::bind::binary_bindings
