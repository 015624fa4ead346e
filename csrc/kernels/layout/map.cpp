// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/layout/map.h"

#include <stdexcept>

namespace accel {

Map make_map(bool blocked, int images, int channels, int height, int width, int halo) {
  if (images < 0 || channels < 0 || height < 0 || width < 0 || halo < 0)
    throw std::invalid_argument("map: sizes must not be negative");
  constexpr double kMostPlane = 1 << 30, kMost = 1099511627776.0;
  const double plane = (height + 2.0 * halo) * (width + 2.0 * halo) * (blocked ? kBlock : 1) + kBlock;
  if (plane > kMostPlane || plane * channels * (images > 0 ? images : 1) > kMost)
    throw std::length_error("map: too large");
  Map m{blocked, images, channels, height, width, halo};
  m.row = static_cast<long>(width + 2 * halo) * m.pixel();
  m.plane = (height + 2 * halo) * m.row;
  // Planes a multiple of 4 KB apart would all start in the same cache set.
  if (blocked && m.plane % 1024 == 0) m.plane += kBlock;
  m.image = m.planes() * m.plane;
  return m;
}

}  // namespace accel
