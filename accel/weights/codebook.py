"""Codebook: weights that share k values (scalar weight sharing, the second stage of Deep Compression)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks
from accel.kernels.kmeans import kmeans_1d
from accel.weights import _state
from accel.weights.base import Weight

MAX_CODES = 256
"""A code is one byte."""


class Codebook(Weight):
    """w[i] = codebook[codes[i]].

    Parameters
    ----------
    codes : uint8, C-contiguous, of the dense shape; every code < len(codebook).
    codebook : float32 of shape (k,), 1 <= k <= 256, finite.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  a wrong rank or layout, a code outside the codebook, a value that is not finite.

    Notes
    -----
    One byte a weight in memory whatever k is: the kernels look codes up byte by byte. Files store log2(k) bits or
    fewer, see docs/formats/accel.md.

    References
    ----------
    .. [1] Han, Mao, Dally: Deep Compression, ICLR 2016.
    .. [2] Gong, Liu, Yang, Bourdev: Compressing deep convolutional networks using vector quantization, 2014.
    """

    kind: ClassVar[str] = "codebook"

    def __init__(self, codes: np.ndarray, codebook: np.ndarray) -> None:
        checks.array("codes", codes, np.uint8)
        checks.array("codebook", codebook, np.float32, ndim=1)
        if codes.ndim < 2:
            raise ValueError(f"codes: expected (out, in) or (out, in/group, kh, kw), got {checks.describe(codes)}")
        if not 1 <= codebook.size <= MAX_CODES:
            raise ValueError(f"codebook: expected 1..{MAX_CODES} values, got {codebook.size}")
        if not np.isfinite(codebook).all():
            raise ValueError("codebook: expected finite values, got NaN or infinity")
        top = int(codes.max(initial=0))
        if top >= codebook.size:
            raise ValueError(f"codes: expected codes below {codebook.size}, the size of the codebook, got {top}")
        self.codes = _state.frozen(codes)
        self.codebook = _state.frozen(codebook)
        self.shape = codes.shape

    @classmethod
    def fit(cls, w: np.ndarray, bits: int = 4, keep_zeros: bool = True) -> Codebook:
        """The codebook of 2**bits values with the least squared error (exact one-dimensional k-means).

        Parameters
        ----------
        w : float32, C-contiguous, finite, at least two axes.
        bits : 1..8.
        keep_zeros : zeros of `w` stay exactly zero: entry 0 is 0.0 and stands for them alone; the other
            2**bits - 1 entries share the rest. Without zeros in `w` there is no such entry.

        Raises
        ------
        TypeError   w is not a float32 array, bits not an integer.
        ValueError  w is not finite or has fewer than two axes, bits outside 1..8.
        """
        checks.integer("bits", bits, 1, 8)
        return cls.fit_values(w, 1 << bits, keep_zeros)

    @classmethod
    def fit_values(cls, w: np.ndarray, values: int, keep_zeros: bool = True) -> Codebook:
        """As `fit`, with any number of values in 1..256 (2..256 when zeros are kept and there are any)."""
        checks.array("w", w, np.float32)
        checks.integer("values", values, 1, MAX_CODES)
        if not np.isfinite(w).all():
            raise ValueError("w: expected finite values, got NaN or infinity")
        flat = w.ravel()
        live = flat != 0 if keep_zeros else np.ones(flat.shape, np.bool_)
        zero = 0 if live.all() else 1
        codes = np.zeros(flat.shape, np.uint8)
        centroids = np.zeros(0, np.float32)
        if live.any():
            if values == zero:
                raise ValueError("values: expected at least 2 where zeros are kept, got 1")
            centroids, found = kmeans_1d(flat[live] if zero else flat, values - zero)  # no copy of all
            codes[live] = found + np.uint8(zero)
        book = np.concatenate([np.zeros(zero, np.float32), centroids]) if zero or centroids.size else np.zeros(1)
        return cls(codes.reshape(w.shape), book.astype(np.float32))

    @property
    def parameters(self) -> int:
        """Weights that are not zero, plus the codebook.

        Sharing values does not remove a parameter in the survey's sense: a weight that points to a shared value is
        still one of the a* numbers that make the function, only cheaper to store. Counting k alone would print
        alpha in the thousands for any codebook; the saving by sharing is alpha_bytes. Weights pruned to zero are gone.
        """
        used = np.bincount(self.codes.ravel(), minlength=self.codebook.size)
        return int(used[self.codebook != 0].sum()) + int(self.codebook.size)

    @property
    def nbytes(self) -> int:
        return int(self.codes.nbytes + self.codebook.nbytes)

    def dense(self) -> np.ndarray:
        values: np.ndarray = self.codebook[self.codes]
        return values

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {"codes": self.codes, "codebook": self.codebook}, {}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Codebook:
        _state.only(cls.kind, arrays, ("codes", "codebook"), "arrays")
        _state.only(cls.kind, meta, (), "fields")
        codes = _state.array(cls.kind, arrays, "codes", np.uint8)
        codebook = _state.array(cls.kind, arrays, "codebook", np.float32)
        try:
            return cls(codes, codebook)
        except ValueError as error:
            raise FormatError(f"{cls.kind} weight: {error}") from None
