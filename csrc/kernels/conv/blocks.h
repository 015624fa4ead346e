// SPDX-License-Identifier: BSD-3-Clause
// The order in which a convolution by transformed tiles does its work, on one thread and on several.
#pragma once
#include <algorithm>

#include "runtime/pool.h"

namespace accel {

// The work is cut into blocks, some tiles of one group of channels each, and where those are too few for the threads
// each block by its input channels and then by its panels of outputs.
struct BlockCut {
  long blocks;
  int depth_blocks;  // of 16 input channels
  int panels, step;  // of 16 outputs; `step` of them stay together
  bool split;        // the blocks are too few
  double macs;       // of everything
};

// For each block: `input(block, Range of depth blocks)`, then `products(block, Range of panels, part, next)`, where
// `part` tells scratch memory apart and `next` is the same thread's next block, -1 for none. `block_at(index, part)`.
template <class BlockAt, class Input, class Products>
void run_blocks(const BlockCut& cut, int threads, const BlockAt& block_at, const Input& input,
                const Products& products) {
  if (cut.split && threads > 1) {
    for (long i = 0; i < cut.blocks; ++i) {
      const auto block = block_at(i, 0);
      parallel(threads, [&](int part, int parts) { input(block, part_of(cut.depth_blocks, part, parts)); });
      parallel(threads, [&](int part, int parts) {
        const Range r = part_of((cut.panels + cut.step - 1) / cut.step, part, parts);
        products(block, Range{r.begin * cut.step, std::min<long>(r.end * cut.step, cut.panels)}, part, -1);
      });
    }
    return;
  }
  parallel(parts_for(cut.macs, cut.blocks, threads), [&](int part, int parts) {
    const Range r = part_of(cut.blocks, part, parts);
    for (long i = r.begin; i < r.end; ++i) {
      const auto block = block_at(i, part);
      input(block, Range{0, cut.depth_blocks});
      products(block, Range{0, cut.panels}, part, i + 1 < r.end ? i + 1 : -1);
    }
  });
}

}  // namespace accel
