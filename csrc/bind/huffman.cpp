// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/huffman/huffman.h"

#include <algorithm>

#include "bind/huffman.h"
#include "kernels/huffman/frame.h"
#include "kernels/huffman/tree.h"
#include "kernels/huffman/tree_summed.h"

namespace accel::bind::huffman_bindings {
namespace {

// uint32 (blocks, 256): how often each symbol occurs in each block.
Array<std::uint32_t> histograms(const Bytes& symbols, int isa) {
  const auto count = kHuffmanHistogram[checked_isa(isa)];
  const auto n = static_cast<std::size_t>(symbols.size());
  Array<std::uint32_t> counts({static_cast<py::ssize_t>(huffman_block_count(n)), py::ssize_t{256}});
  const std::uint8_t* src = symbols.data();
  std::uint32_t* dst = counts.mutable_data();
  const Unlocked unlocked;
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
    const Unlocked unlocked;
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
  const HuffmanDecodeTask task{in_memory(payload), ends.data(), out.mutable_data(), n};
  HuffmanFailure failure;
  {
    const Unlocked unlocked;
    failure = huffman_decode_blocks(task, decode_block, threads);
  }
  return py::make_tuple(static_cast<int>(failure.status), failure.block);
}

// A stream of format H4 from its first byte to its last into `out`. False, whatever is in `out` then, where it is
// another, `out` cannot take it, or anything is wrong: the caller goes through it again to say what.
bool decode_at_once(const Bytes& data, const py::object& out, int isa, int threads) {
  const auto decode_block = kHuffmanDecodeBlock[checked_isa(isa)];
  require(threads >= 1, "huffman: threads must be at least 1");
  if (!holds<std::uint8_t>(out)) return false;
  auto symbols = py::reinterpret_borrow<Bytes>(out);
  if (symbols.ndim() != 1 || !symbols.writeable() || !apart(data, symbols)) return false;
  const auto bytes = static_cast<std::size_t>(data.size()), n = static_cast<std::size_t>(symbols.size());
  std::uint8_t* const to = symbols.mutable_data();
  const Unlocked unlocked;
  const auto frame = huffman_frame(data.data(), bytes, n);
  if (!frame) return false;
  const HuffmanDecodeTask task{{data.data() + frame->head, bytes - frame->head}, frame->ends.data(), to, n};
  return huffman_decode_blocks(task, decode_block, threads).status == HuffmanStatus::ok;
}

py::object encode_trees(const Bytes& symbols, const std::string& start, int isa) {
  const std::size_t level = checked_isa(isa), n = static_cast<std::size_t>(symbols.size());
  const Blocks blocks{n, tree_block_count(n), Sizes::varint, tree_bound(n), kTreeScratch};
  return encode_stream(start, blocks, [&](std::uint8_t* out, std::int64_t* sizes, std::uint8_t* work) {
    return tree_encode(symbols.data(), n, level, out, sizes, work);
  });
}

// What decoding a stream of format HT needs: `data`, `file` and `first` are those of payload_of.
struct TreeTask {
  HuffmanDecodeTask task;
  std::size_t isa;
  int workers;
  std::unique_ptr<std::uint8_t[]> work;
};
TreeTask tree_task(const Bytes& data, int file, std::int64_t first, const Longs& ends, Bytes& out, int isa,
                   int threads) {
  const std::size_t level = checked_isa(isa), n = static_cast<std::size_t>(out.size());
  require(threads >= 1, "huffman: threads must be at least 1");
  require(static_cast<std::size_t>(ends.size()) == tree_block_count(n), "huffman: one end per block expected");
  const std::size_t workers = std::clamp<std::size_t>(tree_block_count(n), 1, static_cast<std::size_t>(threads));
  auto work = scratch((kTreeScratch + kWindow) * workers);
  const Payload payload = payload_of(data, file, first, ends, work.get() + kTreeScratch * workers);
  return {{payload, ends.data(), out.mutable_data(), n}, level, static_cast<int>(workers), std::move(work)};
}

py::tuple decode_trees(const Bytes& payload, const Longs& ends, Bytes& out, int isa, int threads) {
  const TreeTask to = tree_task(payload, -1, 0, ends, out, isa, threads);
  HuffmanFailure failure;
  {
    const Unlocked unlocked;
    failure = tree_decode(to.task, to.isa, to.workers, to.work.get());
  }
  return py::make_tuple(static_cast<int>(failure.status), failure.block);
}

// As decode_trees, into fresh memory, from a file where there is one; and the CRC-32 of the symbols, and a bound that
// none is above.
py::tuple decode_trees_summed(const Bytes& data, int file, std::int64_t first, const Longs& ends, Bytes& out, int isa,
                              int threads) {
  const TreeTask to = tree_task(data, file, first, ends, out, isa, threads);
  std::vector<TreeSum> blocks(static_cast<std::size_t>(ends.size()));
  HuffmanFailure failure;
  TreeSum all;
  {
    const Unlocked unlocked;
    failure = tree_decode_summed(to.task, to.isa, to.workers, to.work.get(), blocks.data(), all);
  }
  return py::make_tuple(static_cast<int>(failure.status), failure.block, all.crc, all.most);
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

std::uint32_t checksum(const Bytes& data, int isa) {
  const bool folding = checked_isa(isa) > 0;
  const Unlocked unlocked;
  return crc32(0, data.data(), static_cast<std::size_t>(data.size()), folding);
}

}  // namespace

void add(py::module_& m) {
  m.def("huffman_histograms", &histograms, py::arg("symbols").noconvert(), py::arg("isa"));
  m.def("huffman_encode", &encode, py::arg("symbols").noconvert(), py::arg("kinds").noconvert(),
        py::arg("lengths").noconvert(), py::arg("tables").noconvert(), py::arg("table_bytes").noconvert(),
        py::arg("isa"));
  m.def("huffman_decode", &decode, py::arg("payload").noconvert(), py::arg("ends").noconvert(),
        py::arg("out").noconvert(), py::arg("isa"), py::arg("threads"));
  m.def("huffman_decode_at_once", &decode_at_once, py::arg("data").noconvert(), py::arg("out"), py::arg("isa"),
        py::arg("threads"));
  m.def("huffman_tree_encode", &encode_trees, py::arg("symbols").noconvert(), py::arg("start"), py::arg("isa"));
  m.def("huffman_tree_decode", &decode_trees, py::arg("payload").noconvert(), py::arg("ends").noconvert(),
        py::arg("out").noconvert(), py::arg("isa"), py::arg("threads"));
  m.def("huffman_tree_decode_summed", &decode_trees_summed, py::arg("data").noconvert(), py::arg("file"),
        py::arg("first"), py::arg("ends").noconvert(), py::arg("out").noconvert(), py::arg("isa"), py::arg("threads"));
  m.def("crc32", &checksum, py::arg("data").noconvert(), py::arg("isa"));
  m.def("huffman_tree_lengths", &lengths_of, py::arg("counts").noconvert());
}

}  // namespace accel::bind::huffman_bindings
