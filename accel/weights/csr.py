"""Csr: pruned weights as compressed sparse rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError, shown
from accel.kernels import checks
from accel.kernels.csr import csr_canonical, csr_from_dense, csr_validate
from accel.kernels.sparse import SparseArrays, StoredRows
from accel.weights import _sparse, _state, _values
from accel.weights._sparse import RowPositions, SparseRows, matrix_shape

_NAMES = {dtype: name for name, dtype in _values.KINDS.items()}
_KERNEL_KINDS = {"float32": "f32", "bfloat16": "bf16", "int8": "i8"}


class Csr(SparseRows):
    """The values that are not zero, row by row, of the weight seen as a matrix of (out, in) or (out, in*kh*kw).

    Row r holds data[indptr[r]:indptr[r+1]] in the columns indices[indptr[r]:indptr[r+1]].

    Parameters
    ----------
    data : (nnz,), float32; or uint16, the bits of bfloat16; or int8, to be multiplied by `scale`. NaN is kept, and so
        is a zero that is stored.
    indices : int32 (nnz,), columns. Brought into ascending order once, here; float32 values of the same place are
        added, others refused.
    indptr : int32 (out + 1,), starts at 0, never falls, ends at nnz.
    shape : of the dense equivalent.
    scale : float32 (out,), finite and positive: one for each row of int8 values, None for other values.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  the arrays are not a CSR matrix of this shape.

    Notes
    -----
    Columns are held as distances of one byte (`deltas`, accel.kernels.deltas_encode): `nbytes` counts them, the
    values, the scale and `indptr`. `indices` is decoded when asked for.
    """

    kind: ClassVar[str] = "csr"
    data: np.ndarray
    scale: np.ndarray | None

    def __init__(
        self,
        data: np.ndarray,
        indices: np.ndarray,
        indptr: np.ndarray,
        shape: tuple[int, ...],
        scale: np.ndarray | None = None,
    ) -> None:
        self.shape = _state.dims(shape)
        self._set_values(data, scale)
        checks.array("indices", indices, np.int32, ndim=1)
        rows, columns = matrix_shape(self.shape)
        _sparse.check_rows(indptr, rows)
        if data.size != indices.size:
            raise ValueError(f"indices: expected {data.size} entries as in data, got {indices.size}")
        data = self.data
        if self.values == "float32":
            data, indices, indptr = csr_canonical(data, indices, indptr, columns)
        elif (order := _sparse.row_order(indices, indptr, columns)) is not None:
            data, indices = data[order], indices[order]
        self.data = _state.frozen(data)
        self._positions = RowPositions.encode(indices, indptr, columns)

    def _set_values(self, data: np.ndarray, scale: np.ndarray | None) -> None:
        if not isinstance(data, np.ndarray) or data.dtype not in _NAMES:
            wanted = "float32, uint16 (the bits of bfloat16) or int8"
            raise TypeError(f"data: expected an array of {wanted}, got {checks.describe(data)}")
        checks.array("data", data, data.dtype, ndim=1)
        if (scale is None) == (data.dtype == np.int8):
            expected = "a float32 array for int8 data" if scale is None else f"None for {data.dtype} data"
            raise TypeError(f"scale: expected {expected}, got {checks.describe(scale)}")
        if scale is not None:
            checks.array("scale", scale, np.float32, ndim=1)
            if scale.size != self.shape[0]:
                raise ValueError(f"scale: expected {self.shape[0]} entries, one for each row, got {scale.size}")
            if not (np.isfinite(scale) & (scale > 0)).all():
                raise ValueError("scale: expected finite values above 0")
            scale = _state.frozen(scale)
        self.data, self.scale = _state.frozen(data), scale

    @classmethod
    def from_dense(cls, w: np.ndarray, values: str = "float32") -> Csr:
        """The values of `w` that are not zero.

        Parameters
        ----------
        w : float32, C-contiguous, at least two axes.
        values : "float32", lossless but for -0.0; "bfloat16", rounded to nearest, ties to even; "int8", symmetric with
            one scale a row, max |w| / 127, rounded to nearest, ties to even, `w` finite. What is rounded to zero is
            not stored.
        """
        return cls._from_float(*csr_from_dense(_sparse.as_matrix(w), indptr_dtype=np.int32), w.shape, values)

    @classmethod
    def from_scipy(cls, matrix: Any, values: str = "float32") -> Csr:
        """A float32 matrix or array of scipy.sparse, in any of its formats; `values` as in `from_dense`.

        Values of the same place are added; a stored zero stays a stored zero in float32.
        """
        rows = _sparse.scipy_matrix(matrix).tocsr()
        indices, indptr = (_sparse.scipy_indices(name, getattr(rows, name)) for name in ("indices", "indptr"))
        count = int(indptr[-1])  # scipy keeps room behind the entries
        data = np.ascontiguousarray(rows.data[:count])
        canonical = csr_canonical(data, indices[:count], indptr, rows.shape[1])
        return cls._from_float(*canonical, rows.shape, values)

    @classmethod
    def _from_float(
        cls, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, ...], values: str
    ) -> Csr:
        if values not in _values.KINDS:
            raise ValueError(f"values: expected one of {', '.join(_values.KINDS)}, got {shown(values)}")
        if values == "float32":
            return cls(data, indices, indptr, shape)
        scale = None
        if values == "bfloat16":
            data = _values.to_bfloat16(data)
            live = data & np.uint16(0x7FFF) != 0
        else:
            if not np.isfinite(data).all():
                row = np.searchsorted(indptr, np.argmin(np.isfinite(data)), "right") - 1
                raise ValueError(f"w: expected finite values for int8, got NaN or infinity in row {row}")
            data, scale = _values.to_int8(data, indptr)
            live = data != 0
        return cls(data[live], *_sparse.pick(live, indices, indptr), shape, scale)

    @property
    def values(self) -> str:
        """What a value is: "float32", "bfloat16" or "int8"."""
        return _NAMES[self.data.dtype]

    @property
    def parameters(self) -> int:
        """Values stored. Indices and scales are not parameters: they count in bytes."""
        return int(self.data.size)

    @property
    def nbytes(self) -> int:
        scale = 0 if self.scale is None else self.scale.nbytes
        return int(self.data.nbytes + self._positions.nbytes + scale)

    def dense(self) -> np.ndarray:
        data = self.data
        if self.values == "bfloat16":
            data = _values.from_bfloat16(data)
        elif self.scale is not None:
            with np.errstate(over="ignore"):
                data = data * np.repeat(self.scale, np.diff(self.indptr))
        return self._scatter(data)

    def kernel_arrays(self) -> SparseArrays:
        """The arrays that sparse kernels read; `indices` is made for the call."""
        return SparseArrays(self.indptr, self.indices, self.data, _KERNEL_KINDS[self.values], self.scale, None)

    def stored_rows(self) -> StoredRows:
        """The arrays as they are held."""
        return StoredRows(self.indptr, self.deltas, self.data, _KERNEL_KINDS[self.values], self.scale, None)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays = {"data": self.data, "deltas": self.deltas, "indptr": self.indptr}
        if self.scale is not None:
            arrays["scale"] = self.scale
        return arrays, {"shape": list(self.shape)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Csr:
        if "indices" in arrays:
            return cls._from_plain_state(arrays, meta)
        _state.only(cls.kind, arrays, ("data", "deltas", "indptr", *(["scale"] if "scale" in arrays else [])), "arrays")
        _state.only(cls.kind, meta, ("shape",), "fields")
        shape = _state.shape(cls.kind, meta["shape"])
        weight = cls.__new__(cls)
        try:
            weight.shape = _state.dims(shape)
            weight._set_values(arrays["data"], arrays.get("scale"))
            weight._from_parts(arrays, *matrix_shape(shape), weight.data.size)
        except FormatError:
            raise
        except (TypeError, ValueError) as error:
            raise _sparse.refused(cls.kind, error) from None
        return weight

    @classmethod
    def _from_plain_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Csr:
        """From the parts that accel wrote before there were deltas: float32 values and int32 columns."""
        _state.only(cls.kind, arrays, ("data", "indices", "indptr"), "arrays")
        _state.only(cls.kind, meta, ("shape",), "fields")
        data = _state.array(cls.kind, arrays, "data", np.float32)
        indices = _state.array(cls.kind, arrays, "indices", np.int32)
        indptr = _state.array(cls.kind, arrays, "indptr", np.int32)
        try:
            weight = cls(data, indices, indptr, _state.shape(cls.kind, meta["shape"]))
        except FormatError:
            raise
        except ValueError as error:
            raise _sparse.refused(cls.kind, error) from None
        if not csr_validate(data, indices, indptr, matrix_shape(weight.shape)[1]):
            raise FormatError(f"{cls.kind} weight: expected ascending columns without repetition inside each row")
        return weight
