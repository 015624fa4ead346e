// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/gaps/gaps.h"

#include "bind/huffman.h"
#include "kernels/gaps/coded.h"

namespace accel::bind::gaps_bindings {
namespace {

constexpr std::size_t kMostElements = std::size_t{1} << 60;  // whose bytes can be counted

std::size_t checked_width(int width) {
  require(width == 1 || width == 2 || width == 4 || width == 8, "gaps: elements of 1, 2, 4 or 8 bytes expected");
  return static_cast<std::size_t>(width);
}

std::uint8_t checked_most(int most) {
  require(most == 15 || most == 255, "gaps: 4 or 8 bits expected");
  return static_cast<std::uint8_t>(most);
}

// The first entry that is wrong, or -1. `values` and `out` are the bytes of elements of `width` bytes.
std::int64_t expand_gaps(const Bytes& gaps, int most, const Bytes& values, int width, Bytes& out, bool clear, int isa) {
  const std::size_t w = checked_width(width), entries = static_cast<std::size_t>(gaps.size());
  require(static_cast<std::size_t>(values.size()) == w * entries, "gaps: one value per gap expected");
  const std::uint8_t largest = checked_most(most);
  const auto expand = kGapsExpand[checked_isa(isa)];
  const std::size_t size = static_cast<std::size_t>(out.size()) / w;
  GapsOutput to{out.mutable_data(), w, size, clear ? 0 : size};
  const Unlocked unlocked;
  const std::int64_t wrong = expand(gaps.data(), entries, largest, values.data(), to);
  gaps_clear_rest(to);
  return wrong;
}

// How many values the bitmap wants: other sizes than that are not expanded.
std::size_t expand_bitmap(const Bytes& bitmap, const Bytes& values, int width, Bytes& out, int isa) {
  const std::size_t level = checked_isa(isa), w = checked_width(width), size = static_cast<std::size_t>(out.size()) / w;
  require(static_cast<std::size_t>(bitmap.size()) == (size + 7) / 8, "bitmap: a bit per element expected");
  const std::size_t count = static_cast<std::size_t>(values.size()) / w;
  std::uint8_t* const to = out.mutable_data();
  const Unlocked unlocked;
  const std::size_t wanted = kBitmapCount[level](bitmap.data(), static_cast<std::size_t>(bitmap.size()));
  if (wanted == count) kBitmapExpand[level](bitmap.data(), size, values.data(), count, w, to);
  return wanted;
}

// `n` bytes: those of `data`, or, where there are ends, of blocks of format HT as payload_of finds them.
CodedBytes coded(const Bytes& data, int file, std::int64_t first, const Longs& ends, std::size_t n,
                 std::uint8_t* window) {
  const auto blocks = static_cast<std::size_t>(ends.size());
  const bool plain = file < 0 && static_cast<std::size_t>(data.size()) == n;
  require(blocks ? blocks == tree_block_count(n) : plain, "coded: all bytes, or one end per block, expected");
  return {payload_of(data, file, first, ends, window), blocks ? ends.data() : nullptr, n};
}

py::tuple as_tuple(const CodedResult& result) {
  return py::make_tuple(static_cast<int>(result.where), static_cast<int>(result.status), result.at, result.gap,
                        result.crc, result.most);
}

// (where, status, at, gap, crc, most) of CodedResult. `out` is all zeros, of elements of `width` bytes; an entry is a
// gap.
py::tuple decode_gaps(const Bytes& gaps, int gap_file, std::int64_t first_gap, const Longs& gap_ends,
                      const Bytes& values, int value_file, std::int64_t first_value, const Longs& value_ends,
                      std::size_t entries, int width, int most, Bytes& out, int isa) {
  const std::size_t level = checked_isa(isa), w = checked_width(width);
  const std::size_t size = static_cast<std::size_t>(out.size()) / w;
  require(entries <= kMostElements, "gaps: fewer entries expected");
  const auto work = scratch(kCodedScratch + 2 * kWindow);
  std::uint8_t* const windows = work.get() + kCodedScratch;
  const CodedBytes places = coded(gaps, gap_file, first_gap, gap_ends, entries, windows),
                   elements = coded(values, value_file, first_value, value_ends, w * entries, windows + kWindow);
  const std::uint8_t largest = checked_most(most);
  GapsOutput to{out.mutable_data(), w, size, size};
  CodedResult result;
  {
    const Unlocked unlocked;
    result = gaps_decode(places, elements, largest, to, level, work.get());
  }
  return as_tuple(result);
}

// The same of a bitmap for `count` values, into any memory.
py::tuple decode_bitmap(const Bytes& bitmap, int bitmap_file, std::int64_t first_bit, const Longs& bitmap_ends,
                        const Bytes& values, int value_file, std::int64_t first_value, const Longs& value_ends,
                        std::size_t count, int width, Bytes& out, int isa) {
  const std::size_t level = checked_isa(isa), w = checked_width(width);
  const std::size_t size = static_cast<std::size_t>(out.size()) / w;
  require(count <= kMostElements, "bitmap: fewer values expected");
  const auto work = scratch(kCodedScratch + 2 * kWindow);
  std::uint8_t* const windows = work.get() + kCodedScratch;
  const CodedBytes places = coded(bitmap, bitmap_file, first_bit, bitmap_ends, (size + 7) / 8, windows),
                   elements = coded(values, value_file, first_value, value_ends, w * count, windows + kWindow);
  std::uint8_t* const to = out.mutable_data();
  CodedResult result;
  {
    const Unlocked unlocked;
    result = bitmap_decode(places, elements, w, to, size, level, work.get());
  }
  return as_tuple(result);
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
  m.def("gaps_decode", &decode_gaps, py::arg("gaps").noconvert(), py::arg("gap_file"), py::arg("first_gap"),
        py::arg("gap_ends").noconvert(), py::arg("values").noconvert(), py::arg("value_file"), py::arg("first_value"),
        py::arg("value_ends").noconvert(), py::arg("entries"), py::arg("width"), py::arg("most"),
        py::arg("out").noconvert(), py::arg("isa"));
  m.def("bitmap_decode", &decode_bitmap, py::arg("bitmap").noconvert(), py::arg("bitmap_file"), py::arg("first_bit"),
        py::arg("bitmap_ends").noconvert(), py::arg("values").noconvert(), py::arg("value_file"),
        py::arg("first_value"), py::arg("value_ends").noconvert(), py::arg("count"), py::arg("width"),
        py::arg("out").noconvert(), py::arg("isa"));
}

}  // namespace accel::bind::gaps_bindings
