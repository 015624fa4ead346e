// SPDX-License-Identifier: BSD-3-Clause
// Huffman blocks, the body that is compiled per instruction set: decode.inl.h and encode.inl.h.
#include "kernels/huffman/decode.inl.h"
#include "kernels/huffman/encode.inl.h"
