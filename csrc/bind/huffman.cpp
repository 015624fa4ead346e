// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/huffman/huffman.h"

#include <algorithm>

#include "bind/bind.h"

namespace accel::bind {
namespace {

using Bytes = Array<std::uint8_t>;
using Longs = Array<std::int64_t>;

// uint32 (blocks, 256): how often each symbol occurs in each block.
Array<std::uint32_t> histograms(const Bytes& symbols, int isa) {
  const auto count = kHuffmanHistogram[checked_isa(isa)];
  const auto n = static_cast<std::size_t>(symbols.size());
  Array<std::uint32_t> counts({static_cast<py::ssize_t>(huffman_block_count(n)), py::ssize_t{256}});
  const std::uint8_t* src = symbols.data();
  std::uint32_t* dst = counts.mutable_data();
  py::gil_scoped_release release;
  for (std::size_t k = 0; k < huffman_block_count(n); ++k)
    count(src + k * kHuffmanBlock, huffman_block_symbols(n, k), dst + 256 * k);
  return counts;
}

// The blocks back to back, and the size of each. Row k of kinds, lengths, tables and table_bytes is the plan of block
// k.
py::tuple encode(const Bytes& symbols, const Bytes& kinds, const Bytes& lengths, const Bytes& tables,
                 const Longs& table_bytes, int isa) {
  const auto encode_block = kHuffmanEncodeBlock[checked_isa(isa)];
  const auto n = static_cast<std::size_t>(symbols.size()), blocks = huffman_block_count(n);
  const auto rows = static_cast<py::ssize_t>(blocks);
  require(kinds.size() == rows && table_bytes.size() == rows && lengths.size() == 256 * rows &&
              tables.size() == static_cast<py::ssize_t>(kHuffmanTableBytes) * rows,
          "huffman: one plan per block expected");
  Bytes payload(static_cast<py::ssize_t>(n ? blocks * huffman_block_bound(std::min(n, kHuffmanBlock)) : 0));
  Longs sizes(rows);
  const HuffmanEncodeTask task{symbols.data(), n, kinds.data(), lengths.data(), tables.data(), table_bytes.data()};
  std::int64_t used;
  {
    py::gil_scoped_release release;
    used = huffman_encode_blocks(task, encode_block, payload.mutable_data(), sizes.mutable_data());
  }
  require(used >= 0, "huffman: lengths are no complete code of at most 11 bits");
  return py::make_tuple(payload[py::slice(0, used, 1)], sizes);
}

// Blocks first .. first + len(ends) - 1 of a stream into `out`; ends[k] is where block k ends in `payload`.
// (status, block): the first block that is wrong, or (0, -1).
py::tuple decode(const Bytes& payload, const Longs& ends, Bytes& out, int isa, int threads) {
  const auto decode_block = kHuffmanDecodeBlock[checked_isa(isa)];
  const auto n = static_cast<std::size_t>(out.size());
  require(threads >= 1, "huffman: threads must be at least 1");
  require(static_cast<std::size_t>(ends.size()) == huffman_block_count(n), "huffman: one end per block expected");
  const HuffmanDecodeTask task{payload.data(), static_cast<std::size_t>(payload.size()), ends.data(),
                               out.mutable_data(), n};
  HuffmanFailure failure;
  {
    py::gil_scoped_release release;
    failure = huffman_decode_blocks(task, decode_block, threads);
  }
  return py::make_tuple(static_cast<int>(failure.status), failure.block);
}

}  // namespace

void bind_huffman(py::module_& m) {
  m.def("huffman_histograms", &histograms, py::arg("symbols").noconvert(), py::arg("isa"));
  m.def("huffman_encode", &encode, py::arg("symbols").noconvert(), py::arg("kinds").noconvert(),
        py::arg("lengths").noconvert(), py::arg("tables").noconvert(), py::arg("table_bytes").noconvert(),
        py::arg("isa"));
  m.def("huffman_decode", &decode, py::arg("payload").noconvert(), py::arg("ends").noconvert(),
        py::arg("out").noconvert(), py::arg("isa"), py::arg("threads"));
}

}  // namespace accel::bind
