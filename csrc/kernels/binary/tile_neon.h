// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/binary/tile_words.inl.h"
