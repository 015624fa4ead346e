// SPDX-License-Identifier: BSD-3-Clause
// The spectra of the weights, in double.
#include <algorithm>
#include <cmath>

#include "kernels/fft/fft.h"
#include "runtime/pool.h"

namespace accel {
namespace {

constexpr int kSide = kFftSide, kBins = kSide / 2 + 1;

// 16 filters at once: the spectra of their rows, bins 0 .. 8 of each.
struct Lines {
  double re[kMostFftKernel][kBins][kBlock], im[kMostFftKernel][kBins][kBlock];
};

struct Roots {
  double cos[kSide], sin[kSide];
  Roots() {
    for (int i = 0; i < kSide; ++i) cos[i] = std::cos(i * M_PI / 8), sin[i] = std::sin(i * M_PI / 8);
  }
};

// g[kh][kw][16]
void transform_rows(const Roots& roots, const double* g, int kh, int kw, Lines& lines) {
  for (int p = 0; p < kh; ++p)
    for (int b = 0; b < kBins; ++b) {
      double *re = lines.re[p][b], *im = lines.im[p][b];
      std::fill_n(re, kBlock, 0.0), std::fill_n(im, kBlock, 0.0);
      for (int q = 0; q < kw; ++q) {
        const double c = roots.cos[b * q % kSide], s = roots.sin[b * q % kSide], *from = g + (p * kw + q) * kBlock;
        for (int l = 0; l < kBlock; ++l) re[l] += c * from[l], im[l] -= s * from[l];
      }
    }
}

// Number k of the spectrum along column `bin`.
void transform_column(const Roots& roots, const Lines& lines, int kh, int bin, int k, double* re, double* im) {
  std::fill_n(re, kBlock, 0.0), std::fill_n(im, kBlock, 0.0);
  for (int p = 0; p < kh; ++p) {
    const double c = roots.cos[k * p % kSide], s = roots.sin[k * p % kSide];
    const double *from_re = lines.re[p][bin], *from_im = lines.im[p][bin];
    for (int l = 0; l < kBlock; ++l) {
      re[l] += c * from_re[l] + s * from_im[l];
      im[l] += c * from_im[l] - s * from_re[l];
    }
  }
}

// What frequency f of fft.inl.h multiplies re and im of the input with: also by 1/256, which the inverse transform
// lacks, and 1/2, by which the input's spectrum is too large where two real lines were separated.
void weights_of(const Roots& roots, const Lines& lines, int kh, int f, double* re, double* im) {
  const int c = f / kSide, k = f % kSide;
  const bool pair = f == 0 || f == 8;
  if (pair) {
    double unused[kBlock];
    transform_column(roots, lines, kh, 0, k, re, unused);
    transform_column(roots, lines, kh, 8, k, im, unused);
  } else if (c == 0 && k > 8) {
    transform_column(roots, lines, kh, 8, k - 8, re, im);
  } else {
    transform_column(roots, lines, kh, c, k, re, im);
  }
  const double scale = (pair ? 1.0 : 0.5) / (kSide * kSide);
  for (int l = 0; l < kBlock; ++l) re[l] *= scale, im[l] *= scale;
}

}  // namespace

std::size_t fft_size(long out, long depth, long taps) {
  const long panels = (out + kBlock - 1) / kBlock, filled = (depth + kBlock - 1) / kBlock * kBlock;
  return static_cast<std::size_t>(kFftFrequencies * panels * 2 * filled * kBlock) + packed_size(out, depth, taps);
}

void pack_fft(const float* w, long out, long depth, int kh, int kw, float* packed, int threads) {
  const Roots roots;
  const long panels = (out + kBlock - 1) / kBlock, filled = (depth + kBlock - 1) / kBlock * kBlock, taps = kh * kw;
  const auto pack_filters = [&](long p, long d) {  // 16 outputs, one input channel
    double g[kMostFftKernel * kMostFftKernel * kBlock] = {}, re[kBlock], im[kBlock];
    if (d < depth)
      for (long l = 0; l < std::min<long>(kBlock, out - p * kBlock); ++l)
        for (long t = 0; t < taps; ++t)
          g[t * kBlock + l] = static_cast<double>(w[((p * kBlock + l) * depth + d) * taps + t]);
    Lines lines;
    transform_rows(roots, g, kh, kw, lines);
    for (int f = 0; f < kFftFrequencies; ++f) {
      weights_of(roots, lines, kh, f, re, im);
      float* to = packed + ((f * panels + p) * 2 * filled + d) * kBlock;
      for (long l = 0; l < kBlock; ++l) {
        to[l] = static_cast<float>(re[l]);
        to[filled * kBlock + l] = static_cast<float>(im[l]);
      }
    }
  };
  const double work = static_cast<double>(out) * static_cast<double>(depth) * kFftFrequencies * kh;
  parallel(parts_for(work, panels * filled, threads), [&](int part, int parts) {
    const Range range = part_of(panels * filled, part, parts);
    for (long i = range.begin; i < range.end; ++i) pack_filters(i / filled, i % filled);
  });
  pack_weights(w, out, depth, taps, kBlock, packed + kFftFrequencies * panels * 2 * filled * kBlock, threads);
}

}  // namespace accel
