// SPDX-License-Identifier: BSD-3-Clause
// Tiles of a sparse product; spmm.h says what and why.
namespace accel::ACCEL_ISA {
namespace {

// How each kind lies in memory: four values from p on, and the bytes that n values of a row take.
struct ValuesF32 {
  explicit ACCEL_FORCE_INLINE ValuesF32(const float*) {}
  static constexpr int bytes(int n) { return 4 * n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(reinterpret_cast<const float*>(p)); }
};
struct ValuesBf16 {
  explicit ACCEL_FORCE_INLINE ValuesBf16(const float*) {}
  static constexpr int bytes(int n) { return 2 * n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(reinterpret_cast<const std::uint16_t*>(p)); }
};
struct ValuesI8 {
  explicit ACCEL_FORCE_INLINE ValuesI8(const float*) {}
  static constexpr int bytes(int n) { return n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(reinterpret_cast<const std::int8_t*>(p)); }
};
struct ValuesCode16 {
  QuadBook book;
  explicit ACCEL_FORCE_INLINE ValuesCode16(const float* b) : book(b) {}
  static constexpr int bytes(int n) { return (n + 3) / 4 * 2; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const { return quad(book, p); }
};
struct ValuesCode256 {
  const float* book;
  explicit ACCEL_FORCE_INLINE ValuesCode256(const float* b) : book(b) {}
  static constexpr int bytes(int n) { return n; }
  ACCEL_FORCE_INLINE f32 four(const std::uint8_t* p) const {
    return quad(book[p[0]], book[p[1]], book[p[2]], book[p[3]]);
  }
};

// Tried: fetching the partial sums ahead, no gain.
// The sums of one row: even and odd values of a block apart, so that a product need not wait for the one before.
template <int NZ>
struct RowSums {
  f32 even[NZ], odd[NZ];

  ACCEL_FORCE_INLINE void begin(const float* sum, bool first) {
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) {
      even[j] = first ? zero() : load(sum + j * f32::lanes);
      odd[j] = zero();
    }
  }
  template <int I>
  ACCEL_FORCE_INLINE void add(f32 values, const float* x, const std::uint8_t* offset) {
    const f32 w = spread<I>(values);
    const float* row = x + static_cast<long>(offset[I]) * (NZ * f32::lanes);
    f32* to = I % 2 ? odd : even;
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) to[j] = fma(w, load(row + j * f32::lanes), to[j]);
  }
  ACCEL_FORCE_INLINE void store_to(float* sum) const {
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) store(sum + j * f32::lanes, even[j] + odd[j]);
  }
  ACCEL_FORCE_INLINE void finish(const SpmmPiece& p, long row) const {
    float* y = p.y + row * p.y_row;
    const f32 bias = set1(p.bias[row]), low = set1(p.low), high = set1(p.high);
    ACCEL_UNROLL(4)
    for (int j = 0; j < NZ; ++j) {
      const int n = j + 1 < NZ ? f32::lanes : p.last_lanes;
      f32 v = even[j] + odd[j];
      v = p.scale ? fma(v, set1(p.scale[row]), bias) : v + bias;
      if (p.residual) {
        const float* r = p.residual + row * p.residual_row + j * f32::lanes;
        v = v + (n == f32::lanes ? load(r) : load_n(r, n));
      }
      v = min(high, max(low, v));
      if (n == f32::lanes)
        store(y + j * f32::lanes, v);
      else
        store_n(y + j * f32::lanes, v, n);
    }
  }
};

constexpr int kAheadRows = 6;      // of y fetched ahead
constexpr int kAheadBytes = 1024;  // of values
constexpr int kAheadChannels = 8;

template <class Values, int NZ>
void spmm_rows(const SpmmPiece& p) noexcept {
  constexpr int kWidth = NZ * f32::lanes;
  const Values from(p.book);
  const std::uint16_t* row = p.row;
  const std::uint8_t *offset = p.offset, *values = p.values;
  const float* x = p.x;
  for (const SpmmRun* run = p.runs; run != p.runs + p.run_count; ++run) {
    const int count = run->count, rest = count % 4;
    for (int r = 0; r < run->rows; ++r, ++row) {
      float* sum = p.sums + static_cast<long>(*row) * kWidth;
      prefetch(values + kAheadBytes);
      if (p.last) {
        ACCEL_UNROLL(4)
        for (int j = 0; j < kWidth; j += 16) prefetch(p.y + row[kAheadRows] * p.y_row + j);
      }
      RowSums<NZ> sums;
      sums.begin(sum, p.first);
      for (int i = 4; i <= count; i += 4, offset += 4, values += Values::bytes(4)) {
        const f32 four = from.four(values);
        sums.template add<0>(four, x, offset);
        sums.template add<1>(four, x, offset);
        sums.template add<2>(four, x, offset);
        sums.template add<3>(four, x, offset);
      }
      if (rest) {
        const f32 four = from.four(values);
        sums.template add<0>(four, x, offset);
        if (rest > 1) sums.template add<1>(four, x, offset);
        if (rest > 2) sums.template add<2>(four, x, offset);
        offset += rest, values += Values::bytes(rest);
      }
      if (p.last)
        sums.finish(p, *row);
      else
        sums.store_to(sum);
    }
  }
}

// Fetches a later channel too, by its last tap, whose pixels no tile has read yet.
template <int N>
void spmm_pack_image(const SpmmImage& s, long k, int count, long v, float* tile) noexcept {
  const float* plane = s.x + k / s.taps * s.plane + v * f32::lanes;
  int tap = static_cast<int>(k % s.taps);
  for (int i = 0; i < count; ++i, tile += N * f32::lanes) {
    const float* from = plane + s.at[tap];
    const std::uint16_t* bits = s.bits + tap * s.vectors + v;
    const bool last = tap + 1 == s.taps;
    ACCEL_UNROLL(4)
    for (int j = 0; j < N; ++j) {
      if (last) prefetch(from + kAheadChannels * s.plane + j * f32::lanes);
      store(tile + j * f32::lanes, load_bits(from + j * f32::lanes, bits[j], zero()));
    }
    if (last) plane += s.plane;
    tap = last ? 0 : tap + 1;
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

#define ACCEL_SPMM_KIND(Values) \
  {nullptr, &spmm_rows<Values, 1>, &spmm_rows<Values, 2>, &spmm_rows<Values, 3>, &spmm_rows<Values, 4>}

constexpr SpmmKernels kSpmmKernels = {
    f32::lanes,
    {ACCEL_SPMM_KIND(ValuesF32), ACCEL_SPMM_KIND(ValuesBf16), ACCEL_SPMM_KIND(ValuesI8), ACCEL_SPMM_KIND(ValuesCode16),
     ACCEL_SPMM_KIND(ValuesCode256)},
    {nullptr, &spmm_pack_image<1>, &spmm_pack_image<2>, &spmm_pack_image<3>, &spmm_pack_image<4>},
    &spmm_pack_rows,
    &spmm_unpack_rows,
};
#undef ACCEL_SPMM_KIND

}  // namespace
}  // namespace accel::ACCEL_ISA
