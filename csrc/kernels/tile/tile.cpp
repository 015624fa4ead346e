// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/tile/tile.h"

#include <limits>
#include <type_traits>
#include <utility>

#define ACCEL_KERNEL_FILE "kernels/tile/tile.inl.h"
#include "simd/foreach_isa.h"  // after every standard header

namespace accel {

#define ACCEL_TABLE_ENTRY kTiles
const TileSet* const kTileSets[kIsaCount] = {ACCEL_FOR_EACH_ISA(ACCEL_ISA_ROW)};

Tile plain_tile() noexcept {
  static constexpr std::int32_t kNoTap = 0;
  Tile t{};
  t.taps = &kNoTap;
  t.tap_count = 1;
  t.low = -std::numeric_limits<float>::infinity();
  t.high = std::numeric_limits<float>::infinity();
  t.lanes = kBlock;
  t.ahead = kNear;
  return t;
}

}  // namespace accel
