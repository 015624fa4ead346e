"""Bsr: pruned weights in dense blocks of one row or one column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError, shown
from accel.kernels import checks
from accel.weights import _sparse, _state
from accel.weights._sparse import RowPositions, SparseRows, matrix_shape
from accel.weights.csr import Csr

SIZES = (2, 4, 8, 16)
"""Lengths of a block. Longer ones than a vector register bring nothing."""

Block = tuple[int, int]


class Bsr(SparseRows):
    """Blocks of (r, 1), r outputs that share an input, or (1, c), of the weight seen as a matrix.

    Block row b holds the blocks data[indptr[b]:indptr[b+1]] in the block columns indices[indptr[b]:indptr[b+1]]; block
    column j begins at column j * c.

    Parameters
    ----------
    data : float32 (blocks, r) or (blocks, c).
    indices : int32 (blocks,), block columns, each once in a block row. Brought into ascending order once, here.
    indptr : int32 (rows / r + 1,), starts at 0, never falls, ends at the number of blocks.
    shape : of the dense equivalent: (out, in) or (out, in/group, kh, kw), the matrix of which r and c divide.
    block : (r, 1) or (1, c), of 2, 4, 8 or 16.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  the arrays are not a matrix of such blocks, or the block does not divide the shape.
    """

    kind: ClassVar[str] = "bsr"

    def __init__(
        self, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, ...], block: Block
    ) -> None:
        self.shape = _state.dims(shape)
        self.block = _checked_block(block)
        self._set_values(data)
        checks.array("indices", indices, np.int32, ndim=1)
        rows, columns = self._grid()
        _sparse.check_rows(indptr, rows)
        if len(data) != indices.size:
            raise ValueError(f"indices: expected {len(data)} entries as in data, got {indices.size}")
        if (order := _sparse.row_order(indices, indptr, columns)) is not None:
            indices, self.data = indices[order], _state.frozen(data[order])
        self._positions = RowPositions.encode(indices, indptr, columns)

    def _set_values(self, data: np.ndarray) -> None:
        checks.array("data", data, np.float32, ndim=2)
        if data.shape[1] != max(self.block):
            raise ValueError(f"data: expected blocks of {max(self.block)} values, got {checks.describe(data)}")
        self.data = _state.frozen(data)

    def _grid(self) -> tuple[int, int]:
        """Block rows and block columns."""
        (rows, columns), (r, c) = matrix_shape(self.shape), self.block
        if rows % r or columns % c:
            raise ValueError(f"block: expected to divide the matrix of {rows} x {columns}, got {self.block}")
        return rows // r, columns // c

    @classmethod
    def from_dense(cls, w: np.ndarray, block: Block) -> Bsr:
        """Every block of `w` (float32, C-contiguous, at least two axes) that has a value which is not zero."""
        matrix, (r, c) = _sparse.as_matrix(w), _checked_block(block)
        rows, columns = matrix.shape
        if rows % r or columns % c:
            raise ValueError(f"block: expected to divide the matrix of {rows} x {columns}, got {(r, c)}")
        blocks = matrix.reshape(rows // r, r, columns // c, c)
        live = (blocks != 0).any(axis=(1, 3))
        where = np.nonzero(live)
        indptr = np.zeros(rows // r + 1, np.int32)
        np.cumsum(np.count_nonzero(live, axis=1), out=indptr[1:])
        data = blocks[where[0], :, where[1], :].reshape(-1, r * c)
        return cls(np.ascontiguousarray(data), where[1].astype(np.int32), indptr, w.shape, (r, c))

    @classmethod
    def from_scipy(cls, matrix: Any) -> Bsr:
        """A float32 bsr_array or bsr_matrix of scipy.sparse whose blocks are of a size there is here."""
        if _sparse.scipy_matrix(matrix).format != "bsr":
            raise TypeError(f"matrix: expected the format bsr, got {matrix.format}; use matrix.tobsr(blocksize)")
        block = _checked_block(tuple(map(int, matrix.blocksize)))
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        indices, indptr = (_sparse.scipy_indices(name, getattr(matrix, name)) for name in ("indices", "indptr"))
        count = int(indptr[-1])
        data = np.ascontiguousarray(matrix.data[:count].reshape(count, max(block)))
        return cls(data, indices[:count], indptr, matrix.shape, block)

    @property
    def parameters(self) -> int:
        """Values stored, zeros inside a block included."""
        return int(self.data.size)

    @property
    def nbytes(self) -> int:
        return int(self.data.nbytes + self._positions.nbytes)

    def dense(self) -> np.ndarray:
        (r, c), (rows, columns) = self.block, self._grid()
        out = np.zeros((rows, r, columns, c), np.float32)
        out[self._positions.rows, :, self.indices, :] = self.data.reshape(-1, r, c)
        return out.reshape(self.shape)

    def csr(self) -> Csr:
        """The values that are not zero, one by one. The dense weight is the same, but for -0.0."""
        r, c = self.block
        rows = self._positions.rows[:, np.newaxis] * r + np.arange(r).repeat(c)
        columns = self.indices[:, np.newaxis] * np.int64(c) + np.tile(np.arange(c), r)
        return csr_from_entries(self.data, rows, columns, self.shape)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays = {"data": self.data, "deltas": self.deltas, "indptr": self.indptr}
        return arrays, {"shape": list(self.shape), "block": list(self.block)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Bsr:
        _state.only(cls.kind, arrays, ("data", "deltas", "indptr"), "arrays")
        _state.only(cls.kind, meta, ("shape", "block"), "fields")
        weight = cls.__new__(cls)
        try:
            weight.shape = _state.dims(_state.shape(cls.kind, meta["shape"]))
            weight.block = _checked_block(meta["block"])
            weight._set_values(arrays["data"])
            weight._from_parts(arrays, *weight._grid(), len(weight.data))
        except FormatError:
            raise
        except (TypeError, ValueError) as error:
            raise _sparse.refused(cls.kind, error) from None
        return weight


def csr_from_entries(values: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, ...]) -> Csr:
    """The entries of equal shapes that are not zero, each place once, in any order, as `Csr`."""
    live = values != 0
    values, rows, columns = values[live], rows[live], columns[live]
    order = np.lexsort((columns, rows))
    indptr = np.zeros(shape[0] + 1, np.int32)
    np.cumsum(np.bincount(rows, minlength=shape[0]), out=indptr[1:])
    return Csr(values[order], columns[order].astype(np.int32), indptr, shape)


def _checked_block(block: Any) -> Block:
    wanted = f"(r, 1) or (1, c) of {', '.join(map(str, SIZES))}"
    pair = tuple(block) if isinstance(block, (tuple, list)) else ()
    if len(pair) != 2 or any(type(size) is not int for size in pair):
        raise TypeError(f"block: expected {wanted}, got {checks.describe(block)}")
    if min(pair) != 1 or max(pair) not in SIZES:
        raise ValueError(f"block: expected {wanted}, got {shown(pair)}")
    return pair[0], pair[1]
