// SPDX-License-Identifier: BSD-3-Clause
// Blocks of a stream, one by one and over threads, the same for all formats.
#pragma once
#include <algorithm>
#include <mutex>

#include "kernels/huffman/huffman.h"
#include "runtime/pages.h"
#include "runtime/pool.h"

namespace accel {

// Block k; false where the ends are none that ascend inside the payload.
inline bool block_of(const Payload& payload, const std::int64_t* ends, long k, int thread, BlockBytes& block) noexcept {
  const std::int64_t begin = k ? ends[k - 1] : 0, end = ends[k];
  if (begin < 0 || end < begin || static_cast<std::uint64_t>(end) > payload.bytes) return false;
  block = payload.block(static_cast<std::size_t>(begin), static_cast<std::size_t>(end), thread);
  return true;
}

// `start(part)` gives a thread its decoder: a call (bytes, out, n) that returns a status.
template <class Start>
HuffmanFailure decode_blocks(const HuffmanDecodeTask& task, std::size_t block, int threads, Start start) noexcept {
  const long blocks = static_cast<long>((task.n + block - 1) / block);
  const auto range = [&](int part, Range of) -> HuffmanFailure {
    auto&& decode = start(part);
    std::uint8_t* const last = task.out + std::min(static_cast<std::size_t>(of.end) * block, task.n);
    for (long k = of.begin; k < of.end; ++k) {
      BlockBytes bytes;
      if (!block_of(task.payload, task.ends, k, part, bytes)) return {HuffmanStatus::bad_ends, k};
      const std::size_t first = static_cast<std::size_t>(k) * block, n = std::min(block, task.n - first);
      touch_pages(task.out + first, task.out + first + n, last);
      const HuffmanStatus status = decode(bytes, task.out + first, n);
      if (status != HuffmanStatus::ok) return {status, k};
    }
    return {};
  };
  const int wanted = static_cast<int>(std::min<long>(threads, blocks));
  if (wanted <= 1) return range(0, {0, blocks});
  std::mutex guard;
  HuffmanFailure first;
  parallel(wanted, [&](int part, int parts) {
    const HuffmanFailure failure = range(part, part_of(blocks, part, parts));
    const std::lock_guard lock(guard);
    if (failure.block >= 0 && (first.block < 0 || failure.block < first.block)) first = failure;
  });
  return first;
}

}  // namespace accel
