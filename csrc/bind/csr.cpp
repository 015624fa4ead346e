// SPDX-License-Identifier: BSD-3-Clause
#include <utility>

#include "bind/sparse.h"
#include "kernels/sparse/csr_check.h"
#include "kernels/sparse/csr_product.h"

namespace accel::bind {
namespace {

Array<float> floats_or_none(const py::object& a) {
  if (a.is_none()) return Array<float>(0);
  require(Array<float>::check_(a), "csr: scale and book must be float32 arrays");
  return py::reinterpret_borrow<Array<float>>(a);
}

bool holds(const py::array& values, ValueKind kind) {
  switch (kind) {
    case ValueKind::f32:
      return Array<float>::check_(values);
    case ValueKind::bf16:
      return Array<std::uint16_t>::check_(values);
    case ValueKind::i8:
      return Array<std::int8_t>::check_(values);
    case ValueKind::code16:
    case ValueKind::code256:
      return Array<std::uint8_t>::check_(values);
  }
  return false;
}

}  // namespace

CsrArrays::CsrArrays(Array<std::int32_t> indptr, Array<std::int32_t> indices, py::array values, ValueKind kind,
                     const py::object& scale, const py::object& book, long columns)
    : indptr_(std::move(indptr)),
      indices_(std::move(indices)),
      values_(std::move(values)),
      kind_(kind),
      scale_(floats_or_none(scale)),
      book_(floats_or_none(book)),
      columns_(columns) {
  require(indptr_.ndim() == 1 && indptr_.size() > 0 && indices_.ndim() == 1 && columns >= 0, "csr: shapes do not fit");
  check_positions();
  check_values();
}

void CsrArrays::check_positions() const {
  const std::int32_t* p = indptr_.data();
  const long rows = indptr_.size() - 1;
  require(p[0] == 0 && p[rows] == indices_.size(), "csr: indptr does not fit indices");
  require(csr_ascends(p, rows, indices_.size()), "csr: indptr must ascend");
  require(columns_ascend(p, rows, indices_.data(), columns_),
          "csr: columns must ascend in each row and lie inside the matrix");
}

void CsrArrays::check_values() const {
  require(holds(values_, kind_) && values_.size() == indices_.size(), "csr: values do not fit");
  const bool codes = kind_ == ValueKind::code16 || kind_ == ValueKind::code256;
  require(scale_.size() == (kind_ == ValueKind::i8 ? indptr_.size() - 1 : 0), "csr: scale does not fit");
  require(book_.size() == (!codes ? 0 : kind_ == ValueKind::code16 ? 16 : 256), "csr: book does not fit");
  if (kind_ != ValueKind::code16) return;
  require(codes_below_16(static_cast<const std::uint8_t*>(values_.data()), values_.size()),
          "csr: codes must be below 16");
}

CsrView CsrArrays::view() const {
  return {indptr_.size() - 1,
          columns_,
          indptr_.data(),
          indices_.data(),
          kind_,
          values_.data(),
          scale_.size() ? scale_.data() : nullptr,
          book_.size() ? book_.data() : nullptr};
}

}  // namespace accel::bind
