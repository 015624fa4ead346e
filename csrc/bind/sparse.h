// SPDX-License-Identifier: BSD-3-Clause
// A sparse matrix as Python passes it.
#pragma once

#include "bind/result.h"
#include "kernels/sparse/sparse.h"

namespace accel::bind {

class CsrArrays {
 public:
  // values: float32, uint16, int8 or uint8 by their kind; scale (rows,) for i8 and book of 16 or 256 floats for codes,
  // else None. Throws ValueError unless every row ascends within `columns`.
  CsrArrays(Array<std::int32_t> indptr, Array<std::int32_t> indices, py::array values, ValueKind kind,
            const py::object& scale, const py::object& book, long columns);
  CsrView view() const;

 private:
  void check_positions() const;
  void check_values() const;

  Array<std::int32_t> indptr_, indices_;
  py::array values_;
  ValueKind kind_;
  Array<float> scale_, book_;
  long columns_;
};

// Of x W^T for a matrix W of so many rows.
inline Shape product_shape(const Array<float>& x, long rows) {
  Shape shape(x.shape(), x.shape() + x.ndim());
  shape.back() = rows;
  return shape;
}

}  // namespace accel::bind
