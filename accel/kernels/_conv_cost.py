"""What a convolution should cost by each method, from its operations and bytes: good enough to leave the hopeless out
before the engine measures, and to choose where nothing is measured."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from accel.kernels import runtime
from accel.kernels.conv_native import Method, Pair, Route, even_tiles, methods

# Cycles of the transforms per tile and 16 channels, input and output, with 16 lanes.
_TRANSFORMS = {
    (2, 3): (60, 45), (4, 3): (195, 115), (6, 3): (430, 290), (4, 5): (430, 230), (3, 4): (195, 100),
    (5, 4): (430, 260), (3, 2): (60, 65), (5, 2): (195, 140),
}  # fmt: skip
_FFT_TRANSFORMS = (5250, 3450)
_EFFICIENCY = 0.93
"""Of the peak that products reach."""
_CALL = 80
"""Cycles of a register tile (14 x 32 results on the widest instruction set) that are not multiply-adds."""
_RESULTS = 14 * 32
_CACHE = 8 << 20
"""Bytes of weights from which on they stream from memory in every run."""
_STREAM = 6.5
"""Bytes per cycle from memory."""
_SPARSE_PRODUCT, _SPARSE_ROW, _SPARSE_BLOCK = 1.3, 5, 112
"""Cycles per value and vector, and per row and vector in every block of so much depth, of products with sparse
weights."""
OPT_IN = ("winograd6", "im2col")
"""Never chosen unasked: several times the error of winograd4, and nowhere faster than direct."""


class Shape(NamedTuple):
    """What the cost depends on."""

    out: int
    depth: int  # input channels per group
    kernel: Pair
    stride: int
    size: Pair  # of the output


MACS_PER_CYCLE = {"baseline": 5, "avx2": 16, "avx512": 16, "neon": 8}


def _products(results: int, depth: int, lanes: int) -> float:
    """Cycles of `results` sums over `depth`."""
    return results * (depth / lanes / _EFFICIENCY + _CALL / _RESULTS)


def cycles(method: Method, shape: Shape, lanes: int) -> float:
    """Cycles per image on one core with `lanes` multiply-adds a cycle."""
    out = -(-shape.out // 16) * 16
    if method.algorithm == "fft":
        return _fft_cycles(shape, lanes)
    if not method.tile:
        taps = shape.kernel[0] * shape.kernel[1]
        return _products(shape.size[0] * shape.size[1] * out, shape.depth * taps, lanes)
    m, r, depth, stride = method.tile, -(-shape.kernel[0] // shape.stride), shape.depth, shape.stride
    if method.route is Route.FOLDED:
        depth, stride = depth * stride**2, 1
    n = m + r - 1
    results = math.prod(winograd_products(size, m, n, stride) for size in shape.size)
    products = _products(results * out, depth, lanes)
    into, out_of = (c * 16 / lanes for c in _TRANSFORMS[m, r])
    tiles = math.prod(-(-size // m) for size in shape.size)
    transforms = tiles * (-(-depth // 16) * into * stride**2 + -(-shape.out // 16) * out_of)
    weights = 4 * (n + stride - 1) ** 2 * shape.out * depth
    return max(products, weights / _STREAM if weights > _CACHE else 0.0) + transforms


def winograd_products(size: int, m: int, n: int, stride: int) -> int:
    """Multiplications along `size` outputs, a channel: csrc/kernels/winograd/tiling.h."""
    tiles = -(-size // m)
    whole = max(size - tiles * (m - 1), 0) if even_tiles(size, m) else size // m
    return tiles * (n - 1) * stride + whole


def _fft_cycles(shape: Shape, lanes: int) -> float:
    """A tile's products have 2 rows, twice the depth and 128 frequencies; blocks of channels are filled up."""
    depth, out = (-(-channels // 16) * 16 for channels in (shape.depth, shape.out))
    tiles = math.prod(-(-size // (17 - kernel)) for size, kernel in zip(shape.size, shape.kernel, strict=True))
    products = _products(tiles * 256 * out, 2 * depth, lanes)
    transforms = tiles * 16 / lanes * (depth // 16 * _FFT_TRANSFORMS[0] + out // 16 * _FFT_TRANSFORMS[1])
    weights = 4 * 256 * depth * out
    return max(products, weights / _STREAM if weights > _CACHE else 0.0) + transforms


def sparse_cycles(w_shape: tuple[int, ...], size: Pair, values: int) -> float:
    """Cycles per image of the `values` weights that are not zero, over planes."""
    depth = math.prod(w_shape[1:])
    return sparse_products(math.prod(size), w_shape[0], depth, values) + sparse_vectors(math.prod(size)) * depth * 2


def sparse_products(columns: int, rows: int, depth: int, values: int) -> float:
    """Cycles of a sparse matrix times `columns`, the packing of these aside."""
    return sparse_vectors(columns) * (values * _SPARSE_PRODUCT + rows * -(-depth // _SPARSE_BLOCK) * _SPARSE_ROW)


def sparse_vectors(columns: int) -> int:
    """Vectors that hold so many columns."""
    return -(-columns // MACS_PER_CYCLE[runtime.isa() or "baseline"])


def promising(
    w_shape: tuple[int, ...], size: Pair, strides: Pair, dilations: Pair, group: int, within: float
) -> list[tuple[Method, float]]:
    """Methods whose predicted cost is at most `within` times the least, cheapest first, with their cycles."""
    found = _usual(w_shape, size, strides, dilations, group, MACS_PER_CYCLE[runtime.isa() or "baseline"])
    return [pair for pair in found if pair[1] <= within * found[0][1]]


@lru_cache(1024)  # networks have layers of equal shapes, and are planned again for other inputs
def _usual(
    w_shape: tuple[int, ...], size: Pair, strides: Pair, dilations: Pair, group: int, lanes: int
) -> list[tuple[Method, float]]:
    """All but those of OPT_IN, cheapest first, with their cycles."""
    shape = Shape(w_shape[0], w_shape[1], (w_shape[2], w_shape[3]), strides[0], size)
    usual = [m for m in methods(w_shape, strides, dilations, group) if m.algorithm not in OPT_IN]
    return sorted(((m, cycles(m, shape, lanes)) for m in usual), key=lambda pair: pair[1])
