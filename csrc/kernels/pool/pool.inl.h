// SPDX-License-Identifier: BSD-3-Clause
namespace accel::ACCEL_ISA {
namespace {

// In long: dilations and strides come from files, and first + dilation may pass 2^31.
struct Window {  // cells first, first + dilation, ... below last
  long first, last, cells;
};

// The part of a window inside [0, size), and how many cells it has before size + after. None starts left of the
// padding.
ACCEL_INLINE Window window(long start, long kernel, long dilation, long size, long after) {
  Window w{start, start + (kernel - 1) * dilation + 1, 0};
  const long padded_last = w.last < size + after ? w.last : size + after;
  w.cells = padded_last > start ? (padded_last - start + dilation - 1) / dilation : 0;
  if (w.first < 0) w.first += (-w.first + dilation - 1) / dilation * dilation;
  if (w.last > size) w.last = size;
  return w;
}

template <bool MAX>
ACCEL_INLINE f32 reduce_window(const PoolSpec& s, const float* x, const Window& rows, const Window& columns) {
  f32 acc = MAX ? set1(-__builtin_inff()) : zero();
  for (long y = rows.first; y < rows.last; y += s.dilation_h)
    for (long i = columns.first; i < columns.last; i += s.dilation_w) {
      const f32 v = load(x + y * s.input.row + i * kBlock);
      acc = MAX ? max_nan(acc, v) : acc + v;
    }
  return acc;
}

ACCEL_INLINE long inside(const Window& w, int dilation) {
  return w.last > w.first ? (w.last - w.first + dilation - 1) / dilation : 0;
}

void pool_row(const PoolSpec& s, const float* x_plane, float* y_plane, int y) noexcept {
  const float* x = x_plane + s.input.origin();
  float* out = y_plane + s.output.origin() + y * s.output.row;
  const Window rows =
      window(static_cast<long>(y) * s.stride_h - s.top, s.kernel_h, s.dilation_h, s.input.height, s.bottom);
  for (int i = 0; i < s.output.width; ++i, out += kBlock) {
    const Window columns =
        window(static_cast<long>(i) * s.stride_w - s.left, s.kernel_w, s.dilation_w, s.input.width, s.right);
    const long cells =
        s.count_padding ? rows.cells * columns.cells : inside(rows, s.dilation_h) * inside(columns, s.dilation_w);
    const f32 divisor = set1(static_cast<float>(cells));
    for (int lane = 0; lane < kBlock; lane += f32::lanes) {
      if (s.kind == PoolSpec::Kind::max)
        store(out + lane, reduce_window<true>(s, x + lane, rows, columns));
      else
        store(out + lane, reduce_window<false>(s, x + lane, rows, columns) / divisor);
    }
  }
}

// Four partial sums hide the latency of the addition; their order is fixed.
void plane_mean(const Map& map, const float* x_plane, float* y) noexcept {
  for (int lane = 0; lane < kBlock; lane += f32::lanes) {
    f32 sum[4] = {zero(), zero(), zero(), zero()};
    for (int r = 0; r < map.height; ++r) {
      const float* x = x_plane + map.origin() + r * map.row + lane;
      int i = 0;
      for (; i + 4 <= map.width; i += 4)
        for (int j = 0; j < 4; ++j) sum[j] = sum[j] + load(x + (i + j) * kBlock);
      for (; i < map.width; ++i) sum[0] = sum[0] + load(x + i * kBlock);
    }
    store(y + lane, ((sum[0] + sum[1]) + (sum[2] + sum[3])) / set1(static_cast<float>(map.pixels())));
  }
}

constexpr PoolKernels kKernels{&pool_row, &plane_mean};

}  // namespace
}  // namespace accel::ACCEL_ISA
