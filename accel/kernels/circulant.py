"""Products with circulant and block-circulant matrices by Fourier transforms, and their gradients.

A circulant matrix has d numbers, its first column r: W[i, j] = r[(i - j) mod d]. A block-circulant one is p x q of
them, r of shape (p, q, b): W[u b + i, v b + j] = r[u, v, (i - j) mod b].
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels import program as native

_MOST_FLOATS = 1 << 24  # spectra that the NumPy back end makes at once: 128 MB
_FEW = (
    32  # numbers of a block below which NumPy's transforms make gradients by r faster than a product that is used once
)


def circulant_matmul(x: np.ndarray, r: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y[..., i] = sum_j r[(i - j) mod d] x[..., j].

    Parameters
    ----------
    x : ndarray, shape (..., d), float32, C-contiguous.
    r : ndarray, shape (d,), float32: the first column of the matrix.
    out : ndarray, shape (..., d), float32, optional; must not overlap x or r.

    Returns
    -------
    ndarray, shape (..., d), float32

    Raises
    ------
    TypeError   an array is not float32 (nothing is converted). ValueError   shapes do not fit, or d is 0.

    Notes
    -----
    The spectrum of r is made at every call; `CirculantPlan` keeps it. Relative RMS error against float64 about 2e-7 for
    d <= 4096. Two rows of a batch are transformed as one complex vector where their norms lie within a factor of 4: a
    row has the same bits on any number of threads, but not in the company of another row. NaN and infinity fill their
    own row, and with r that has one, everything. Any d; the native transform is fastest where d is a multiple of 16
    (8 on AVX2, 4 elsewhere) whose other factors are 2, 3, 5, 7, and twice the work where it is no multiple of 8.
    Kernel csrc/kernels/circulant.
    """
    checks.array("r", r, np.float32, 1)
    return _multiply(x, r[None, None], "r", out)


