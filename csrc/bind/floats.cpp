// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/floats/floats.h"

#include <algorithm>
#include <vector>

#include "bind/bind.h"
#include "bind/huffman.h"

namespace accel::bind::floats_bindings {
namespace {

// `src` are the bytes of numbers of `width` bytes.
py::object encode(const Bytes& src, const std::string& start, int width, int isa) {
  const std::size_t level = checked_isa(isa), w = static_cast<std::size_t>(width);
  require((width == 2 || width == 4) && src.size() % width == 0, "floats: numbers of 2 or 4 bytes expected");
  const std::size_t n = static_cast<std::size_t>(src.size()) / w;
  const Blocks blocks{n, float_block_count(n), Sizes::u32, float_bound(w, n), float_encode_scratch(w, n)};
  return encode_stream(start, blocks, [&](std::uint8_t* out, std::int64_t* sizes, std::uint8_t* work) {
    return float_encode(src.data(), w, n, level, out, sizes, work);
  });
}

// (status, block): the first block that is wrong, or (0, -1). ends[k] is where block k ends in `payload`.
py::tuple decode(const Bytes& payload, const Longs& ends, Bytes& out, int width, int isa, int threads) {
  const std::size_t level = checked_isa(isa), w = static_cast<std::size_t>(width);
  require((width == 2 || width == 4) && out.size() % width == 0, "floats: numbers of 2 or 4 bytes expected");
  require(threads >= 1, "floats: threads must be at least 1");
  const std::size_t blocks = float_block_count(static_cast<std::size_t>(out.size()) / w);
  require(static_cast<std::size_t>(ends.size()) == blocks, "floats: one end per block expected");
  const HuffmanDecodeTask task{in_memory(payload), ends.data(), out.mutable_data(),
                               static_cast<std::size_t>(out.size())};
  const int workers = static_cast<int>(std::clamp<std::size_t>(blocks, 1, static_cast<std::size_t>(threads)));
  const auto work = scratch(float_decode_scratch(w) * static_cast<std::size_t>(workers));
  HuffmanFailure failure;
  {
    const Unlocked unlocked;
    failure = float_decode(task, w, level, workers, work.get());
  }
  return py::make_tuple(static_cast<int>(failure.status), failure.block);
}

}  // namespace

void add(py::module_& m) {
  m.def("float_encode", &encode, py::arg("src").noconvert(), py::arg("start"), py::arg("width"), py::arg("isa"));
  m.def("float_decode", &decode, py::arg("payload").noconvert(), py::arg("ends").noconvert(),
        py::arg("out").noconvert(), py::arg("width"), py::arg("isa"), py::arg("threads"));
}

}  // namespace accel::bind::floats_bindings
