// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/huffman/huffman.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "bind/bind.h"
#include "kernels/huffman/crc32.h"
#include "kernels/huffman/tree.h"

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

std::unique_ptr<std::uint8_t[]> scratch(std::size_t bytes) {  // of trees; not zeroed: that would take as long as a part
  return std::unique_ptr<std::uint8_t[]>(new std::uint8_t[bytes]);
}

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 128; value >>= 7) out.push_back(static_cast<char>(value | 128));
  out.push_back(static_cast<char>(value));
}

// `start`, n, the sizes and a checksum.
std::string frame(const std::string& start, std::size_t n, const std::vector<std::int64_t>& sizes) {
  std::string out = start;
  put_varint(out, n);
  for (const std::int64_t size : sizes) put_varint(out, static_cast<std::uint64_t>(size));
  const std::uint32_t crc = crc32(0, reinterpret_cast<const std::uint8_t*>(out.data()), out.size(), false);
  for (int k = 0; k < 4; ++k) out.push_back(static_cast<char>(crc >> 8 * k));
  return out;
}

// 4 KB pages of fresh memory take longer than encoding into them.
void ask_for_huge_pages(std::uint8_t* begin, std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t kPage = 4096;
  const std::uintptr_t from = (reinterpret_cast<std::uintptr_t>(begin) + kPage - 1) / kPage * kPage;
  const std::uintptr_t to = (reinterpret_cast<std::uintptr_t>(begin) + bytes) / kPage * kPage;
  if (bytes >= std::size_t{4} << 20) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
#else
  (void)begin, (void)bytes;
#endif
}

// A whole stream of format HT, written where it stays: the blocks behind a frame of the likely size.
py::object encode_trees(const Bytes& symbols, const std::string& start, int isa) {
  const std::size_t level = checked_isa(isa), n = static_cast<std::size_t>(symbols.size());
  std::vector<std::int64_t> sizes(tree_block_count(n));
  const std::size_t room = start.size() + 4 + 4 + 3 * sizes.size();
  PyObject* stream = PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(room + tree_bound(n)));
  if (!stream) throw py::error_already_set();
  auto* const begin = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(stream));
  ask_for_huge_pages(begin, room + tree_bound(n));
  std::size_t used;
  std::string head;
  {
    const auto work = scratch(kTreeScratch);
    py::gil_scoped_release release;
    used = tree_encode(symbols.data(), n, level, begin + room, sizes.data(), work.get());
    head = frame(start, n, sizes);
    if (head.size() != room) std::memmove(begin + head.size(), begin + room, used);
    std::memcpy(begin, head.data(), head.size());
  }
  if (_PyBytes_Resize(&stream, static_cast<py::ssize_t>(head.size() + used))) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(stream);
}

py::tuple decode_trees(const Bytes& payload, const Longs& ends, Bytes& out, int isa, int threads) {
  const std::size_t level = checked_isa(isa), n = static_cast<std::size_t>(out.size());
  require(threads >= 1, "huffman: threads must be at least 1");
  require(static_cast<std::size_t>(ends.size()) == tree_block_count(n), "huffman: one end per block expected");
  const HuffmanDecodeTask task{payload.data(), static_cast<std::size_t>(payload.size()), ends.data(),
                               out.mutable_data(), n};
  const int workers =
      static_cast<int>(std::clamp<std::size_t>(tree_block_count(n), 1, static_cast<std::size_t>(threads)));
  const auto work = scratch(kTreeScratch * static_cast<std::size_t>(workers));
  HuffmanFailure failure;
  {
    py::gil_scoped_release release;
    failure = tree_decode(task, level, workers, work.get());
  }
  return py::make_tuple(static_cast<int>(failure.status), failure.block);
}

// Of 256 counts, as accel.reference.huffman_tree chooses them.
Bytes lengths_of(const Array<std::uint32_t>& counts) {
  require(counts.size() == 256, "huffman: 256 counts expected");
  const std::uint32_t* c = counts.data();
  require(std::count(c, c + 256, 0u) <= 254, "huffman: two symbols at least expected");
  Bytes lengths(256);
  tree_lengths(c, lengths.mutable_data());
  return lengths;
}

}  // namespace

void bind_huffman(py::module_& m) {
  m.def("huffman_histograms", &histograms, py::arg("symbols").noconvert(), py::arg("isa"));
  m.def("huffman_encode", &encode, py::arg("symbols").noconvert(), py::arg("kinds").noconvert(),
        py::arg("lengths").noconvert(), py::arg("tables").noconvert(), py::arg("table_bytes").noconvert(),
        py::arg("isa"));
  m.def("huffman_decode", &decode, py::arg("payload").noconvert(), py::arg("ends").noconvert(),
        py::arg("out").noconvert(), py::arg("isa"), py::arg("threads"));
  m.def("huffman_tree_encode", &encode_trees, py::arg("symbols").noconvert(), py::arg("start"), py::arg("isa"));
  m.def("huffman_tree_decode", &decode_trees, py::arg("payload").noconvert(), py::arg("ends").noconvert(),
        py::arg("out").noconvert(), py::arg("isa"), py::arg("threads"));
  m.def("huffman_tree_lengths", &lengths_of, py::arg("counts").noconvert());
}

}  // namespace accel::bind
