// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/gaps/gaps.h"

#include "bind/bind.h"

namespace accel::bind::gaps_bindings {
namespace {

using Bytes = Array<std::uint8_t>;

std::size_t checked_width(int width) {
  require(width == 1 || width == 2 || width == 4 || width == 8, "gaps: elements of 1, 2, 4 or 8 bytes expected");
  return static_cast<std::size_t>(width);
}

// The first entry that is wrong, or -1. `values` and `out` are the bytes of elements of `width` bytes.
std::int64_t expand_gaps(const Bytes& gaps, int most, const Bytes& values, int width, Bytes& out, bool clear, int isa) {
  const std::size_t w = checked_width(width), entries = static_cast<std::size_t>(gaps.size());
  require(static_cast<std::size_t>(values.size()) == w * entries, "gaps: one value per gap expected");
  require(most >= 0 && most <= 255, "gaps: bytes expected");
  const auto expand = kGapsExpand[checked_isa(isa)];
  std::uint8_t* const to = out.mutable_data();
  const Unlocked unlocked;
  return expand(gaps.data(), entries, static_cast<std::uint8_t>(most), values.data(), w, to,
                static_cast<std::size_t>(out.size()) / w, clear);
}

// How many values the bitmap wants: other sizes than that are not expanded.
std::size_t expand_bitmap(const Bytes& bitmap, const Bytes& values, int width, Bytes& out, int isa) {
  const auto expand = kBitmapExpand[checked_isa(isa)];
  const std::size_t w = checked_width(width), size = static_cast<std::size_t>(out.size()) / w;
  require(static_cast<std::size_t>(bitmap.size()) == (size + 7) / 8, "bitmap: a bit per element expected");
  const std::size_t count = static_cast<std::size_t>(values.size()) / w;
  std::uint8_t* const to = out.mutable_data();
  const Unlocked unlocked;
  const std::size_t wanted = bitmap_count(bitmap.data(), static_cast<std::size_t>(bitmap.size()));
  if (wanted == count) expand(bitmap.data(), values.data(), count, w, to, size);
  return wanted;
}

// (indptr, indices, values) of a matrix of codes, without the code `zero`; `count` are others.
py::tuple codes_to_rows(const Bytes& codes, int zero, std::size_t count) {
  require(codes.ndim() == 2 && zero >= 0 && zero <= 255, "codes: a matrix of bytes, and a byte, expected");
  require(count <= static_cast<std::size_t>(codes.size()) && count <= INT32_MAX && codes.shape(1) <= INT32_MAX,
          "codes: fewer expected");
  const auto rows = codes.shape(0);
  Array<std::int32_t> indptr(rows + 1), indices(static_cast<py::ssize_t>(count));
  Bytes values(static_cast<py::ssize_t>(count));
  auto *const ends = indptr.mutable_data(), *const columns = indices.mutable_data();
  std::uint8_t* const to = values.mutable_data();
  {
    const Unlocked unlocked;
    rows_of_codes(codes.data(), static_cast<std::size_t>(rows), static_cast<std::size_t>(codes.shape(1)),
                  static_cast<std::uint8_t>(zero), ends, columns, to, count);
  }
  return py::make_tuple(indptr, indices, values);
}

}  // namespace

void add(py::module_& m) {
  m.def("gaps_expand", &expand_gaps, py::arg("gaps").noconvert(), py::arg("most"), py::arg("values").noconvert(),
        py::arg("width"), py::arg("out").noconvert(), py::arg("clear"), py::arg("isa"));
  m.def("codes_to_rows", &codes_to_rows, py::arg("codes").noconvert(), py::arg("zero"), py::arg("count"));
  m.def("bitmap_expand", &expand_bitmap, py::arg("bitmap").noconvert(), py::arg("values").noconvert(), py::arg("width"),
        py::arg("out").noconvert(), py::arg("isa"));
}

}  // namespace accel::bind::gaps_bindings
