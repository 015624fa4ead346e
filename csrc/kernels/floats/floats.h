// SPDX-License-Identifier: BSD-3-Clause
// Floating-point numbers coded without loss. The bits of each are rotated left by one, so that the exponent fills the
// top of the number and the sign goes below the mantissa; byte p of all is plane p; each plane of a block is a block of
// format HT. The stream is specified in docs/formats/floats.md. The decoder takes hostile bytes, as those of huffman.h.
#pragma once
#include "kernels/huffman/tree.h"

namespace accel {

// Numbers under one code: layers differ in their exponents. Tried: 2^20, faster by a tenth and larger than ZipNN's.
inline constexpr std::size_t kFloatBlock = kTreePart;
inline constexpr std::size_t kFloatMostPlanes = 4;  // bytes of a number: 2 or 4

// planes[p][i] = byte p of number i, rotated. `src` has any address.
using FloatSplit = void (*)(const std::uint8_t* src, std::size_t width, std::size_t n,
                            std::uint8_t* const planes[kFloatMostPlanes]) noexcept;
extern const FloatSplit kFloatSplit[kIsaCount];

// The inverse. `streaming`: by stores that pass by the caches.
using FloatMerge = void (*)(const std::uint8_t* const planes[kFloatMostPlanes], std::size_t width, std::size_t n,
                            std::uint8_t* dst, bool streaming) noexcept;
extern const FloatMerge kFloatMerge[kIsaCount];

constexpr std::size_t float_block_count(std::size_t n) { return (n + kFloatBlock - 1) / kFloatBlock; }
// Of one thread: the planes of a part, and what trees want.
constexpr std::size_t float_decode_scratch(std::size_t width) { return kTreeScratch + width * kTreePart; }
// The planes of a block, and what trees want.
constexpr std::size_t float_encode_scratch(std::size_t width, std::size_t n) {
  return kTreeScratch + width * (n < kFloatBlock ? n : kFloatBlock);
}
// Most bytes of the blocks of n numbers while they are written.
constexpr std::size_t float_bound(std::size_t width, std::size_t n) {
  return width * (tree_bound(n) + 4 * float_block_count(n));
}

// The blocks of n numbers back to back, and the size of each; the bytes written.
std::size_t float_encode(const std::uint8_t* src, std::size_t width, std::size_t n, std::size_t isa, std::uint8_t* out,
                         std::int64_t* sizes, std::uint8_t* scratch) noexcept;

// Blocks of kFloatBlock numbers; task.n counts bytes, whole numbers of `width` of them.
HuffmanFailure float_decode(const HuffmanDecodeTask& task, std::size_t width, std::size_t isa, int threads,
                            std::uint8_t* scratch) noexcept;

}  // namespace accel
