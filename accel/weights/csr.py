"""Csr: pruned weights as compressed sparse rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks
from accel.kernels.csr import csr_canonical, csr_from_dense, csr_validate
from accel.weights import _state
from accel.weights.base import Weight


class Csr(Weight):
    """The values that are not zero, row by row, of the weight seen as a matrix of (out, in) or (out, in*kh*kw).

    Row r holds data[indptr[r]:indptr[r+1]] in the columns indices[indptr[r]:indptr[r+1]].

    Parameters
    ----------
    data : float32 (nnz,)
    indices : int32 (nnz,), columns. Brought into ascending order once, here; values of the same place are added.
    indptr : int32 (out + 1,), starts at 0, never falls, ends at nnz.
    shape : of the dense equivalent.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  the arrays are not a CSR matrix of this shape.
    """

    kind: ClassVar[str] = "csr"

    def __init__(self, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, ...]) -> None:
        checks.array("data", data, np.float32, ndim=1)
        checks.array("indices", indices, np.int32, ndim=1)
        checks.array("indptr", indptr, np.int32, ndim=1)
        if not isinstance(shape, (tuple, list)):
            raise TypeError(f"shape: expected a tuple of sizes, got {checks.describe(shape)}")
        self.shape = tuple(checks.integer("shape", size, 0) for size in shape)
        if len(self.shape) < 2:
            raise ValueError(f"shape: expected (out, in) or (out, in/group, kh, kw), got {self.shape}")
        rows, columns = self.shape[0], math.prod(self.shape[1:])
        if indptr.size != rows + 1:
            raise ValueError(f"indptr: expected {rows + 1} entries for {rows} rows, got {indptr.size}")
        arrays = csr_canonical(data, indices, indptr, columns)
        self.data, self.indices, self.indptr = (_state.frozen(array) for array in arrays)

    @classmethod
    def from_dense(cls, w: np.ndarray) -> Csr:
        """The values of `w` that are not zero. `w`: float32, C-contiguous, at least two axes. Lossless but for -0.0."""
        checks.array("w", w, np.float32)
        if w.ndim < 2:
            raise ValueError(f"w: expected (out, in) or (out, in/group, kh, kw), got {checks.describe(w)}")
        columns = math.prod(w.shape[1:])
        return cls(*csr_from_dense(w.reshape(w.shape[0], columns), indptr_dtype=np.int32), w.shape)

    @property
    def parameters(self) -> int:
        """Values stored. Indices are not parameters: they count in bytes."""
        return int(self.data.size)

    @property
    def nbytes(self) -> int:
        return int(self.data.nbytes + self.indices.nbytes + self.indptr.nbytes)

    def dense(self) -> np.ndarray:
        out = np.zeros((self.shape[0], math.prod(self.shape[1:])), np.float32)
        out[np.repeat(np.arange(self.shape[0]), np.diff(self.indptr)), self.indices] = self.data
        return out.reshape(self.shape)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays = {"data": self.data, "indices": self.indices, "indptr": self.indptr}
        return arrays, {"shape": list(self.shape)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Csr:
        _state.only(cls.kind, arrays, ("data", "indices", "indptr"), "arrays")
        _state.only(cls.kind, meta, ("shape",), "fields")
        data = _state.array(cls.kind, arrays, "data", np.float32)
        indices = _state.array(cls.kind, arrays, "indices", np.int32)
        indptr = _state.array(cls.kind, arrays, "indptr", np.int32)
        shape = _state.shape(cls.kind, meta["shape"])
        try:
            weight = cls(data, indices, indptr, shape)
        except ValueError as error:
            raise FormatError(f"{cls.kind} weight: {error}") from None
        if not csr_validate(data, indices, indptr, math.prod(shape[1:])):
            raise FormatError(f"{cls.kind} weight: expected ascending columns without repetition inside each row")
        return weight
