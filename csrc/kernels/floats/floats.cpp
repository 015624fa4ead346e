// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/floats/floats.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels/huffman/blocks.h"
#include "kernels/huffman/tree_reader.h"

#define ACCEL_KERNEL_FILE "kernels/floats/floats.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY float_split
const FloatSplit kFloatSplit[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY
#define ACCEL_TABLE_ENTRY float_merge
const FloatMerge kFloatMerge[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};
#undef ACCEL_TABLE_ENTRY

namespace {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using std::size_t;

constexpr size_t kStreamFrom = size_t{4} << 20;  // bytes: an output that would not stay in a core's cache

// One block. Planes are merged part by part: they are in a core's cache then, or are read for the first time where
// they are raw.
struct FloatDecoder {
  size_t width, isa;
  bool streaming;
  u8* scratch;  // trees', then the planes of a part
  TreeBlockReader reader[kFloatMostPlanes] = {};

  HuffmanStatus open(BlockBytes bytes, size_t n) noexcept {
    const size_t head = sizeof(u32) * (width - 1), all = bytes.left();
    if (all < head) return HuffmanStatus::cut_off;
    const u8* const block = bytes.take(all);
    const u8 *p = block + head, *const end = block + all;
    for (size_t plane = 0; plane < width; ++plane) {
      size_t size = static_cast<size_t>(end - p);
      if (plane + 1 < width) {
        u32 claimed;
        std::memcpy(&claimed, block + sizeof claimed * plane, sizeof claimed);
        if (claimed > size) return HuffmanStatus::stream_too_long;
        size = claimed;
      }
      const HuffmanStatus status = reader[plane].open({p, size}, n, isa);
      if (status != HuffmanStatus::ok) return status;
      p += size;
    }
    return HuffmanStatus::ok;
  }

  HuffmanStatus part(u8* out, size_t count) noexcept {
    const u8* planes[kFloatMostPlanes];
    for (size_t p = 0; p < width; ++p) {
      u8* const room = scratch + kTreeScratch + p * kTreePart;
      const HuffmanStatus status = reader[p].next(room, scratch, false, planes[p]);
      if (status != HuffmanStatus::ok) return status;
    }
    kFloatMerge[isa](planes, width, count, out, streaming);
    return HuffmanStatus::ok;
  }

  HuffmanStatus operator()(const BlockBytes& bytes, u8* out, size_t out_bytes) noexcept {
    const size_t n = out_bytes / width;
    HuffmanStatus status = open(bytes, n);
    for (size_t at = 0; at < n && status == HuffmanStatus::ok; at += kTreePart)
      status = part(out + width * at, std::min(kTreePart, n - at));
    for (size_t p = 0; p < width && status == HuffmanStatus::ok; ++p) status = reader[p].close();
    return status;
  }
};

size_t encode_block(const u8* src, size_t width, size_t n, size_t isa, u8* out, u8* scratch) noexcept {
  u8* planes[kFloatMostPlanes];
  for (size_t p = 0; p < width; ++p) planes[p] = scratch + kTreeScratch + p * n;
  kFloatSplit[isa](src, width, n, planes);
  u8* at = out + sizeof(u32) * (width - 1);
  for (size_t p = 0; p < width; ++p) {
    const size_t bytes = tree_encode_block(planes[p], n, isa, true, at, scratch);
    const u32 size = static_cast<u32>(bytes);
    if (p + 1 < width) std::memcpy(out + sizeof size * p, &size, sizeof size);
    at += bytes;
  }
  return static_cast<size_t>(at - out);
}

}  // namespace

size_t float_encode(const u8* src, size_t width, size_t n, size_t isa, u8* out, std::int64_t* sizes,
                    u8* scratch) noexcept {
  u8* p = out;
  for (size_t k = 0; k < float_block_count(n); ++k) {
    const size_t first = k * kFloatBlock;
    const size_t bytes = encode_block(src + width * first, width, std::min(kFloatBlock, n - first), isa, p, scratch);
    sizes[k] = static_cast<std::int64_t>(bytes);
    p += bytes;
  }
  return static_cast<size_t>(p - out);
}

HuffmanFailure float_decode(const HuffmanDecodeTask& task, size_t width, size_t isa, int threads,
                            u8* scratch) noexcept {
  const bool streaming = task.n >= kStreamFrom;
  const HuffmanFailure failure = decode_blocks(task, width * kFloatBlock, threads, [&](int part) {
    return FloatDecoder{width, isa, streaming, scratch + static_cast<size_t>(part) * float_decode_scratch(width)};
  });
  if (streaming) std::atomic_thread_fence(std::memory_order_seq_cst);  // streaming stores are not ordered by themselves
  return failure;
}

}  // namespace accel
