"""Which weights have enough zeros to be worth leaving them out."""

from __future__ import annotations

import numpy as np

from accel.graph.network import Constant
from accel.kernels.sparse import SparseArrays
from accel.weights.base import Weight, dense
from accel.weights.codebook import Codebook
from accel.weights.csr import Csr

MOST_DENSE = 0.6
"""Share of values other than zero above which nothing is gained."""
_SAMPLE = 4096


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
