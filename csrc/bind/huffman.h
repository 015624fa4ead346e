// SPDX-License-Identifier: BSD-3-Clause
// What the bindings of streams of blocks share: a stream is written where it stays, behind a frame of the likely size.
#pragma once
#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bind/bind.h"
#include "kernels/huffman/crc32.h"
#include "kernels/huffman/payload.h"

namespace accel::bind {

using Bytes = Array<std::uint8_t>;
using Longs = Array<std::int64_t>;

inline std::unique_ptr<std::uint8_t[]> scratch(std::size_t bytes) {  // not zeroed: that would take as long as a part
  return std::unique_ptr<std::uint8_t[]>(new std::uint8_t[bytes]);
}

inline Payload in_memory(const Bytes& bytes) { return {bytes.data(), static_cast<std::size_t>(bytes.size())}; }

// Blocks in `data`; or, where `file` is not negative, in that file from `first` on.
inline Payload payload_of(const Bytes& data, int file, std::int64_t first, const Longs& ends, std::uint8_t* windows) {
  if (file < 0) return in_memory(data);
  const std::int64_t bytes = ends.size() ? ends.data()[ends.size() - 1] : 0;
  require(first >= 0 && bytes >= 0 && first <= INT64_MAX - bytes, "file: a place in it expected");
  return {nullptr, static_cast<std::size_t>(bytes), file, first, windows};
}

inline void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 128; value >>= 7) out.push_back(static_cast<char>(value | 128));
  out.push_back(static_cast<char>(value));
}

inline void put_u32(std::string& out, std::uint32_t value) {
  for (int k = 0; k < 4; ++k) out.push_back(static_cast<char>(value >> 8 * k));
}

enum class Sizes { varint, u32 };

// `start`, n, the sizes of the blocks and a checksum.
inline std::string frame(const std::string& start, std::size_t n, const std::vector<std::int64_t>& sizes, Sizes as) {
  std::string out = start;
  put_varint(out, n);
  for (const std::int64_t size : sizes) {
    if (as == Sizes::u32)
      put_u32(out, static_cast<std::uint32_t>(size));
    else
      put_varint(out, static_cast<std::uint64_t>(size));
  }
  put_u32(out, crc32(0, reinterpret_cast<const std::uint8_t*>(out.data()), out.size(), false));
  return out;
}

// 4 KB pages of fresh memory take longer than encoding into them.
inline void ask_for_huge_pages(std::uint8_t* begin, std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t kPage = 4096;
  const std::uintptr_t from = (reinterpret_cast<std::uintptr_t>(begin) + kPage - 1) / kPage * kPage;
  const std::uintptr_t to = (reinterpret_cast<std::uintptr_t>(begin) + bytes) / kPage * kPage;
  if (bytes >= std::size_t{4} << 20) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
#else
  (void)begin, (void)bytes;
#endif
}

struct Blocks {
  std::size_t n, count;  // elements; blocks
  Sizes sizes;
  std::size_t bound, scratch_bytes;  // of `fill`
};

// A bytes object: the frame, then what fill(out, sizes, scratch) writes; it returns how much.
template <class Fill>
py::object encode_stream(const std::string& start, const Blocks& blocks, Fill fill) {
  std::vector<std::int64_t> sizes(blocks.count);
  const std::size_t room = start.size() + 4 + 4 + (blocks.sizes == Sizes::u32 ? 4 : 3) * sizes.size();
  PyObject* stream = PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(room + blocks.bound));
  if (!stream) throw py::error_already_set();
  auto* const begin = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(stream));
  ask_for_huge_pages(begin, room + blocks.bound);
  std::size_t used;
  std::string head;
  {
    const auto work = scratch(blocks.scratch_bytes);
    const Unlocked unlocked;
    used = fill(begin + room, sizes.data(), work.get());
    head = frame(start, blocks.n, sizes, blocks.sizes);
    if (head.size() != room) std::memmove(begin + head.size(), begin + room, used);
    std::memcpy(begin, head.data(), head.size());
  }
  if (_PyBytes_Resize(&stream, static_cast<py::ssize_t>(head.size() + used))) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(stream);
}

}  // namespace accel::bind
