"""Matrix products straight from codes into a few shared values."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels import program as native
from accel.kernels._row_product import RowProduct

MOST_VALUES = 256
"""Of a codebook: a code is one byte."""
_PIECE = 1 << 18  # codes that NumPy looks up at a time
_ROWS = 64  # of the matrix that NumPy unfolds at a time


def codebook_matmul(
    x: np.ndarray,
    codes: np.ndarray,
    codebook: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """y[..., o] = bias[o] + sum_i codebook[g, codes[o, i]] x[..., i], g = o // (out / groups).

    Parameters
    ----------
    x : (..., in) float32, C-contiguous, in >= 1.
    codes : (out, in) uint8, C-contiguous, out >= 1; every code below k.
    codebook : (k,) float32, of the whole matrix, or (groups, k), of out / groups rows each; 1 <= k <= 256, finite.
    bias : (out,) float32, optional.
    out : (..., out) float32, optional; must not overlap an input.

    Returns
    -------
    (..., out) float32

    Raises
    ------
    TypeError   an array has another dtype (nothing is converted).
    ValueError  shapes do not fit, a code has no value, a value is not finite.

    Notes
    -----
    Codes are packed at every call; `accel.Linear` packs them once. On the native back end a row has the same bits in
    any batch and on any number of threads, and they are those of `linear` with the dense matrix; error below
    4 eps sqrt(in) sum |w| |x|. But where at most 16 values are all bfloat16 numbers and the processor multiplies those,
    x is rounded to two of them, within 2**-16 |x|, and numbers below 2**-110 may lose their lower half:
    docs/kernels/codebook.md.

    References
    ----------
    .. [1] Gong, Liu, Yang, Bourdev: Compressing deep convolutional networks using vector quantization, 2014.
    """
    checks.array("x", x, np.float32)
    books = checked_codebook(codes, codebook)
    if x.ndim == 0 or x.shape[-1] != codes.shape[1]:
        raise ValueError(f"x: expected shape (..., {codes.shape[1]}) for codes of shape {codes.shape}, got {x.shape}")
    if bias is not None and checks.array("bias", bias, np.float32, 1).shape != codes.shape[:1]:
        raise ValueError(f"bias: expected shape ({codes.shape[0]},), got {bias.shape}")
    shape = (*x.shape[:-1], codes.shape[0])
    y = checks.output("out", out, np.float32, shape, x=x, codes=codes, codebook=codebook, bias=bias)
    return PackedCodebook(codes, books, bias)(x, y)


def checked_codebook(codes: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """The codebook as (groups, k), after all checks of it and of a matrix of codes."""
    checks.array("codes", codes, np.uint8, 2)
    checks.array("codebook", codebook, np.float32)
    if 0 in codes.shape:
        raise ValueError(f"codes: expected shape (out, in), both at least 1, got {codes.shape}")
    check_values(codes, codebook)
    return codebook.reshape(-1, codebook.shape[-1])


def check_values(codes: np.ndarray, codebook: np.ndarray, most: int = 255) -> None:
    """Raises ValueError unless the codebook has 1..256 finite values for as many groups as divide the rows of `codes`,
    and every code has one; no code is known to be above `most`."""
    if codebook.ndim not in (1, 2):
        raise ValueError(f"codebook: expected shape (k,) or (groups, k), got {checks.describe(codebook)}")
    if not 1 <= codebook.shape[-1] <= MOST_VALUES:
        raise ValueError(f"codebook: expected 1..{MOST_VALUES} values, got {codebook.shape[-1]}")
    if codebook.ndim == 2 and (not codebook.shape[0] or codes.shape[0] % codebook.shape[0]):
        raise ValueError(f"codebook: expected a number of groups that divides {codes.shape[0]}, got {codebook.shape}")
    if not np.isfinite(codebook).all():
        raise ValueError("codebook: expected finite values, got NaN or infinity")
    top = int(codes.max(initial=0)) if most >= codebook.shape[-1] else most
    if top >= codebook.shape[-1]:
        raise ValueError(f"codes: expected codes below {codebook.shape[-1]}, the size of the codebook, got {top}")


class PackedCodebook(RowProduct):
    """`codebook_matmul` with weights that are packed once, and a program ready for each number of rows.

    The arrays are those that `checked_codebook` has seen.
    """

    def __init__(self, codes: np.ndarray, books: np.ndarray, bias: np.ndarray | None) -> None:
        super().__init__(codes.shape[1])
        self._codes, self._books, self._bias = codes, books, bias
        self.shape: tuple[int, int] = (codes.shape[0], codes.shape[1])
        self.values = books.shape[1]
        self._native: Any = None

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        y = runtime.empty((*x.shape[:-1], self._codes.shape[0]), np.float32) if out is None else out
        if y.size == 0:
            return y
        if native.native():
            self._run(x, y)
        elif runtime.backend() == "numba":
            self._numba(x, y)
        else:
            self._numpy(x, y)
        return y

    @property
    def out(self) -> int:
        return self.shape[0]

    @property
    def columns(self) -> int:
        return self.shape[1]

    def packed(self) -> Any:
        """The weights as the native kernels read them; it has `out`, `depth`, `bits` of a code, and `nbytes`."""
        if self._native is None:
            self._native = pack_codebook(self._codes, self._books)
        return self._native

    def _add(self, program: Any, rows: int, x: Any, y: Any, scratch: Any, threads: int) -> int:
        packed = self.packed()
        bias = native.pack_bias(self._bias, packed.out)
        program.codebook(packed, rows, native.activation(None), x, y, scratch, bias, threads)
        return int(packed.scratch_floats(rows, threads))

    def _numba(self, x: np.ndarray, y: np.ndarray) -> None:
        from accel.kernels.codebook_numba import codebook_product

        bias = np.zeros(self._codes.shape[0], np.float32) if self._bias is None else self._bias
        codebook_product(x.reshape(-1, x.shape[-1]), self._codes, self._books, bias, y.reshape(-1, y.shape[-1]))

    def _numpy(self, x: np.ndarray, y: np.ndarray) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            for first in range(0, self._codes.shape[0], _ROWS):
                rows = slice(first, first + _ROWS)
                y[..., rows] = x @ unfold(self._codes, self._books, rows).T
            if self._bias is not None:
                np.add(y, self._bias, out=y)


def unfold(codes: np.ndarray, books: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
    """Rows of the array that codes of shape (out, ...) and books of shape (groups, k) stand for."""
    if len(books) == 1:
        wanted = codes[rows]
        if native.native():
            found: np.ndarray = runtime.core.unfold_codes(wanted, books[0])
            return found
        # `take` needs half the time of an index, and makes codes 8 bytes wide: not all at once
        flat, values = wanted.reshape(-1), np.empty(wanted.size, np.float32)
        for at in range(0, flat.size, _PIECE):
            books[0].take(flat[at : at + _PIECE], out=values[at : at + _PIECE], mode="clip")
        return values.reshape(wanted.shape)
    group = np.arange(codes.shape[0])[rows] // (codes.shape[0] // len(books))
    places = group.reshape(-1, *[1] * (codes.ndim - 1)) * books.shape[1] + codes[rows]
    dense: np.ndarray = books.reshape(-1)[places]
    return dense


def pack_codebook(codes: np.ndarray, books: np.ndarray) -> Any:
    """The weights as the native kernels read them: codes of four bits for up to 16 values, else of eight."""
    return runtime.core.pack_codebook(codes, books, runtime.threads())
