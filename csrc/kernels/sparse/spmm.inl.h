// SPDX-License-Identifier: BSD-3-Clause
// Tiles of a sparse product; spmm.h says what and why.
#include "kernels/sparse/spmm_rows.inl.h"

namespace accel::ACCEL_ISA {
namespace {

constexpr int kAheadChannels = 8;

// The last pixel of several images; `from` is the last one's.
void pack_tail_images(const SpmmImage& s, const float* from, bool inside, long count, float* tail) {
  for (long i = 0; i < count; ++i, from += s.plane, tail += 4l * s.taps)
    for (int l = 0; l < 4; ++l) tail[l] = inside && l < s.tail_lanes ? from[(l + 1 - s.tail_lanes) * s.tail_step] : 0.f;
}

// One tap of `count` channels, whose tiles are `step` rows of X apart; fetches that of later channels too where `ahead`
// is not 0.
template <int N, bool MASKED>
ACCEL_INLINE void pack_tap(const SpmmImage& s, const float* from, const std::uint16_t* bits, long count, long ahead,
                           float* tile, float* tail) {
  const long step = static_cast<long>(s.taps) * N * f32::lanes;
  unsigned inside[N + 1] = {};
  for (int j = 0; j < N + (tail ? 1 : 0); ++j) inside[j] = bits[j];
  for (long i = 0; i < count; ++i, from += s.plane, tile += step) {
    ACCEL_UNROLL(4)
    for (int j = 0; j < N; ++j) {
      if (ahead) prefetch(from + ahead + j * f32::lanes);
      store(tile + j * f32::lanes,
            MASKED ? load_bits(from + j * f32::lanes, inside[j], zero()) : load(from + j * f32::lanes));
    }
    if (tail) store_quarter(tail + 4 * i * s.taps, quarter(load_bits(from + N * f32::lanes, inside[N], zero())));
  }
}

// Tap by tap: its lanes outside the image are the same in all channels.
template <int N>
void spmm_pack_image(const SpmmImage& s, long k, int count, long v, float* tile, float* tails) noexcept {
  constexpr unsigned kAll = (1u << f32::lanes) - 1u;
  const float* plane = s.x + k / s.taps * s.plane + v * f32::lanes;
  int tap = static_cast<int>(k % s.taps);
  for (int i = 0; i < s.taps && i < count; ++i) {
    const bool last = tap + 1 == s.taps;
    const std::uint16_t* bits = s.bits + tap * s.vectors + v;
    bool whole = true;
    for (int j = 0; j < N; ++j) whole = whole && bits[j] == kAll;
    const long channels = count / s.taps + (i < count % s.taps ? 1 : 0), ahead = last ? kAheadChannels * s.plane : 0;
    float *to = tile + static_cast<long>(i) * N * f32::lanes, *tail = tails ? tails + 4 * i : nullptr;
    if (tail && s.tail_lanes > 0) {
      pack_tail_images(s, plane + s.at[tap] + N * f32::lanes, bits[N] & 1u, channels, tail);
      tail = nullptr;
    }
    (whole ? pack_tap<N, false> : pack_tap<N, true>)(s, plane + s.at[tap], bits, channels, ahead, to, tail);
    if (last) plane += s.plane;
    tap = last ? 0 : tap + 1;
  }
}

// Of three columns around each pixel: a copy from one to the left, one as it is, one from one to the right. Loads that
// lie in two cache lines would take as long as shifts do at best, and beyond the image there are zeros at no cost,
// where masks made strips at the sides twice as slow to pack. The pixel to the left is taken from what the strip there
// left behind, if that came right before: its line would be one of three of each row to be called into the L1 cache.
template <bool LEFT, bool RIGHT>
void pack_neighbours(const SpmmStrip& s, int count, Range rows, long needed, float* tile) {
  const long high = s.window.rows(), copy = high * f32::lanes, ahead = kAheadChannels * s.plane;
  const bool kept = s.left && s.column + 1 >= f32::lanes;  // by a strip that was packed so
  const float *plane = s.x + s.row * s.width + s.column + 1, *lefts = kept ? s.left : plane - 1;
  const long left_row = kept ? 1 : s.width, left_channel = kept ? high : s.plane;
  float* right_edge = s.right;
  for (int c = 0; c < count; ++c, plane += s.plane, lefts += left_channel, right_edge += high, tile += 3 * copy)
    for (long r = 0; r < needed; ++r) {
      const bool inside = r >= rows.begin && r < rows.end;
      const float* from = plane + r * s.width;
      const f32 here = inside ? load(from) : zero(), left = LEFT && inside ? set1(lefts[r * left_row]) : zero(),
                right = RIGHT && inside ? set1(from[f32::lanes]) : zero();
      if (!LEFT && inside) prefetch(from + ahead);  // no strip before called for it
      float* to = tile + r * f32::lanes;
      store(to, f32{from_last_lane(left.v, here.v)});
      store(to + copy, here);
      store(to + 2 * copy, f32{from_second_lane(here.v, right.v)});
      if (RIGHT && inside) right_edge[r] = from[f32::lanes - 1];
    }
}

// Whether a strip is of that kind, and packed so.
bool packed_neighbours(const SpmmStrip& s, int count, Range rows, long needed, float* tile) {
  const long column = s.column + 1, beyond = s.width - column - f32::lanes;  // of the strip, and to its right
  if (s.window.kernel_w != 3 || s.dilation_w != 1 || column < 0 || beyond < 0) return false;
  (column > 0   ? beyond > 0 ? pack_neighbours<true, true> : pack_neighbours<true, false>
   : beyond > 0 ? pack_neighbours<false, true>
                : pack_neighbours<false, false>)(s, count, rows, needed, tile);
  return true;
}

// A bit for each of `wide` columns from `column` on that is inside an image of some width.
unsigned columns_inside(long column, int wide, long width) {
  const long first = column < 0 ? -column : 0, end = width - column < wide ? width - column : wide;
  return first < end ? (1u << end) - (1u << first) : 0u;
}

// Of vectors of two segments, n rows below each other: one after the other, as two stores take as long as one of both.
void pack_segments(const SpmmStrip& s, int count, int n, float* tile) {
  constexpr int kWide = f32::lanes / 2;
  constexpr unsigned kAll = (1u << kWide) - 1u;
  const SpmmWindow& w = s.window;
  const long needed = n + (w.kernel_h - 1l) * w.dilation_h, copy = static_cast<long>(w.rows()) * f32::lanes;
  const float* plane = s.x + s.row * s.width + s.column;
  for (int c = 0; c < count; ++c, plane += s.plane)
    for (int q = 0; q < w.kernel_w; ++q, tile += copy) {
      const unsigned bits = columns_inside(s.column + q * s.dilation_w, kWide, s.width);
      for (int g = 0; g < 2; ++g) {
        const float* from = plane + q * s.dilation_w + g * n * s.width;
        float* to = tile + g * kWide;
        for (long r = 0, row = s.row + g * n; r < needed; ++r, ++row, from += s.width, to += f32::lanes)
          if (const unsigned here = row >= 0 && row < s.height ? bits : 0u; here == kAll)
            std::memcpy(to, from, kWide * sizeof(float));
          else
            store_n(to, load_bits(from, here, zero()), kWide);
      }
    }
}

void spmm_pack_strip(const SpmmStrip& s, int count, int n, float* tile) noexcept {
  if (s.segments > 1) return pack_segments(s, count, n, tile);
  constexpr int kLanes = f32::lanes;
  const SpmmWindow& w = s.window;
  const long needed = n + (w.kernel_h - 1) * w.dilation_h, copy = w.rows() * kLanes;
  const long first = s.row < 0 ? -s.row : 0, end = s.height - s.row < needed ? s.height - s.row : needed;
  if (packed_neighbours(s, count, {first, end}, needed, tile)) return;
  const float* plane = s.x + s.row * s.width + s.column;
  const long ahead = kAheadChannels * s.plane + (w.kernel_w - 1l) * s.dilation_w + kLanes - 1;
  for (int c = 0; c < count; ++c, plane += s.plane, tile += w.kernel_w * copy) {
    for (long r = first; r < end; ++r) prefetch(plane + r * s.width + ahead);  // no block before called for all
    for (int q = 0; q < w.kernel_w; ++q) {
      const unsigned bits = columns_inside(s.column + q * s.dilation_w, kLanes, s.width);
      const float* from = plane + q * s.dilation_w;
      float* to = tile + q * copy;
      for (long r = first; r < end; ++r) store(to + r * kLanes, load_bits(from + r * s.width, bits, zero()));
      for (long r = 0; r < needed; ++r)
        if (r < first || r >= end) store(to + r * kLanes, zero());
    }
  }
}

void spmm_pack_rows(const float* x, long stride, long columns, int count, int n, float* tile) noexcept {
  constexpr int kLanes = f32::lanes;
  for (int v = 0; v < n; ++v)
    for (int k = 0; k < count; k += kLanes) {
      f32 t[kLanes];
      const int wide = count - k < kLanes ? count - k : kLanes;
      for (int i = 0; i < kLanes; ++i) {
        const float* from = x + (v * kLanes + i) * stride + k;
        t[i] = v * kLanes + i >= columns ? zero() : wide == kLanes ? load(from) : load_n(from, wide);
      }
      transpose(t);
      for (int i = 0; i < wide; ++i) store(tile + ((k + i) * n + v) * kLanes, t[i]);
    }
}

void spmm_unpack_rows(const float* sums, long rows, long columns, int n, float* y, long stride) noexcept {
  constexpr int kLanes = f32::lanes;
  for (long r = 0; r < rows; r += kLanes) {
    const int high = rows - r < kLanes ? static_cast<int>(rows - r) : kLanes;
    for (int v = 0; v < n; ++v) {
      f32 t[kLanes];
      for (int i = 0; i < kLanes; ++i) t[i] = i < high ? load(sums + ((r + i) * n + v) * kLanes) : zero();
      transpose(t);
      for (int i = 0; i < kLanes && v * kLanes + i < columns; ++i) {
        float* to = y + (v * kLanes + i) * stride + r;
        if (high == kLanes)
          store(to, t[i]);
        else
          store_n(to, t[i], high);
      }
    }
  }
}

void spmm_shared(const std::uint64_t* bits, std::size_t words, const std::int32_t* rows, long n,
                 std::int32_t* shared) noexcept {
  const std::uint64_t* const one = bits + static_cast<std::size_t>(rows[0]) * words;
  for (long i = 0; i < n; ++i) {
    const std::uint64_t* const other = bits + static_cast<std::size_t>(rows[i + 1]) * words;
    int count = 0;
    for (std::size_t w = 0; w < words; ++w) count += __builtin_popcountll(one[w] & other[w]);
    shared[i] = count;
  }
}

template <class Values, SpmmForm FORM>
constexpr SpmmForms::value_type spmm_form() {
  return {nullptr, &spmm_rows<Values, 1, FORM>, &spmm_rows<Values, 2, FORM>, &spmm_rows<Values, 3, FORM>,
          &spmm_rows<Values, 4, FORM>};
}
// Nulls, and no kernels, where not USED.
template <class Values, bool USED = true>
constexpr SpmmForms spmm_forms() {
  if constexpr (USED)
    return {spmm_form<Values, SpmmForm::plain>(), spmm_form<Values, SpmmForm::tail>(),
            spmm_form<Values, SpmmForm::strip>()};
  else
    return {};
}

constexpr SpmmKernels kSpmmKernels = {
    f32::lanes,
    kSpmmPairs ? &spmm_shared : nullptr,
    {spmm_forms<ValuesF32>(), spmm_forms<ValuesBf16>(), spmm_forms<ValuesI8>(), spmm_forms<ValuesCode16>(),
     spmm_forms<ValuesCode256>()},
    spmm_forms<ValuesF32Loads, kSpmmLoads>(),
    {nullptr, &spmm_pack_image<1>, &spmm_pack_image<2>, &spmm_pack_image<3>, &spmm_pack_image<4>},
    &spmm_pack_strip,
    &spmm_pack_rows,
    &spmm_unpack_rows,
};

}  // namespace
}  // namespace accel::ACCEL_ISA
