"""What a matrix product should cost with and without the zeros of its weights, from operations and bytes."""

from __future__ import annotations

from accel.kernels import runtime
from accel.kernels._conv_cost import MACS_PER_CYCLE, sparse_products, sparse_vectors
from accel.kernels.sparse import FEW

_CACHE, _MEMORY, _NEAR = 16 << 20, 7.5, 24.0
"""Bytes from which on weights come from memory, and bytes per cycle from there and from nearer."""
_VECTOR = 0.36
"""Cycles per value and vector on 16 lanes."""


def linear_cycles(rows: int, out: int, depth: int, values: int) -> tuple[float, float]:
    """Cycles of a product of `rows` vectors with all weights, and with the `values` that are not zero."""
    lanes = MACS_PER_CYCLE[runtime.isa() or "baseline"]
    dense_bytes, bytes_of_value = 4.0 * out * depth, 1.3 * 5.0
    rate = _MEMORY if dense_bytes > _CACHE else _NEAR
    dense = max(rows * out * depth / lanes / 0.9, dense_bytes / rate)
    if rows <= FEW:
        return dense, max(rows * values * _VECTOR * 16 / lanes, values * bytes_of_value / rate)
    transposed = sparse_vectors(rows) * (out + depth) * 4.0  # x and y
    return dense, sparse_products(rows, out, depth, values) + transposed
