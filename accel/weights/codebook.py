"""Codebook: weights that share k values (scalar weight sharing, the second stage of Deep Compression)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError, shown
from accel.kernels import checks
from accel.kernels.codebook import MOST_VALUES, PackedCodebook, check_values, unfold
from accel.kernels.kmeans import kmeans_1d
from accel.weights import _state
from accel.weights._codebook_product import CodebookProduct
from accel.weights._values import from_bfloat16, to_bfloat16
from accel.weights.base import Weight

MAX_CODES = MOST_VALUES
_PIECE = 1 << 16  # codes that are compared together: an array of bool for all would be new memory
_HALVES = ("float32", "bfloat16")


class Codebook(Weight):
    """w[o, ...] = codebook[g, codes[o, ...]], g = o // (out / groups).

    Parameters
    ----------
    codes : uint8, C-contiguous, of the dense shape; every code < k.
    codebook : float32 of shape (k,), one for the whole weight, or (groups, k), one for every out / groups outputs;
        1 <= k <= 256, finite.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  a wrong rank or layout, a code outside the codebook, a value that is not finite.

    Notes
    -----
    One byte a weight in memory whatever k is; kernels are packed from it, for up to 16 values with 4 bits a weight:
    docs/kernels/codebook.md. Files store log2(k) bits or fewer, see docs/formats/accel.md.

    References
    ----------
    .. [1] Han, Mao, Dally: Deep Compression, ICLR 2016.
    .. [2] Gong, Liu, Yang, Bourdev: Compressing deep convolutional networks using vector quantization, 2014.
    """

    kind: ClassVar[str] = "codebook"

    def __init__(self, codes: np.ndarray, codebook: np.ndarray) -> None:
        self._set(codes, codebook, 255)

    def _set(self, codes: np.ndarray, codebook: np.ndarray, most: int) -> None:
        """No code is above `most`, as far as is known."""
        checks.array("codes", codes, np.uint8)
        checks.array("codebook", codebook, np.float32)
        if codes.ndim < 2:
            raise ValueError(f"codes: expected (out, in) or (out, in/group, kh, kw), got {checks.describe(codes)}")
        check_values(codes, codebook, most)
        self.codes = _state.frozen(codes)
        self.codebook = _state.frozen(codebook)
        self.shape = codes.shape
        self._others: int | None = None

    @classmethod
    def fit(
        cls, w: np.ndarray, bits: int = 4, keep_zeros: bool = True, *, groups: int = 1, values: str = "float32"
    ) -> Codebook:
        """The codebook of 2**bits values with the least squared error (exact one-dimensional k-means).

        Parameters
        ----------
        w : float32, C-contiguous, finite, at least two axes.
        bits : 1..8.
        keep_zeros : zeros of `w` stay exactly zero: entry 0 is 0.0 and stands for them alone; the other
            2**bits - 1 entries share the rest. Without zeros in `w` there is no such entry.
        groups : codebooks, each for as many outputs; divides the first axis of `w`.
        values : "float32", or "bfloat16" to round the values to those, for which kernels are faster.

        Raises
        ------
        TypeError   w is not a float32 array, a number not an integer.
        ValueError  w is not finite or has fewer than two axes, bits outside 1..8, groups does not divide, values is
                    another name.
        """
        checks.integer("bits", bits, 1, 8)
        checks.integer("groups", groups, 1)
        if values not in _HALVES:
            raise ValueError(f"values: expected one of {', '.join(_HALVES)}, got {shown(values)}")
        checks.array("w", w, np.float32)
        if w.ndim < 1 or w.shape[0] % groups:
            raise ValueError(f"groups: expected to divide the outputs of w of shape {w.shape}, got {groups}")
        parts = [cls.fit_values(part, 1 << bits, keep_zeros) for part in np.split(w, groups)]
        books = np.zeros((groups, max(part.codebook.size for part in parts)), np.float32)
        for book, part in zip(books, parts, strict=True):
            book[: part.codebook.size] = part.codebook
        if values == "bfloat16":
            books = from_bfloat16(to_bfloat16(books))
            if not np.isfinite(books).all():
                raise ValueError("w: expected values that bfloat16 holds")
        return cls(np.concatenate([part.codes for part in parts]), books if groups > 1 else books[0])

    @classmethod
    def fit_values(cls, w: np.ndarray, values: int, keep_zeros: bool = True) -> Codebook:
        """As `fit`, one codebook with any number of values in 1..256 (2..256 when zeros are kept and there are any)."""
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
        return self.count_other_than_zero() + int(self.codebook.size)

    def count_other_than_zero(self) -> int:
        """Weights whose value is not zero."""
        if self._others is None:
            books = self.codebook.reshape(-1, self.codebook.shape[-1])
            parts = zip(self.codes.reshape(len(books), -1), books, strict=True)
            self._others = sum([_count_others(part, np.flatnonzero(book == 0).tolist()) for part, book in parts])
        return self._others

    @property
    def nbytes(self) -> int:
        return int(self.codes.nbytes + self.codebook.nbytes)

    def dense(self) -> np.ndarray:
        return unfold(self.codes, self.codebook.reshape(-1, self.codebook.shape[-1]))

    def product(self, bias: np.ndarray | None = None) -> CodebookProduct | None:
        """None for weights of other than two axes, and for none."""
        if self.ndim != 2 or 0 in self.shape:
            return None
        packed = PackedCodebook(self.codes, self.codebook.reshape(-1, self.codebook.shape[-1]), bias)
        return CodebookProduct(packed, self.dense, bias)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {"codes": self.codes, "codebook": self.codebook}, {}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Codebook:
        _state.only(cls.kind, arrays, ("codes", "codebook"), "arrays")
        _state.only(cls.kind, meta, (), "fields")
        codes = _state.array(cls.kind, arrays, "codes", np.uint8)
        codebook = _state.array(cls.kind, arrays, "codebook", np.float32)
        weight = cls.__new__(cls)
        try:
            weight._set(codes, codebook, _state.most(arrays, "codes"))
            return weight
        except ValueError as error:
            raise FormatError(f"{cls.kind} weight: {error}") from None


def _count_others(codes: np.ndarray, zeros: list[int]) -> int:
    """How many codes are not among `zeros`."""
    if zeros == [0]:  # as `Codebook.fit` has it: no array of bool
        return int(np.count_nonzero(codes))
    pieces = [codes[at : at + _PIECE] for at in range(0, codes.size, _PIECE)]
    return codes.size - sum(int(np.count_nonzero(piece == zero)) for zero in zeros for piece in pieces)
