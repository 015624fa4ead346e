// SPDX-License-Identifier: BSD-3-Clause
// Weights that are codes into a few values or sub-vectors, packed, and the steps that multiply by them.
#include "kernels/codebook/codebook.h"

#include <algorithm>
#include <climits>
#include <memory>
#include <vector>

#include "bind/program.h"
#include "kernels/codebook/product.h"

namespace accel::bind::codebook_bindings {
namespace {

using Prepared = std::shared_ptr<CodebookLinear>;

// codes (out, depth), books (count, entries): `count` divides `out`.
Prepared pack(const Array<std::uint8_t>& codes, const Array<float>& books, int threads) {
  require(codes.ndim() == 2 && books.ndim() == 2, "codebook: expected matrices");
  const long out = codes.shape(0), depth = codes.shape(1), count = books.shape(0), entries = books.shape(1);
  require(out > 0 && depth > 0 && out <= INT_MAX && depth <= INT_MAX - 64 && count > 0 && out % count == 0 &&
              entries > 0 && entries <= 256 && threads >= 1,
          "codebook: sizes do not fit");
  const std::uint8_t *from = codes.data(), *end = from + codes.size();
  const Unlocked unlocked;
  const bool known = *std::max_element(from, end) < entries;
  return known ? std::make_shared<CodebookLinear>(from, static_cast<int>(out), static_cast<int>(depth), books.data(),
                                                  static_cast<int>(count), static_cast<int>(entries), threads)
               : nullptr;
}

// `scratch` names a slot with scratch_floats(rows, threads) floats; no run may ask for more threads.
void add_codebook(PyProgram& p, const Prepared& weights, long rows, const Activation& activation, Place x, Place y,
                  Place scratch, const Array<float>& bias, int threads) {
  require(weights && rows >= 0 && threads >= 1, "codebook: sizes do not fit");
  const float* b = p.keep(bias, static_cast<std::size_t>(weights->out()));
  const std::size_t isa = p.isa;
  p.program.add([=](float* const* s, int n) {
    weights->run(isa, rows, activation, x.in(s), b, y.in(s), scratch.in(s), std::min(n, threads));
  });
}

// The values of all codes, in an array of their shape.
Array<float> unfold(const Array<std::uint8_t>& codes, const Array<float>& book) {
  require(book.ndim() == 1 && book.size() > 0 && book.size() <= 256, "codebook: expected 1 to 256 values");
  Array<float> found(std::vector<py::ssize_t>(codes.shape(), codes.shape() + codes.ndim()));
  float* const out = found.mutable_data();
  const Unlocked unlocked;
  unfold_codes(codes.data(), static_cast<std::size_t>(codes.size()), book.data(), static_cast<int>(book.size()), out);
  return found;
}

using Quantized = std::shared_ptr<ProductLinear>;

// codes (out, subs), centroids (subs, values, size), `depth` of the matrix.
Quantized pack_product(const Array<std::uint8_t>& codes, const Array<float>& centroids, int depth, int threads) {
  require(codes.ndim() == 2 && centroids.ndim() == 3, "product: expected a matrix and three axes");
  const long out = codes.shape(0), subs = codes.shape(1), values = centroids.shape(1), size = centroids.shape(2);
  require(out > 0 && out <= INT_MAX && subs > 0 && centroids.shape(0) == subs && values > 0 && values <= 256 &&
              size > 0 && depth > (subs - 1) * size && depth <= subs * size && subs * size <= INT_MAX && threads >= 1,
          "product: sizes do not fit");
  const std::uint8_t *from = codes.data(), *end = from + codes.size();
  const Unlocked unlocked;
  if (*std::max_element(from, end) >= values) return nullptr;
  return std::make_shared<ProductLinear>(from, static_cast<int>(out), static_cast<int>(subs), centroids.data(),
                                         static_cast<int>(values), static_cast<int>(size), depth, threads);
}

// `scratch` names a slot with scratch_floats floats.
void add_product(PyProgram& p, const Quantized& weights, long rows, const Activation& activation, Place x, Place y,
                 Place scratch, const Array<float>& bias) {
  require(weights && rows >= 0, "product: sizes do not fit");
  const float* b = p.keep(bias, static_cast<std::size_t>(weights->out()));
  const std::size_t isa = p.isa;
  p.program.add([=](float* const* s, int threads) {
    weights->run(isa, rows, activation, x.in(s), b, y.in(s), scratch.in(s), threads);
  });
}

}  // namespace

void add(py::module_& m) {
  py::class_<CodebookLinear, Prepared>(m, "Codebook")
      .def_property_readonly("nbytes", &CodebookLinear::nbytes)
      .def_property_readonly("out", &CodebookLinear::out)
      .def_property_readonly("depth", &CodebookLinear::depth)
      .def_property_readonly("bits", &CodebookLinear::bits)
      .def("dots", [](const CodebookLinear& c, int isa) { return c.dots(checked_isa(isa)); })
      .def("scratch_floats", &CodebookLinear::scratch_floats);
  m.def("pack_codebook", &pack, py::arg().noconvert(), py::arg().noconvert(), py::arg());
  m.def("unfold_codes", &unfold, py::arg().noconvert(), py::arg().noconvert());
  py::class_<ProductLinear, Quantized>(m, "ProductQuantized")
      .def_property_readonly("nbytes", &ProductLinear::nbytes)
      .def_property_readonly("out", &ProductLinear::out)
      .def_property_readonly("depth", &ProductLinear::depth)
      .def_property_readonly("scratch_floats", &ProductLinear::scratch_floats);
  m.def("pack_product", &pack_product, py::arg().noconvert(), py::arg().noconvert(), py::arg(), py::arg());
  py::class_<PyProgram> program(m.attr("Program"));
  program.def("codebook", &add_codebook);
  program.def("product", &add_product);
}

}  // namespace accel::bind::codebook_bindings
