"""What the sparse weights share: positions as delta bytes, and the arrays that sparse kernels read."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks
from accel.kernels.csr import csr_validate
from accel.kernels.gaps import deltas_decode, deltas_encode
from accel.weights import _state
from accel.weights.base import Weight


class RowPositions:
    """Which columns of each row are stored. `deltas`: uint8, see accel.kernels.gaps; `indptr`: int32 (rows + 1,)."""

    __slots__ = ("columns", "deltas", "indptr")

    def __init__(self, deltas: np.ndarray, indptr: np.ndarray, columns: int) -> None:
        self.deltas, self.indptr, self.columns = _state.frozen(deltas), _state.frozen(indptr), columns

    @classmethod
    def encode(cls, indices: np.ndarray, indptr: np.ndarray, columns: int) -> RowPositions:
        """Of a CSR matrix in canonical form."""
        return cls(deltas_encode(indices, indptr), indptr, columns)

    @classmethod
    def checked(cls, deltas: np.ndarray, indptr: np.ndarray, rows: int, columns: int, entries: int) -> RowPositions:
        """Of untrusted arrays. Raises ValueError (FormatError is one) when they do not fit together."""
        check_rows(indptr, rows)
        if deltas_decode(deltas, indptr, columns).size != entries:
            raise ValueError(f"indptr: expected to end at the {entries} entries of the values, got {indptr[-1]}")
        return cls(deltas, indptr, columns)

    @property
    def indices(self) -> np.ndarray:
        """int32 (nnz,), decoded anew."""
        return deltas_decode(self.deltas, self.indptr, self.columns)

    @property
    def rows(self) -> np.ndarray:
        """int64 (nnz,): the row of every entry."""
        return np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr))

    @property
    def nbytes(self) -> int:
        return int(self.deltas.nbytes + self.indptr.nbytes)


class SparseRows(Weight):
    """A weight that stores some columns of each row of a matrix."""

    _positions: RowPositions

    @property
    def deltas(self) -> np.ndarray:
        """uint8: the columns as they are held, see accel.kernels.deltas_encode."""
        return self._positions.deltas

    @property
    def indices(self) -> np.ndarray:
        """int32 (nnz,): the columns, ascending inside a row; decoded anew each time."""
        return self._positions.indices

    @property
    def indptr(self) -> np.ndarray:
        """int32 (rows + 1,)"""
        return self._positions.indptr

    def _scatter(self, values: np.ndarray) -> np.ndarray:
        """The dense weight with float32 `values` (nnz,) at the entries."""
        out = np.zeros(matrix_shape(self.shape), np.float32)
        out[self._positions.rows, self.indices] = values
        return out.reshape(self.shape)

    def _from_parts(self, arrays: Mapping[str, np.ndarray], rows: int, columns: int, entries: int) -> None:
        """Sets the positions from the parts `deltas` and `indptr` of a file."""
        deltas = _state.array(self.kind, arrays, "deltas", np.uint8)
        indptr = _state.array(self.kind, arrays, "indptr", np.int32)
        self._positions = RowPositions.checked(deltas, indptr, rows, columns, entries)


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """(out, in) or (out, in * kh * kw)."""
    return shape[0], math.prod(shape[1:])


def as_matrix(w: np.ndarray) -> np.ndarray:
    """The float32 array `w` of two axes or more seen as a matrix, else an error."""
    checks.array("w", w, np.float32)
    if w.ndim < 2:
        raise ValueError(f"w: expected (out, in) or (out, in/group, kh, kw), got {checks.describe(w)}")
    return w.reshape(matrix_shape(w.shape))


def check_rows(indptr: np.ndarray, rows: int) -> None:
    checks.array("indptr", indptr, np.int32, ndim=1)
    if indptr.size != rows + 1:
        raise ValueError(f"indptr: expected {rows + 1} entries for {rows} rows, got {indptr.size}")


def row_order(indices: np.ndarray, indptr: np.ndarray, columns: int) -> np.ndarray | None:
    """The order of entries that brings each row's columns into ascending order, None when they are.

    Raises ValueError when the arrays are not a CSR matrix of so many columns, or a row names a column twice.
    """
    if csr_validate(indices, indices, indptr, columns):
        return None
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    order = np.lexsort((indices, rows))
    twice = (np.diff(indices[order]) == 0) & (np.diff(rows[order]) == 0)
    if twice.any():
        at = order[np.argmax(twice)]
        raise ValueError(f"indices: expected each column once in a row, got {indices[at]} twice in row {rows[at]}")
    return order


def pick(live: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`indices` and `indptr` of the entries where `live` is true."""
    return indices[live], np.concatenate([np.zeros(1, np.int32), np.cumsum(live, dtype=np.int32)])[indptr]


def scipy_matrix(matrix: Any) -> Any:
    """A float32 matrix of scipy.sparse with two axes, else an error. Does not import scipy: who made one, has."""
    sparse = sys.modules.get("scipy.sparse")
    if sparse is None or not sparse.issparse(matrix):
        raise TypeError(f"matrix: expected a scipy.sparse matrix or array, got {checks.describe(matrix)}")
    if matrix.dtype != np.float32:
        hint = "convert it with matrix.astype(np.float32)"
        raise TypeError(f"matrix: expected float32, got {matrix.dtype} of shape {matrix.shape}; {hint}")
    if matrix.ndim != 2:
        raise ValueError(f"matrix: expected 2 axes, got shape {matrix.shape}")
    return matrix


def scipy_indices(name: str, array: np.ndarray) -> np.ndarray:
    """Index arrays of scipy.sparse, int32 or int64, as int32, or ValueError where a number does not fit."""
    if array.size and not -(2**31) <= array.min() <= array.max() < 2**31:
        raise ValueError(f"{name}: expected numbers of 32 bits, got {array.min()}..{array.max()}")
    return np.ascontiguousarray(array, np.int32)


def refused(kind: str, error: Exception) -> FormatError:
    """What `from_state` raises for a part or field that does not fit."""
    return FormatError(f"{kind} weight: {error}")
