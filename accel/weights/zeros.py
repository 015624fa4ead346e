"""Which weights have enough zeros to be worth leaving them out."""

from __future__ import annotations

import numpy as np

from accel.kernels import runtime
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


def few_values(w: np.ndarray | Weight) -> int | None:
    """How many values of a weight are not zero, or stored although they are; None where they are too many."""
    if isinstance(w, Weight):
        count = _stored(w)
    elif w.dtype != np.float32 or w.ndim < 2 or not w.size:
        return None
    else:
        sample = w.reshape(-1)[:: w.size // _SAMPLE | 1]  # odd: it does not keep to the columns of a pattern
        many = np.count_nonzero(sample) > (MOST_DENSE + 0.1) * sample.size
        count = None if many else int(np.count_nonzero(w))
    return None if count is None or count > MOST_DENSE * w.size else count


def _stored(w: Weight) -> int | None:
    if isinstance(w, Codebook):
        return w.count_other_than_zero() if w.codebook.ndim == 1 else None  # CsrCodebook has no groups
    if isinstance(w, (Bsr, NM)):
        return int(np.count_nonzero(w.data if isinstance(w, Bsr) else w.values))
    return int(w.indptr[-1]) if isinstance(w, (Csr, CsrCodebook)) else None


def _row_wise(w: Weight) -> Csr | CsrCodebook | None:
    """A weight's values that are not zero, row by row, where they are few."""
    if few_values(w) is None:
        return None
    if isinstance(w, Codebook):
        return CsrCodebook.from_codebook(w)
    if isinstance(w, (Bsr, NM)):
        return w.csr()
    return w if isinstance(w, (Csr, CsrCodebook)) else None


def sparse_arrays(w: np.ndarray | Weight) -> SparseArrays | None:
    """The values of a weight that `few_values` counts, row by row, as native kernels are packed from them."""
    if isinstance(w, Codebook) and (count := few_values(w)) is not None:
        zeros = np.flatnonzero(w.codebook == 0)
        if zeros.size == 1 and runtime.core is not None:  # without a CsrCodebook in between: bench_gaps.py
            return SparseArrays.of_codes(w.codes, int(zeros[0]), w.codebook, count)
    if isinstance(w, Weight):
        found = _row_wise(w)
        return None if found is None else found.kernel_arrays()
    return None if few_values(w) is None else SparseArrays.of(w)


def stored_rows(w: Weight) -> StoredRows | None:
    """The same of a weight, as it holds them."""
    found = _row_wise(w)
    return None if found is None else found.stored_rows()
