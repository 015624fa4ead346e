"""Which weights have enough zeros to be worth leaving them out."""

from __future__ import annotations

import numpy as np

from accel.graph.network import Constant
from accel.kernels._conv_cost import MACS_PER_CYCLE
from accel.kernels import runtime
from accel.kernels.sparse import FEW, SparseArrays
from accel.weights.base import Weight, dense
from accel.weights.codebook import Codebook
from accel.weights.csr import Csr

MOST_DENSE = 0.6
"""Share of values other than zero above which nothing is gained."""
_SAMPLE = 4096
_CACHE, _MEMORY, _NEAR = 16 << 20, 7.5, 24.0
"""Bytes from which on weights come from memory, and bytes per cycle from there and from nearer."""
_VECTOR = 0.36
"""Cycles per value and vector on 16 lanes (docs/kernels/sparse.md)."""


def sparse_arrays(w: Constant) -> SparseArrays | None:
    """The values of a weight that are not zero, row by row; None where they are too many."""
    if isinstance(w, Csr):
        return SparseArrays(w.indptr, w.indices, w.data) if w.data.size <= MOST_DENSE * w.size else None
    if isinstance(w, Weight) and not isinstance(w, Codebook):
        return None
    array = dense(w)
    if array.dtype != np.float32 or array.ndim < 2 or not array.size:
        return None
    sample = array.reshape(-1)[:: max(1, array.size // _SAMPLE)]
    if np.count_nonzero(sample) > (MOST_DENSE + 0.1) * sample.size:
        return None
    if np.count_nonzero(array) > MOST_DENSE * array.size:
        return None
    return SparseArrays.of(array)


def linear_gains(rows: int, out: int, depth: int, values: int) -> bool:
    """Whether a product of `rows` vectors takes fewer cycles without the zeros, by prediction."""
    lanes = MACS_PER_CYCLE[runtime.isa() or "baseline"]
    slow = 4 * out * depth > _CACHE
    dense_bytes, bytes_of_value = 4.0 * out * depth, 1.3 * 5.0
    rate = _MEMORY if slow else _NEAR
    dense = max(rows * out * depth / lanes / 0.9, dense_bytes / rate)
    if rows <= FEW:
        return max(rows * values * _VECTOR * 16 / lanes, values * bytes_of_value / rate) < dense
    vectors = -(-rows // lanes)
    return vectors * (values * 1.3 + out * -(-depth // 112) * 5 + (out + depth) * 4) < dense
