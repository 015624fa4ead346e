// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/kmeans/kmeans.h"

#include <cstring>
#include <memory>

#include "bind/result.h"

namespace accel::bind::kmeans_bindings {
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
  const Unlocked unlocked;
  const auto workspace = std::make_unique_for_overwrite<double[]>(bytes / sizeof(double) + 1);
  kmeans_starts(sums, m, k, workspace.get(), dst);
  return out;
}

Array<std::uint8_t> codes(const Floats& values, const Floats& thresholds) {
  require(thresholds.size() <= 255, "kmeans: at most 255 thresholds expected");
  auto out = new_result<std::uint8_t>(values.size());
  const float *src = values.data(), *edges = thresholds.data();
  std::uint8_t* dst = out.mutable_data();
  const auto n = static_cast<std::size_t>(values.size()), count = static_cast<std::size_t>(thresholds.size());
  const Unlocked unlocked;
  assign_codes(src, n, edges, count, dst);
  return out;
}

std::size_t countable(const Floats& values) {
  require(values.size() < py::ssize_t{1} << 32, "kmeans: fewer than 2**32 values expected");
  return static_cast<std::size_t>(values.size());
}

Array<std::uint32_t> prefixes(const Floats& values) {
  const std::size_t n = countable(values);
  Array<std::uint32_t> out(static_cast<py::ssize_t>(kPrefixes));
  const float* src = values.data();
  std::uint32_t* dst = out.mutable_data();
  const Unlocked unlocked;
  prefix_counts(src, n, dst);
  return out;
}

// (values, counts) of few distinct values; None of many.
py::object distinct(const Floats& values) {
  const std::size_t n = countable(values);
  const auto table = std::make_unique_for_overwrite<DistinctTable>();
  const float* src = values.data();
  std::size_t found;
  {
    const Unlocked unlocked;
    found = distinct_values(src, n, *table);
  }
  if (!found) return py::none();
  Floats kept(static_cast<py::ssize_t>(found));
  std::memcpy(kept.mutable_data(), table->keys, found * sizeof(float));
  return py::make_tuple(kept, Array<std::uint32_t>(static_cast<py::ssize_t>(found), table->counts));
}

// (counts, sums of low bits) of the bins.
py::tuple bins_of(const Floats& values, const Array<std::uint32_t>& places, std::size_t bins) {
  const std::size_t n = countable(values);
  require(places.size() == static_cast<py::ssize_t>(kPrefixes), "kmeans: a place for each prefix expected");
  const float* src = values.data();
  const std::uint32_t* at = places.data();
  for (std::size_t p = 0; p < kPrefixes; ++p)
    require(at[p] % 32 <= 16 && (at[p] >> 5) + (0xFFFFu >> at[p] % 32) < bins, "kmeans: a place beyond the bins");
  Array<std::uint64_t> counts(static_cast<py::ssize_t>(bins)), sums(static_cast<py::ssize_t>(bins));
  std::uint64_t *c = counts.mutable_data(), *s = sums.mutable_data();
  {
    const Unlocked unlocked;
    const auto words = std::make_unique_for_overwrite<std::uint64_t[]>(bins);
    histogram(src, n, at, bins, words.get(), c, s);
  }
  return py::make_tuple(counts, sums);
}

}  // namespace

void add(py::module_& m) {
  m.def("kmeans_starts", &starts, py::arg("weight").noconvert(), py::arg("first").noconvert(),
        py::arg("second").noconvert(), py::arg("k"));
  m.def("prefix_counts", &prefixes, py::arg("values").noconvert());
  m.def("distinct_values", &distinct, py::arg("values").noconvert());
  m.def("value_histogram", &bins_of, py::arg("values").noconvert(), py::arg("places").noconvert(), py::arg("bins"));
  m.def("assign_codes", &codes, py::arg("values").noconvert(), py::arg("thresholds").noconvert());
}

}  // namespace accel::bind::kmeans_bindings
