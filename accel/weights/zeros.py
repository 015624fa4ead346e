"""Which weights have enough zeros to be worth leaving them out."""

from __future__ import annotations

import numpy as np

from accel.kernels.sparse import SparseArrays, StoredRows
from accel.weights.base import Weight
from accel.weights.bsr import Bsr
from accel.weights.codebook import Codebook
from accel.weights.csr import Csr
from accel.weights.csr_codebook import CsrCodebook
from accel.weights.nm import NM

MOST_DENSE = 0.7
"""Share of values other than zero above which nothing is gained."""
_SAMPLE = 4096


def stored_rows(w: Weight) -> StoredRows | None:
    """What the weight holds, row by row; None where that is all of it or nearly."""
    found = _row_wise(w)
    return None if found is None else found.stored_rows()


def _row_wise(w: Weight) -> Csr | CsrCodebook | None:
    """A weight's stored values row by row; None where they are too many, or it stores them all."""
    if 0 in w.shape:
        return None
    if isinstance(w, (Csr, CsrCodebook, Bsr, NM)):
        few = w.parameters <= MOST_DENSE * w.size
        return (w.csr() if isinstance(w, (Bsr, NM)) else w) if few else None
    if isinstance(w, Codebook):
        zeros = np.bincount(w.codes.ravel(), minlength=w.codebook.size)[w.codebook == 0].sum()
        return CsrCodebook.from_codebook(w) if zeros >= (1 - MOST_DENSE) * w.size else None
    return None


def sparse_arrays(w: np.ndarray | Weight) -> SparseArrays | None:
    """The values of a weight that are not zero, row by row; None where they are too many."""
    if isinstance(w, Weight):
        found = _row_wise(w)
        return None if found is None else found.kernel_arrays()
    if w.dtype != np.float32 or w.ndim < 2 or not w.size:
        return None
    sample = w.reshape(-1)[:: w.size // _SAMPLE | 1]  # odd: it does not keep to the columns of a pattern
    if np.count_nonzero(sample) > (MOST_DENSE + 0.1) * sample.size or np.count_nonzero(w) > MOST_DENSE * w.size:
        return None
    return SparseArrays.of(w)
