// SPDX-License-Identifier: BSD-3-Clause
// Three ways to a row: windows inside the image by `walk` for the usual widths, which reduces each input column once,
// and by `any_walk` for the others; windows cut by an edge one by one.
namespace accel::ACCEL_ISA {
namespace {

// -- windows -------------------------------------------------------------------------------------------------------

// In long: dilations and strides come from files, and first + dilation may pass 2^31.
struct Window {  // cells first, first + dilation, ... below last
  long first, last, cells;
};

ACCEL_INLINE long steps(long distance, long dilation) {  // a division costs more than a small window
  return dilation == 1 ? distance : (distance + dilation - 1) / dilation;
}

// The part of a window inside [0, size), and how many cells it has before size + after. None starts left of the
// padding.
ACCEL_INLINE Window window(long start, long kernel, long dilation, long size, long after) {
  Window w{start, start + (kernel - 1) * dilation + 1, 0};
  const long padded_last = w.last < size + after ? w.last : size + after;
  w.cells = padded_last > start ? steps(padded_last - start, dilation) : 0;
  if (w.first < 0) w.first += steps(-w.first, dilation) * dilation;
  if (w.last > size) w.last = size;
  return w;
}

ACCEL_INLINE long inside(const Window& w, long dilation) {
  return w.last > w.first ? steps(w.last - w.first, dilation) : 0;
}

// The outputs of a row whose windows lie inside the image: first .. last-1.
ACCEL_INLINE Window inner_columns(const PoolSpec& s) {
  const long width = s.output.width, room = s.input.width + s.left - (s.kernel_w - 1L) * s.dilation_w - 1;
  Window w{(s.left + s.stride_w - 1L) / s.stride_w, room < 0 ? 0 : room / s.stride_w + 1, 0};
  if (w.last > width) w.last = width;
  if (w.first > w.last) w.first = w.last = 0;
  return w;
}

// -- reductions ----------------------------------------------------------------------------------------------------

template <bool MAX>
ACCEL_INLINE f32 join(f32 a, f32 b) {
  return MAX ? max_nan(a, b) : a + b;
}
template <bool MAX>
ACCEL_INLINE f32 finish(f32 a, f32 divisor) {
  return MAX ? a : a / divisor;
}

template <bool MAX, int ROWS>
ACCEL_INLINE f32 column(const float* x, long row) {
  f32 a = load(x);
  ACCEL_UNROLL(4)
  for (int r = 1; r < ROWS; ++r) a = join<MAX>(a, load(x + r * row));
  return a;
}

// n windows inside the image, one slice of channels. Neighbours share KERNEL - STRIDE columns.
template <bool MAX, int KERNEL, int STRIDE, int ROWS>
void walk(const float* x, long row, float* y, long n, f32 divisor) {
  constexpr int kShared = KERNEL > STRIDE ? KERNEL - STRIDE : 0;
  f32 columns[KERNEL];
  ACCEL_UNROLL(4)
  for (int i = 0; i < kShared; ++i) columns[i] = column<MAX, ROWS>(x + i * kBlock, row);
  for (; n > 0; --n, x += STRIDE * kBlock, y += kBlock) {
    ACCEL_UNROLL(4)
    for (int i = kShared; i < KERNEL; ++i) columns[i] = column<MAX, ROWS>(x + i * kBlock, row);
    f32 a = columns[0];
    ACCEL_UNROLL(4)
    for (int i = 1; i < KERNEL; ++i) a = join<MAX>(a, columns[i]);
    store(y, finish<MAX>(a, divisor));
    ACCEL_UNROLL(4)
    for (int i = 0; i < kShared; ++i) columns[i] = columns[i + STRIDE];
  }
}

using Walk = void (*)(const float* x, long row, float* y, long n, f32 divisor);

// Null where no walk fits; `rows` counts those inside the image.
template <bool MAX>
ACCEL_INLINE Walk find_walk(const PoolSpec& s, long rows) {
  static constexpr Walk kWalks[2][2][3] = {{{&walk<MAX, 2, 1, 1>, &walk<MAX, 2, 1, 2>, &walk<MAX, 2, 1, 3>},
                                            {&walk<MAX, 2, 2, 1>, &walk<MAX, 2, 2, 2>, &walk<MAX, 2, 2, 3>}},
                                           {{&walk<MAX, 3, 1, 1>, &walk<MAX, 3, 1, 2>, &walk<MAX, 3, 1, 3>},
                                            {&walk<MAX, 3, 2, 1>, &walk<MAX, 3, 2, 2>, &walk<MAX, 3, 2, 3>}}};
  const bool fits = s.dilation_h == 1 && s.dilation_w == 1 && (s.kernel_w == 2 || s.kernel_w == 3) && s.stride_w < 3 &&
                    rows >= 1 && rows <= 3;
  return fits ? kWalks[s.kernel_w - 2][s.stride_w - 1][rows - 1] : nullptr;
}

// N neighbouring windows at once, so that their reductions overlap.
template <bool MAX, int N>
ACCEL_INLINE void reduce(const PoolSpec& s, const float* x, const Window& rows, const Window& columns, f32 divisor,
                         float* y) {
  f32 acc[N];
  ACCEL_UNROLL(4)
  for (int j = 0; j < N; ++j) acc[j] = MAX ? set1(-__builtin_inff()) : zero();
  const long step = static_cast<long>(s.stride_w) * kBlock;
  for (long r = rows.first; r < rows.last; r += s.dilation_h)
    for (long i = columns.first; i < columns.last; i += s.dilation_w) {
      const float* at = x + r * s.input.row + i * kBlock;
      ACCEL_UNROLL(4)
      for (int j = 0; j < N; ++j) acc[j] = join<MAX>(acc[j], load(at + j * step));
    }
  ACCEL_UNROLL(4)
  for (int j = 0; j < N; ++j) store(y + j * kBlock, finish<MAX>(acc[j], divisor));
}

// As walk, for any kernel.
template <bool MAX>
void any_walk(const PoolSpec& s, const float* x, const Window& rows, float* y, long n, f32 divisor) {
  const Window columns{0, (s.kernel_w - 1L) * s.dilation_w + 1, s.kernel_w};
  const long step = static_cast<long>(s.stride_w) * kBlock;
  for (; n >= 4; n -= 4, x += 4 * step, y += 4 * kBlock) reduce<MAX, 4>(s, x, rows, columns, divisor, y);
  for (; n > 0; --n, x += step, y += kBlock) reduce<MAX, 1>(s, x, rows, columns, divisor, y);
}

// -- rows ----------------------------------------------------------------------------------------------------------

// Windows that slices of channels walk in turn, while the inputs stay in the L1 cache.
constexpr long kTurn = 16;

template <bool MAX>
void edge_window(const PoolSpec& s, const float* x, const Window& rows, float* y, long i) {
  const Window columns = window(i * s.stride_w - s.left, s.kernel_w, s.dilation_w, s.input.width, s.right);
  const long cells =
      s.count_padding ? rows.cells * columns.cells : inside(rows, s.dilation_h) * inside(columns, s.dilation_w);
  const f32 divisor = set1(static_cast<float>(cells));
  for (int lane = 0; lane < kBlock; lane += f32::lanes)
    reduce<MAX, 1>(s, x + lane, rows, columns, divisor, y + i * kBlock + lane);
}

template <bool MAX>
void inner_windows(const PoolSpec& s, const float* x, const Window& rows, float* y, const Window& inner) {
  const long count = inside(rows, s.dilation_h);
  const f32 divisor = set1(static_cast<float>((s.count_padding ? rows.cells : count) * s.kernel_w));
  const Walk walk = find_walk<MAX>(s, count);
  for (long i = inner.first; i < inner.last; i += kTurn) {
    const long n = inner.last - i < kTurn ? inner.last - i : kTurn;
    const float* at = x + (i * s.stride_w - s.left) * kBlock;
    for (int lane = 0; lane < kBlock; lane += f32::lanes)
      if (walk)
        walk(at + rows.first * s.input.row + lane, s.input.row, y + i * kBlock + lane, n, divisor);
      else
        any_walk<MAX>(s, at + lane, rows, y + i * kBlock + lane, n, divisor);
  }
}

template <bool MAX>
void pool_rows(const PoolSpec& s, const float* x_plane, float* y_plane, long first, long last) {
  const float* x = x_plane + s.input.origin();
  float* y = y_plane + s.output.origin() + first * s.output.row;
  const Window inner = inner_columns(s);
  for (long r = first; r < last; ++r, y += s.output.row) {
    const Window rows = window(r * s.stride_h - s.top, s.kernel_h, s.dilation_h, s.input.height, s.bottom);
    for (long i = 0; i < inner.first; ++i) edge_window<MAX>(s, x, rows, y, i);
    inner_windows<MAX>(s, x, rows, y, inner);
    for (long i = inner.last; i < s.output.width; ++i) edge_window<MAX>(s, x, rows, y, i);
  }
}

// Four partial sums hide the latency of the addition; pixel i of a row belongs to sum i % 4 on every ISA.
void plane_mean(const Map& map, const float* x_plane, float* y) noexcept {
  constexpr int kSlices = f32::lanes == kBlock ? 1 : 2;  // at once: four sums of 4 or 8 lanes leave the adders idle
  for (int lane = 0; lane < kBlock; lane += kSlices * f32::lanes) {
    f32 sum[4][kSlices];
    const auto add = [&](const float* x, int j) __attribute__((always_inline)) {
      ACCEL_UNROLL(2)
      for (int v = 0; v < kSlices; ++v) sum[j][v] = sum[j][v] + load(x + j * kBlock + v * f32::lanes);
    };
    for (int j = 0; j < 4; ++j)
      for (int v = 0; v < kSlices; ++v) sum[j][v] = zero();
    for (int r = 0; r < map.height; ++r) {
      const float* x = x_plane + map.origin() + r * map.row + lane;
      int left = map.width;
      for (; left >= 4; left -= 4, x += 4 * kBlock) add(x, 0), add(x, 1), add(x, 2), add(x, 3);
      if (left > 0) add(x, 0);
      if (left > 1) add(x, 1);
      if (left > 2) add(x, 2);
    }
    const f32 pixels = set1(static_cast<float>(map.pixels()));
    for (int v = 0; v < kSlices; ++v)
      store(y + lane + v * f32::lanes, ((sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v])) / pixels);
  }
}

void rows(const PoolSpec& s, const float* x_plane, float* y_plane, long first, long last) noexcept {
  return s.kind == PoolSpec::Kind::max ? pool_rows<true>(s, x_plane, y_plane, first, last)
                                       : pool_rows<false>(s, x_plane, y_plane, first, last);
}

constexpr PoolKernels kKernels{&rows, &plane_mean};

}  // namespace
}  // namespace accel::ACCEL_ISA
