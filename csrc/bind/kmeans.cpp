// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/kmeans/kmeans.h"

#include <memory>

#include "bind/bind.h"

namespace accel::bind {
namespace {

using Doubles = Array<double>;
using Floats = Array<float>;

Array<std::int64_t> starts(const Doubles& weight, const Doubles& first, const Doubles& second, std::size_t k) {
  require(weight.size() >= 2 && first.size() == weight.size() && second.size() == weight.size(),
          "kmeans: three running sums of equal length expected");
  const auto m = static_cast<std::size_t>(weight.size()) - 1;
  require(k >= 1 && k <= m, "kmeans: k must be in 1..points");
  const std::size_t bytes = kmeans_workspace_bytes(m, k);
  if (!bytes) throw std::bad_alloc();
  Array<std::int64_t> out(static_cast<py::ssize_t>(k));
  const KMeansSums sums{weight.data(), first.data(), second.data()};
  std::int64_t* dst = out.mutable_data();
  py::gil_scoped_release release;
  const auto workspace = std::make_unique_for_overwrite<double[]>(bytes / sizeof(double) + 1);
  kmeans_starts(sums, m, k, workspace.get(), dst);
  return out;
}

Array<std::uint8_t> codes(const Floats& values, const Floats& thresholds) {
  require(thresholds.size() <= 255, "kmeans: at most 255 thresholds expected");
  Array<std::uint8_t> out(values.size());
  const float *src = values.data(), *edges = thresholds.data();
  std::uint8_t* dst = out.mutable_data();
  const auto n = static_cast<std::size_t>(values.size()), count = static_cast<std::size_t>(thresholds.size());
  py::gil_scoped_release release;
  assign_codes(src, n, edges, count, dst);
  return out;
}

}  // namespace

void bind_kmeans(py::module_& m) {
  m.def("kmeans_starts", &starts, py::arg("weight").noconvert(), py::arg("first").noconvert(),
        py::arg("second").noconvert(), py::arg("k"));
  m.def("assign_codes", &codes, py::arg("values").noconvert(), py::arg("thresholds").noconvert());
}

}  // namespace accel::bind
