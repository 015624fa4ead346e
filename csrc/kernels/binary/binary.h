// SPDX-License-Identifier: BSD-3-Clause
// Convolution of signs with signs, both packed to bits (1 is +1, 0 is -1), exact integers:
//
//   count[n, i, j, o] = sum_{c, p, q} w[o, p, q, c] x[n, i*sh + p*dh - top, j*sw + q*dw - left, c]
//                     = terms - 2 popcount(w xor x) + border[o]
//
// Lanes are filters, so nothing is added up across lanes: a word of 64 channels of a pixel is spread over a vector and
// compared with the same word of 8 filters (AVX-512). The register tile is some pixels times a panel of filters, whose
// weights stay in the L1 cache while all pixels pass. Outside the image bits are 0, that is -1; for padding by 0 or +1
// `border` adds what the taps outside lack, per filter and kind of border.
//
// Images of bits are pixel-major: [N][H][W][words], channel c in bit c % 64 of word c / 64, zeros after the last.
// Where groups begin inside words, and where channels are so few that their words are mostly empty, the bits of each
// window are first copied side by side.
// Aliasing: residual may be y; nothing else may overlap. Threads split the output, never a sum.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/activation/activation.h"
#include "kernels/layout/map.h"
#include "runtime/memory.h"
#include "runtime/pool.h"
#include "simd/isa.h"

namespace accel {

inline constexpr int kWordBits = 64;
inline constexpr long kNibbleBytes = 16;  // of a word of an image whose nibbles are spread
constexpr long words_of(long bits) noexcept { return (bits + kWordBits - 1) / kWordBits; }

// Some pixels of one panel.
struct BinaryPanel {
  const std::uint64_t* image;
  const std::int32_t* pixel_at;  // where each pixel's window begins, in words
  const std::int32_t* word_at;   // where each word of a window lies in it
  int words;
  const std::uint64_t* weights;  // [words][panel]
  const std::int32_t* rows;      // what counts are held against: [border][filter]
  const std::int32_t* row_at;    // where each pixel's row begins
  const std::uint16_t* limits;   // bits of a quad: popcounts that are too many, as rows; else null
  bool one_row;                  // all pixels' rows are the first
  int filters;                   // whose results are wanted
  long first, last;
};

// Bit o of a pixel: (popcount <= row[o]) xor flip.
struct BinaryBits {
  std::uint8_t* y;  // this panel's bits of pixel 0
  long pixel;       // bytes
  std::uint64_t flip;
};
// row[o] - 2 popcount.
struct BinaryCounts {
  std::int32_t* y;
  long pixel;
};
// f(scale[o] pixel_scale[pixel] count + bias[o] + residual).
struct BinaryReals {
  float* y;  // the first 16 filters of the panel for pixel i at y_at[i], the second `y_block` on
  const std::int32_t* y_at;
  long y_block;
  const float *scale, *bias, *pixel_scale;  // pixel_scale may be null
  const float* residual;                    // may be null; laid out by itself
  const std::int32_t* residual_at;
  long residual_block;
  Activation activation;
  // May be null: this panel's bits of pixel 0, each turn[o] * result >= limit[o]. Pixels lie `signs_pixel` bytes apart.
  std::uint8_t* signs;
  long signs_pixel;
  const float *turn, *limit;
};

struct BinaryKernels {
  int lanes;   // of a vector of 64-bit words: pairs of vectors hold 2 * lanes filters, taking turns
  int pixels;  // of a tile
  int panel;   // filters side by side
  // Weights are bytes, [words][8][panel], and every nibble of the image is a byte of 16 times itself.
  bool nibbles;
  // For bits, the filters of a panel of more than half its width are a quad: they take turns in four vectors, and their
  // counts are compared at once, in 16 bits.
  bool quads;
  void (*bits)(const BinaryPanel&, const BinaryBits&) noexcept;
  void (*counts)(const BinaryPanel&, const BinaryCounts&) noexcept;
  void (*reals)(const BinaryPanel&, const BinaryReals&) noexcept;
};
extern const BinaryKernels* const kBinary[kIsaCount];

struct BinaryGeometry {
  int filters = 1, channels = 1, groups = 1;  // all filters; channels of one
  int kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, top = 0, left = 0, bottom = 0, right = 0;
  int dilation_h = 1, dilation_w = 1;
  int pad_value = 0;  // -1, 0 or 1

