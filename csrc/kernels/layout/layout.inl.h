// SPDX-License-Identifier: BSD-3-Clause
// Between 16 planes of plain pixels and one block: squares of lanes x lanes floats, transposed in registers.
namespace accel::ACCEL_ISA {
namespace {

constexpr int kSquare = f32::lanes;

// The next pixels of a block, rows and the gaps between them included.
struct Walker {
  const BlockRows& rows;
  float* at;
  long left;  // pixels of this row

  Walker(const BlockRows& r, float* first, long pixel)
      : rows(r),
        at(first + pixel / r.width * (r.width * kBlock + r.gap) + pixel % r.width * kBlock),
        left(r.width - pixel % r.width) {}
  void next(float** out, int n) {  // the addresses of n pixels
    for (int i = 0; i < n; ++i) {
      if (left == 0) at += rows.gap, left = rows.width;
      out[i] = at;
      at += kBlock, --left;
    }
  }
};

// Up to kBlock neighbouring pixels: n of them, a multiple of kSquare or fewer than that. f(square, slice, first, n).
template <class F>
ACCEL_INLINE void for_squares(int n, const F& f) {
  // Slice by slice, so that planes that lie a multiple of 4 KB apart do not drive each other out of the L1 cache.
  for (int lane = 0; lane < kBlock; lane += kSquare)
    for (int i = 0; i < n; i += kSquare) f(lane, i, n - i < kSquare ? n - i : kSquare);
}

// n pixels from `from` on, of `channels` planes that lie `channel` floats apart; lanes past them become zero.
template <bool FULL>
ACCEL_INLINE void import_pixels(const float* from, long channel, int channels, float* const* to, int n) {
  for_squares(n, [=](int lane, int first, int count) __attribute__((always_inline)) {
    f32 t[kSquare];
    const float* plane = from + lane * channel + first;
    ACCEL_UNROLL(16)
    for (int i = 0; i < kSquare; ++i, plane += channel) {
      if (FULL)
        t[i] = load(plane);
      else
        t[i] = lane + i >= channels ? zero() : count == kSquare ? load(plane) : load_n(plane, count);
    }
    transpose(t);
    ACCEL_UNROLL(16)
    for (int i = 0; i < kSquare; ++i)
      if (FULL || i < count) store(to[first + i] + lane, t[i]);
  });
}

template <bool FULL>
ACCEL_INLINE void export_pixels(float* const* from, float* to, long channel, int channels, int n) {
  for_squares(n, [=](int lane, int first, int count) __attribute__((always_inline)) {
    f32 t[kSquare];
    ACCEL_UNROLL(16)
    for (int i = 0; i < kSquare; ++i) t[i] = load(from[FULL || i < count ? first + i : first] + lane);
    transpose(t);
    float* plane = to + lane * channel + first;
    ACCEL_UNROLL(16)
    for (int i = 0; i < kSquare; ++i, plane += channel) {
      if (FULL)
        store(plane, t[i]);
      else if (lane + i < channels)
        count == kSquare ? store(plane, t[i]) : store_n(plane, t[i], count);
    }
  });
}

// pixels(first, addresses, n) in steps of a block; the last steps start earlier rather than being short, where
// there are enough pixels: what they write again is the same.
template <class F>
ACCEL_INLINE void for_pixels(const BlockRows& rows, float* first, long pixels, const F& f) {
  float* at[kBlock];
  long i = 0;
  Walker walker(rows, first, 0);
  for (; i + kBlock <= pixels; i += kBlock) {
    walker.next(at, kBlock);
    f(i, at, kBlock);
  }
  for (int n; i < pixels; i += n) {
    n = pixels < kSquare ? static_cast<int>(pixels) : kSquare;
    if (i + n > pixels) i = pixels - n;
    Walker(rows, first, i).next(at, n);
    f(i, at, n);
  }
}

void import_block(const float* from, long channel, int channels, float* to, const BlockRows& rows,
                  long pixels) noexcept {
  for_pixels(rows, to, pixels, [=](long i, float* const* at, int n) __attribute__((always_inline)) {
    if (channels == kBlock && n == kBlock)
      import_pixels<true>(from + i, channel, kBlock, at, kBlock);
    else
      import_pixels<false>(from + i, channel, channels, at, n);
  });
}

void export_block(const float* from, const BlockRows& rows, long pixels, float* to, long channel,
                  int channels) noexcept {
  for_pixels(rows, const_cast<float*>(from), pixels,
             [=](long i, float* const* at, int n) __attribute__((always_inline)) {
               if (channels == kBlock && n == kBlock)
                 export_pixels<true>(at, to + i, channel, kBlock, kBlock);
               else
                 export_pixels<false>(at, to + i, channel, channels, n);
             });
}

constexpr LayoutKernels kKernels{&import_block, &export_block};

}  // namespace
}  // namespace accel::ACCEL_ISA
