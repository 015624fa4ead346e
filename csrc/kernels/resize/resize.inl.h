// SPDX-License-Identifier: BSD-3-Clause
namespace accel::ACCEL_ISA {
namespace {

// What the vertical taps make of the column at `x`.
ACCEL_INLINE f32 vertical(const ResizeTaps& h, long input_row, const float* x) {
  if (h.taps == 1) return load(x + h.cells[0] * input_row);
  f32 sum = zero();
  for (int k = 0; k < h.taps; ++k) sum = sum + load(x + h.cells[k] * input_row) * set1(h.weights[k]);
  return sum;
}

// The vertical sums are made anew for every horizontal tap: a row of them would want memory of its own.
void resize_row(const ResizeTaps& h, const ResizeTaps& w, long input_row, long width, const float* x,
                float* y) noexcept {
  for (long i = 0; i < width; ++i, y += kBlock)
    for (int lane = 0; lane < kBlock; lane += f32::lanes) {
      if (w.taps == 1) {
        store(y + lane, vertical(h, input_row, x + long{w.cells[i]} * kBlock + lane));
        continue;
      }
      f32 sum = zero();
      for (long k = i * w.taps; k < (i + 1) * w.taps; ++k)
        sum = sum + vertical(h, input_row, x + long{w.cells[k]} * kBlock + lane) * set1(w.weights[k]);
      store(y + lane, sum);
    }
}

}  // namespace
}  // namespace accel::ACCEL_ISA