  long terms() const noexcept { return static_cast<long>(channels) * kernel_h * kernel_w; }
  int image_words() const noexcept { return static_cast<int>(words_of(static_cast<long>(channels) * groups)); }
  int group_filters() const noexcept { return filters / groups; }
};

enum class BinaryOutput { counts, bits, reals };

struct BinaryEpilogue {
  BinaryOutput output = BinaryOutput::counts;
  std::vector<std::int32_t> at;     // bits: [filters]
  std::vector<std::uint8_t> below;  // bits: [filters]
  std::vector<float> scale, bias;   // reals: [filters]
  Activation activation;            // reals
};

// Filters packed for one ISA.
class BinaryFilters {
 public:
  // bits: [filters][kernel_h][kernel_w][words]. Throws std::invalid_argument, std::bad_alloc.
  BinaryFilters(const BinaryGeometry& geometry, BinaryEpilogue epilogue, const std::uint64_t* bits,
                const BinaryKernels& kernels);
  const BinaryGeometry& geometry() const noexcept { return geometry_; }
  const BinaryEpilogue& epilogue() const noexcept { return epilogue_; }
  const BinaryKernels& kernels() const noexcept { return kernels_; }
  bool side_by_side() const noexcept { return side_by_side_; }  // windows are copied
  int words() const noexcept { return words_; }                 // of a window
  int panel_filters() const noexcept { return kernels_.panel; }
  int group_panels() const noexcept { return group_panels_; }
  bool is_quad(long panel) const noexcept;  // of all groups
  int panels() const noexcept { return group_panels_ * geometry_.groups; }
  std::size_t nbytes() const noexcept;
  const std::uint64_t* panel(long p) const noexcept;  // of all groups
  std::int32_t tap_sum(long filter, int tap) const noexcept {
    return tap_sums_[static_cast<std::size_t>(filter * geometry_.kernel_h * geometry_.kernel_w + tap)];
  }

 private:
  void pack(const std::uint64_t* bits);
  void place(const std::vector<std::uint64_t>& window, long panel, long lane) noexcept;

  BinaryGeometry geometry_;
  BinaryEpilogue epilogue_;
  const BinaryKernels& kernels_;
  bool side_by_side_;
  int words_, group_panels_;
  Memory weights_;
  std::vector<std::int32_t> tap_sums_;  // [filter][tap]: what a tap gives where all activations are +1
};

struct BinaryArrays {
  const std::uint64_t* x;
  void* y;
  const float *residual, *pixel_scale;  // may be null
  void* scratch;                        // scratch_bytes()
  std::uint64_t* signs = nullptr;       // as BinarySigns says; may be null
};

// Bits of real results in a blocked map, for the next layer: y >= at, or y <= at where below; NaN gives 0.
struct BinarySigns {
  std::vector<float> at;  // [filters], or empty: none
  std::vector<std::uint8_t> below;
};

// Where the reals of an N x C x H x W result lie: a Map of blocks, or pixel-major, [N][H][W][C].
struct BinaryLayout {
  bool pixel_major = true;
  Map map;
};

// A convolution prepared for one shape. Immutable: any number of threads may run it, each with arrays of its own.
class BinaryConv {
 public:
  // Throws std::invalid_argument where the kernel does not fit, std::length_error where an image is too large.
  BinaryConv(std::shared_ptr<const BinaryFilters> filters, int images, int height, int width, const BinaryLayout& y,
             const BinaryLayout& residual, const BinarySigns& signs = {});
  void run(const BinaryArrays& arrays, int threads) const noexcept;
  long scratch_bytes() const noexcept { return scratch_words_ * 8; }
  int out_height() const noexcept { return out_h_; }
  int out_width() const noexcept { return out_w_; }

 private:
  struct Batch {  // some images, and some panels: of all groups or of one
    long image, images, panel, panels;
  };
  struct Places {  // of a result or a residual
    std::vector<std::int32_t> at;
    long block = 0, image = 0;
  };
  bool panels_share_words() const noexcept;
  void find_borders();
  void fill_rows();
  void fill_signs(const BinarySigns& signs);
  void find_windows();
  Places places(const BinaryLayout& layout) const;
  void pad(const std::uint64_t* x, std::uint64_t* to, const Batch& batch, int threads) const noexcept;
  void gather(const std::uint64_t* x, std::uint64_t* scratch, const Batch& batch, int threads) const noexcept;
  const std::uint64_t* spread(const std::uint64_t* x, std::uint64_t* to, long words, int threads) const noexcept;
  void multiply(const BinaryArrays& arrays, const Batch& batch, const std::uint64_t* image, int threads) const noexcept;
  void run_panel(const BinaryArrays& arrays, const Batch& batch, const std::uint64_t* image, long panel,
                 Range pixels) const noexcept;
  void run_bits(const BinaryPanel& panel, std::uint8_t* y, std::uint64_t flip, long filter) const noexcept;

  std::shared_ptr<const BinaryFilters> filters_;
  int images_, height_, width_, out_h_ = 0, out_w_ = 0;
  int together_ = 1;  // images of a batch
  bool padded_, blocked_;
  long padded_h_, padded_w_, stream_words_ = 0, spread_at_ = 0, scratch_words_ = 0;
  std::vector<std::int32_t> pixel_at_, word_at_, row_at_;  // [together * pixels], [words], [together * pixels]
  std::vector<std::array<int, 4>> inside_;                 // [border]: the taps inside: rows first .. last-1, columns
  std::vector<std::int32_t> rows_;                         // [border][filter of all panels]
  std::vector<std::uint16_t> limits_;                      // the same, or empty
  std::vector<std::uint64_t> flip_;                        // [panel]
  std::vector<float> scale_, bias_;                        // [filter of all panels]
  std::vector<float> turn_, limit_;                        // the same, or empty
  Places y_, residual_;
};

}  // namespace accel
