"""CsrCodebook: pruned weights whose values are shared, as Deep Compression leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks
from accel.kernels.csr import csr_from_dense
from accel.kernels.kmeans import kmeans_1d
from accel.kernels.sparse import SparseArrays, StoredRows
from accel.weights import _sparse, _state
from accel.weights._sparse import RowPositions, SparseRows, matrix_shape
from accel.weights.codebook import MAX_CODES, Codebook

SMALL = 16
"""Up to so many values a code takes 4 bits."""


class CsrCodebook(SparseRows):
    """Row r holds codebook[codes[indptr[r]:indptr[r+1]]] in the columns indices[indptr[r]:indptr[r+1]].

    Parameters
    ----------
    codes : uint8 (nnz,); every code < len(codebook).
    indices : int32 (nnz,), columns, each once in a row. Brought into ascending order once, here.
    indptr : int32 (out + 1,), starts at 0, never falls, ends at nnz.
    codebook : float32 (k,), 1 <= k <= 256, finite.
    shape : of the dense equivalent: (out, in) or (out, in/group, kh, kw).

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  the arrays are not a CSR matrix of this shape, a code outside the codebook, a value that is not finite.

    Notes
    -----
    Held are two codes to a byte, the first in the lower half, where k <= 16, else one; columns as in `Csr`.

    References
    ----------
    .. [1] Han, Mao, Dally: Deep Compression, ICLR 2016.
    """

    kind: ClassVar[str] = "csr_codebook"

    def __init__(
        self,
        codes: np.ndarray,
        indices: np.ndarray,
        indptr: np.ndarray,
        codebook: np.ndarray,
        shape: tuple[int, ...],
    ) -> None:
        self.shape = _state.dims(shape)
        checks.array("indices", indices, np.int32, ndim=1)
        rows, columns = matrix_shape(self.shape)
        _sparse.check_rows(indptr, rows)
        checks.array("codes", codes, np.uint8, ndim=1)
        if codes.size != indices.size:
            raise ValueError(f"indices: expected {codes.size} entries as in codes, got {indices.size}")
        if (order := _sparse.row_order(indices, indptr, columns)) is not None:
            codes, indices = codes[order], indices[order]
        self._set_values(codes, codebook)
        self._positions = RowPositions.encode(indices, indptr, columns)

    def _set_values(self, codes: np.ndarray, codebook: np.ndarray) -> None:
        checks.array("codes", codes, np.uint8, ndim=1)
        checks.array("codebook", codebook, np.float32, ndim=1)
        if not 1 <= codebook.size <= MAX_CODES:
            raise ValueError(f"codebook: expected 1..{MAX_CODES} values, got {codebook.size}")
        if not np.isfinite(codebook).all():
            raise ValueError("codebook: expected finite values, got NaN or infinity")
        if (top := int(codes.max(initial=0))) >= codebook.size:
            raise ValueError(f"codes: expected codes below {codebook.size}, the size of the codebook, got {top}")
        self._count = codes.size
        self.codebook = _state.frozen(codebook)
        self._codes = _state.frozen(_packed(codes) if codebook.size <= SMALL else codes)

    @classmethod
    def fit(cls, w: np.ndarray, bits: int = 4) -> CsrCodebook:
        """The values of `w` that are not zero by the 2**bits values of least squared error (accel.kernels.kmeans_1d).

        Parameters
        ----------
        w : float32, C-contiguous, finite, at least two axes.
        bits : 1..8. Up to 4 a code takes 4 bits in memory, else 8.

        What is closest to a value of exactly 0.0 is not stored.
        """
        checks.integer("bits", bits, 1, 8)
        data, indices, indptr = csr_from_dense(_sparse.as_matrix(w), indptr_dtype=np.int32)
        if not np.isfinite(data).all():
            raise ValueError("w: expected finite values, got NaN or infinity")
        codebook, codes = kmeans_1d(data, 1 << bits)
        return cls._without_zeros(codes, indices, indptr, codebook, w.shape)

    @classmethod
    def from_codebook(cls, weight: Codebook) -> CsrCodebook:
        """The entries of a `Codebook` whose value is not exactly 0.0. The dense weight is the same, but for -0.0."""
        if not isinstance(weight, Codebook):
            raise TypeError(f"weight: expected a Codebook, got {checks.describe(weight)}")
        if weight.codebook.ndim > 1:
            raise ValueError(f"weight: expected one codebook, got one for each of {len(weight.codebook)} groups")
        rows, columns = matrix_shape(weight.shape)
        codes = weight.codes.reshape(rows, columns)
        live = (weight.codebook != 0)[codes]
        indptr = np.zeros(rows + 1, np.int32)
        np.cumsum(np.count_nonzero(live, axis=1), out=indptr[1:])
        indices = (np.flatnonzero(live) % max(columns, 1)).astype(np.int32)
        return cls._without_zeros(codes[live], indices, indptr, weight.codebook, weight.shape)

    @classmethod
    def _without_zeros(
        cls,
        codes: np.ndarray,
        indices: np.ndarray,
        indptr: np.ndarray,
        codebook: np.ndarray,
        shape: tuple[int, ...],
    ) -> CsrCodebook:
        """Without the values that are 0.0 and the entries that have them."""
        stays = codebook != 0
        if not stays.all():
            live = stays[codes]
            indices, indptr = _sparse.pick(live, indices, indptr)
            codes = (np.cumsum(stays) - 1).astype(np.uint8)[codes[live]]
        codebook = codebook[stays] if stays.any() else np.zeros(1, np.float32)
        return cls(codes, indices, indptr, codebook, shape)

    @property
    def codes(self) -> np.ndarray:
        """uint8 (nnz,), one a byte."""
        if self.codebook.size > SMALL:
            return self._codes
        return np.stack([self._codes & 15, self._codes >> 4], axis=1).reshape(-1)[: self._count]

    @property
    def parameters(self) -> int:
        """Values stored, plus the codebook: as in `Codebook`, sharing makes a weight cheaper, not absent."""
        return self._count + int(self.codebook.size)

    @property
    def nbytes(self) -> int:
        return int(self._codes.nbytes + self.codebook.nbytes + self._positions.nbytes)

    def dense(self) -> np.ndarray:
        return self._scatter(self.codebook[self.codes])

    def kernel_arrays(self) -> SparseArrays:
        """The arrays that sparse kernels read; `indices`, and codes one a byte, are made for the call."""
        size = SMALL if self.codebook.size <= SMALL else MAX_CODES
        book = np.zeros(size, np.float32)
        book[: self.codebook.size] = self.codebook
        return SparseArrays(self.indptr, self.indices, self.codes, f"code{size}", None, book)

    def stored_rows(self) -> StoredRows:
        """The arrays as they are held."""
        size = SMALL if self.codebook.size <= SMALL else MAX_CODES
        return StoredRows(self.indptr, self.deltas, self._codes, f"code{size}", None, self.codebook)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        # Codes one a byte: the entropy coder of files sees whole symbols.
        arrays = {"codes": self.codes, "deltas": self.deltas, "indptr": self.indptr, "codebook": self.codebook}
        return arrays, {"shape": list(self.shape)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> CsrCodebook:
        _state.only(cls.kind, arrays, ("codes", "deltas", "indptr", "codebook"), "arrays")
        _state.only(cls.kind, meta, ("shape",), "fields")
        shape = _state.shape(cls.kind, meta["shape"])
        weight = cls.__new__(cls)
        try:
            weight.shape = _state.dims(shape)
            weight._set_values(arrays["codes"], arrays["codebook"])
            weight._from_parts(arrays, *matrix_shape(shape), weight._count)
        except FormatError:
            raise
        except (TypeError, ValueError) as error:
            raise _sparse.refused(cls.kind, error) from None
        return weight


def _packed(codes: np.ndarray) -> np.ndarray:
    """Codes below 16, two to a byte, the first in the lower half."""
    even = np.zeros(codes.size + codes.size % 2, np.uint8)
    even[: codes.size] = codes
    return even[::2] | even[1::2] << 4