def block_circulant_matmul(x: np.ndarray, r: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y[..., u b + i] = sum over v, j of r[u, v, (i - j) mod b] x[..., v b + j].

    Parameters
    ----------
    x : ndarray, shape (..., q b), float32, C-contiguous.
    r : ndarray, shape (p, q, b), float32: the first columns of p x q circulant blocks.
    out : ndarray, shape (..., p b), float32, optional; must not overlap x or r.

    Returns
    -------
    ndarray, shape (..., p b), float32

    Raises and Notes as `circulant_matmul`, b in the place of d. Each block of x is transformed once, and each block of
    y once; between them stand the products of spectra.
    """
    checks.array("r", r, np.float32, 3)
    return _multiply(x, r, "r", out)


def block_circulant_transpose(r: np.ndarray) -> np.ndarray:
    """The first columns (q, p, b) of the transposed matrix: r[u, v, -k mod b]."""
    checks.array("r", r, np.float32, 3)
    return np.ascontiguousarray(np.roll(r[..., ::-1], 1, -1).transpose(1, 0, 2))


def block_circulant_grad_x(g: np.ndarray, r: np.ndarray) -> np.ndarray:
    """The gradient by x of a function with gradient g by y = block_circulant_matmul(x, r).

    g : (..., p b) float32. r : (p, q, b) float32. Returns (..., q b) float32: the circular correlation of g with r.
    Raises as `block_circulant_matmul`.
    """
    checks.array("g", g, np.float32)
    transposed = block_circulant_transpose(r)
    if g.ndim == 0 or g.shape[-1] != r.shape[0] * r.shape[2]:
        raise ValueError(f"g: expected shape (..., {r.shape[0] * r.shape[2]}), got {g.shape}")
    return _multiply(g, transposed, "r", None)


def block_circulant_grad_r(g: np.ndarray, x: np.ndarray, b: int) -> np.ndarray:
    """The gradient by r of a function with gradient g by y = block_circulant_matmul(x, r).

    Parameters
    ----------
    g : ndarray, shape (..., p b), float32.
    x : ndarray, shape (..., q b), float32, the leading sizes as of g.
    b : block size.

    Returns
    -------
    ndarray, shape (p, q, b), float32: the circular correlation of g with x, added up over all rows in the
    Fourier domain, natively in float32 from b = 32 on, else in float64.

    Raises
    ------
    TypeError   an array is not float32. ValueError   b does not divide the last sizes, or shapes differ.
    """
    checks.array("g", g, np.float32)
    checks.array("x", x, np.float32)
    b = checks.integer("b", b, 1)
    for name, value in (("g", g), ("x", x)):
        if value.ndim == 0 or value.shape[-1] % b:
            raise ValueError(f"{name}: expected a last size that b = {b} divides, got shape {value.shape}")
    if g.shape[:-1] != x.shape[:-1]:
        raise ValueError(f"g: expected leading sizes {x.shape[:-1]} as of x, got {g.shape[:-1]}")
    p, q, rows = g.shape[-1] // b, x.shape[-1] // b, math.prod(x.shape[:-1])
    if rows and g.size and x.size and b >= _FEW and native.native():
        # Rows of the batch take the place of the blocks of a column: one product with the circulant matrices of x.
        by_block = np.ascontiguousarray(g.reshape(rows, p, b).transpose(1, 0, 2)).reshape(p, rows * b)
        return _multiply(by_block, block_circulant_transpose(x.reshape(rows, q, b)), "x", None).reshape(p, q, b)
    total = np.zeros((b // 2 + 1, p, q), np.complex128)
    step = max(_MOST_FLOATS // max((p + q) * b, 1), 1)
    flat_g, flat_x = g.reshape(rows, p, b), x.reshape(rows, q, b)
    for first in range(0, rows, step):
        part_g = np.fft.rfft(flat_g[first : first + step].astype(np.float64))
        part_x = np.fft.rfft(flat_x[first : first + step].astype(np.float64))
        total += part_g.transpose(2, 1, 0) @ part_x.transpose(2, 0, 1).conj()
    return np.ascontiguousarray(np.fft.irfft(total.transpose(1, 2, 0), b), np.float32)


class CirculantPlan:
    """y = x W^T for a block-circulant W that is used again: its spectra are kept, per instruction set.

    Parameters
    ----------
    r : ndarray, shape (p, q, b), float32; or (d,), a circulant matrix. Copied.
    shape : (out, in) of W, when it ends inside the last blocks: (p - 1) b < out <= p b, and in alike; None: all of it.
    signs : ndarray, shape (in,), float32, optional: x is multiplied by it first (a diagonal matrix D, of +-1).

    Raises
    ------
    TypeError   an array is not float32, or shape no pair. ValueError   a size is 0 or does not fit.
    """

    def __init__(
        self, r: np.ndarray, shape: tuple[int, int] | None = None, signs: np.ndarray | None = None
    ) -> None:  # fmt: skip
        if checks.array("r", r, np.float32).ndim == 1:
            r = r[None, None]
        elif r.ndim != 3:
            raise ValueError(f"r: expected shape (p, q, b) or (d,), got {r.shape}")
        _not_empty("r", r)
        p, q, b = r.shape
        if shape is None:
            shape = p * b, q * b
        if not isinstance(shape, (tuple, list)) or len(shape) != 2:
            raise TypeError(f"shape: expected (out, in), got {checks.describe(shape)}")
        self.out = checks.integer("shape: out", shape[0], (p - 1) * b + 1, p * b)
        self.columns = checks.integer("shape: in", shape[1], (q - 1) * b + 1, q * b)
        if signs is not None and checks.array("signs", signs, np.float32, 1).size != self.columns:
            raise ValueError(f"signs: expected shape ({self.columns},), got {signs.shape}")
        self.r, self.signs = r.copy(), None if signs is None else signs.copy()
        self._prepared: dict[int, Any] = {}  # by instruction set

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_prepared": {}}  # prepared again where it arrives

    def native(self) -> Any:
        """The prepared matrix for the native kernels, of the instruction set in force."""
        isa = runtime.isa_index()
        if isa not in self._prepared:
            core = runtime.core
            self._prepared[isa] = core.prepare_circulant(isa, self.r, self.signs, self.columns, self.out, True)
        return self._prepared[isa]

    @property
    def nbytes(self) -> int:
        """Bytes of what the native kernels read, of the instruction set in force."""
        return int(self.native().nbytes)

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """x (..., in) float32, C-contiguous, to (..., out); `out` must not overlap x."""
        isa = runtime.native_index()
        if isa >= 0:
            prepared = self._prepared.get(isa) or self.native()
            product: np.ndarray | None = prepared.multiply(x, out, runtime.threads)
            if product is not None:
                return product
        y = _checked(x, self.columns, self.out, out)
        if not checks.of_numpys_type(x, y):
            self(np.asarray(x), np.asarray(y))
        elif x.size:
            _fallback(x if self.signs is None else x * self.signs, self.r, y)
        return y


def _not_empty(name: str, r: np.ndarray) -> None:
    if 0 in r.shape:
        raise ValueError(f"{name}: expected no size 0, got shape {r.shape}")


def _checked(x: np.ndarray, columns: int, rows: int, out: np.ndarray | None, r: np.ndarray | None = None) -> np.ndarray:
    """The array for the result, after all checks."""
    checks.array("x", x, np.float32)
    if x.ndim == 0 or x.shape[-1] != columns:
        raise ValueError(f"x: expected shape (..., {columns}), got {x.shape}")
    return checks.output("out", out, np.float32, (*x.shape[:-1], rows), x=x, r=r)


def _multiply(x: np.ndarray, r: np.ndarray, name: str, out: np.ndarray | None) -> np.ndarray:
    """The product with a matrix that is used once."""
    _not_empty(name, r)
    p, q, b = r.shape
    y = _checked(x, q * b, p * b, out, r)
    if not x.size:
        return y
    if native.native():
        single = x.size == q * b
        prepared = runtime.core.prepare_circulant(runtime.isa_index(), r, None, q * b, p * b, single)
        prepared.multiply(np.asarray(x), np.asarray(y), runtime.threads)  # of files that are mapped, too
    else:
        _fallback(x, r, y)
    return y


def _fallback(x: np.ndarray, r: np.ndarray, y: np.ndarray) -> None:
    """By Numba or NumPy, into y; x and y may end inside the last blocks."""
    p, q, b = r.shape
    rows = math.prod(x.shape[:-1])
    filled = np.zeros((rows, q * b), np.float32)
    filled[:, : x.shape[-1]] = x.reshape(rows, -1)
    result = runtime.empty((rows, p, b), np.float32)
    if runtime.backend() == "numba":
        from accel.kernels.circulant_numba import block_circulant

        block_circulant(filled.reshape(rows, q, b), r, result)
    else:
        _numpy(filled.reshape(rows, q, b), r, result)
    y[...] = result.reshape(rows, p * b)[:, : y.shape[-1]].reshape(y.shape)


def _numpy(x: np.ndarray, r: np.ndarray, y: np.ndarray) -> None:
    _, q, b = x.shape
    with np.errstate(invalid="ignore", over="ignore"):
        spectra = np.fft.rfft(r.astype(np.float64)).transpose(2, 1, 0)  # [frequency][q][p]
        step = max(_MOST_FLOATS // ((q + r.shape[0]) * b), 1)
        for first in range(0, x.shape[0], step):
            part = np.fft.rfft(x[first : first + step].astype(np.float64)).transpose(2, 0, 1)
            y[first : first + step] = np.fft.irfft((part @ spectra).transpose(1, 2, 0), b)
