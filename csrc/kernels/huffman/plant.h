// SPDX-License-Identifier: BSD-3-Clause
// Bugs on purpose: with -DACCEL_PLANT=k, which tests/fuzz/fuzz_huffman.py alone sets, the decoders lack one check, and
// the fuzzer has to find that.
#pragma once

#ifndef ACCEL_PLANT
#define ACCEL_PLANT 0
#endif

namespace accel {

enum class Plant {
  none,
  stream_size,   // H4: a stream may be longer than its block
  last_refill,   // H4: one step more than what surely stays inside the input
  table_end,     // both: a run of code lengths may pass symbol 255
  node_size,     // HT: a node's payload may be longer than its part
  node_padding,  // HT: bits behind a node's last symbol may be set
};

constexpr bool planted(Plant bug) { return static_cast<int>(bug) == ACCEL_PLANT; }

}  // namespace accel
