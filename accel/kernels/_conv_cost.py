"""What a convolution should cost by each method, from its operations and bytes: good enough to leave the hopeless out
before the engine measures, and to choose where nothing is measured."""

from __future__ import annotations

from typing import NamedTuple

from accel.kernels import runtime
from accel.kernels.conv_native import Method, Pair, methods

# Cycles of the transforms per tile and 16 channels, input and output, on one vector of 16 lanes.
_TRANSFORMS = {(2, 3): (60, 45), (4, 3): (195, 115), (6, 3): (430, 290), (4, 5): (430, 230)}
_EFFICIENCY = 0.93
"""Of the peak that products reach."""
_CALL = 80
"""Cycles of a register tile (14 x 32 results on the widest instruction set) that are not multiply-adds."""
_RESULTS = 14 * 32
_CACHE = 8 << 20
"""Bytes of weights from which on they stream from memory in every run."""
_STREAM = 6.5
"""Bytes per cycle from memory."""
OPT_IN = ("winograd6",)
"""Never chosen unasked: several times the error of winograd4."""


class Shape(NamedTuple):
    """What the cost depends on."""

    out: int
    depth: int  # input channels per group
    kernel: Pair
    size: Pair  # of the output


MACS_PER_CYCLE = {"baseline": 5, "avx2": 16, "avx512": 16, "neon": 8}


def _products(results: int, depth: int, lanes: int) -> float:
    """Cycles of `results` sums over `depth`."""
    return results * (depth / lanes / _EFFICIENCY + _CALL / _RESULTS)


def cycles(method: Method, shape: Shape, lanes: int) -> float:
    """Cycles per image on one core with `lanes` multiply-adds a cycle."""
    out = -(-shape.out // 16) * 16
    if not method.tile:
        taps = shape.kernel[0] * shape.kernel[1]
        return _products(shape.size[0] * shape.size[1] * out, shape.depth * taps, lanes)
    m, r = method.tile, shape.kernel[0]
    tiles = -(-shape.size[0] // m) * -(-shape.size[1] // m)
    frequencies = (m + r - 1) ** 2
    products = _products(tiles * frequencies * out, shape.depth, lanes)
    into, out_of = (c * 16 / lanes for c in _TRANSFORMS[m, r])
    transforms = tiles * (-(-shape.depth // 16) * into + -(-shape.out // 16) * out_of)
    weights = 4 * frequencies * shape.out * shape.depth
    return max(products, weights / _STREAM if weights > _CACHE else 0.0) + transforms


def promising(
    w_shape: tuple[int, ...], size: Pair, strides: Pair, dilations: Pair, group: int, within: float
) -> list[tuple[Method, float]]:
    """Methods whose predicted cost is at most `within` times the least, cheapest first, with their cycles."""
    shape = Shape(w_shape[0], w_shape[1], (w_shape[2], w_shape[3]), size)
    lanes = MACS_PER_CYCLE[runtime.isa() or "baseline"]
    usual = [m for m in methods(w_shape, strides, dilations, group) if m.algorithm not in OPT_IN]
    found = sorted(((m, cycles(m, shape, lanes)) for m in usual), key=lambda pair: pair[1])
    return [pair for pair in found if pair[1] <= within * found[0][1]]
