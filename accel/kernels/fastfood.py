"""Fastfood: a product with a matrix of n^2 numbers by two Walsh-Hadamard transforms and three diagonals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels import program as native
from accel.kernels.fwht import fwht, next_power

MOST = 1 << 26
"""Largest n of the native kernel."""


def fastfood(
    x: np.ndarray, s: np.ndarray, g: np.ndarray, perm: np.ndarray, b: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """y = S H G Pi H B x along the last axis, for one block or for several that are stacked.

    H is the orthonormal Walsh-Hadamard matrix, S, G, B are diagonal, (Pi z)[i] = z[perm[i]].

    Parameters
    ----------
    x : (..., n) float32, C-contiguous, n a power of two.
    s, g, b : (n,) float32, C-contiguous, or (blocks, n): y then has the outputs of the blocks one after the other.
    perm : int32 of the same shape: a permutation of 0 .. n - 1, of each block its own.
    out : (..., n) or (..., blocks n) float32, C-contiguous, optional; must not overlap x.

    Returns
    -------
    (..., n) or (..., blocks n) float32

    Raises
    ------
    TypeError   an array has another dtype (nothing is converted).
    ValueError  n is no power of two (the message names the next), shapes do not fit, perm is no bijection, or out is
        read-only or overlaps x.

    Notes
    -----
    2 n log2(n) additions and 3 n multiplications a row and block. The error of y_i is at most eps (2 log2(n) + 4)
    |s_i| max |g| max |b| times the Euclidean norm of the row. The arrays are laid out anew at every call,
    in O(n): `Fastfood` does it once. A row has the same bits alone, in any batch, and on any number of threads.

    References
    ----------
    .. [1] Le, Sarlos & Smola, "Fastfood: approximating kernel expansions in loglinear time", ICML 2013.
    .. [2] Yang et al., "Deep fried convnets", ICCV 2015: S, G and B learned.
    """
    checks.array("x", x, np.float32)
    if x.ndim == 0:
        raise ValueError("x: expected shape (..., n), got a scalar")
    _, n = check_arrays(s, g, perm, b)
    if x.shape[-1] != n:
        raise ValueError(f"x: expected shape (..., {n}) for s of shape {s.shape}, got {x.shape}")
    return Fastfood(s, g, perm, b, n)(x, out)


class Fastfood:
    """`fastfood` with its arrays laid out once, for inputs and outputs of other sizes than n.

    Parameters
    ----------
    s, g, perm, b : as for `fastfood`. Not copied: they are not to be changed afterwards.
    d_in : numbers of a row of x, 1..n; zeros follow.
    d_out : numbers of a row of y, of blocks n the first ones; all by default. They reach into the last block.
    offset : (d_out,) float32, optional: y = v + offset, v the product.
    amplitude : optional: y has 2 d_out numbers in place of d_out, amplitude cos(v + offset) and then amplitude
        sin(v + offset), both off by at most (3e-7 + 1.2e-7 |v + offset|) amplitude.

    Raises TypeError and ValueError as `fastfood` does.
    """

    def __init__(
        self,
        s: np.ndarray,
        g: np.ndarray,
        perm: np.ndarray,
        b: np.ndarray,
        d_in: int,
        d_out: int | None = None,
        offset: np.ndarray | None = None,
        amplitude: float | None = None,
    ) -> None:
        shape = check_arrays(s, g, perm, b)
        check_permutations(perm, shape[1])
        self.s, self.g, self.perm, self.b = (a.reshape(shape) for a in (s, g, perm, b))
        self.blocks, self.n = shape
        self.d_in = checks.integer("d_in", d_in, 1, self.n)
        most = self.blocks * self.n
        self.d_out = most if d_out is None else checks.integer("d_out", d_out, most - self.n + 1, most)
        if offset is not None and checks.array("offset", offset, np.float32, 1).shape != (self.d_out,):
            raise ValueError(f"offset: expected shape ({self.d_out},), got {offset.shape}")
        self.offset, self.amplitude = offset, None if amplitude is None else checks.number("amplitude", amplitude)
        self._prepared: dict[int, Any] = {}  # by instruction set

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_prepared": {}}  # laid out again where it arrives

    def prepared(self) -> Any:
        """The arrays as the native kernel of the instruction set in force reads them."""
        isa = runtime.isa_index()
        if isa not in self._prepared:
            self._prepared[isa] = runtime.core.prepare_fastfood(
                isa, self.s, self.g, self.perm, self.b, self.d_in, self.d_out, self.offset, self.amplitude
            )
        return self._prepared[isa]

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """(..., d_in) float32 to (..., d_out), or (..., 2 d_out) with an amplitude."""
        if out is not None and self._run(x, out):
            return out
        checks.array("x", x, np.float32)
        if x.ndim == 0 or x.shape[-1] != self.d_in:
            raise ValueError(f"x: expected shape (..., {self.d_in}), got {x.shape}")
        width = self.d_out if self.amplitude is None else 2 * self.d_out
        shape = (*x.shape[:-1], width)
        y = checks.output("out", out, np.float32, shape, x=x)
        plain, result = np.asarray(x), np.asarray(y)  # of files that are mapped, too
        if x.size and not self._run(plain, result):
            self._other(plain, result)
        return y

    def _run(self, x: np.ndarray, y: np.ndarray) -> bool:
        """By the native kernel, unless another back end is in force or the arrays do not fit."""
        if not native.native() or self.n > MOST:
            return False
        prepared, threads = self.prepared(), runtime.threads()
        scratch = native.scratch(prepared.scratch_floats(threads))
        return bool(runtime.core.run_fastfood(prepared, x, y, scratch, threads))

    def _other(self, x: np.ndarray, y: np.ndarray) -> None:
        """By the transforms of the back end in force."""
        rows = x.size // self.d_in
        padded = np.zeros((rows, self.blocks, self.n), np.float32)
        padded[:, :, : self.d_in] = x.reshape(rows, 1, self.d_in)
        padded *= self.b
        z = fwht(padded, norm="ortho", out=padded)
        z = np.take_along_axis(z, self.perm[np.newaxis], axis=2)
        z *= self.g
        z = fwht(z, norm="ortho", out=z)
        z *= self.s
        v = z.reshape(rows, -1)[:, : self.d_out]
        if self.offset is not None:
            v = v + self.offset
        if self.amplitude is not None:
            v = np.float32(self.amplitude) * np.concatenate([np.cos(v), np.sin(v)], axis=1)
        np.copyto(y, v.reshape(y.shape))


def fastfood_backward(
    grad: np.ndarray, x: np.ndarray, s: np.ndarray, g: np.ndarray, perm: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of sum(grad * fastfood(x, s, g, perm, b)) by x, s, g and b.

    H is symmetric, so that they are two more transforms in the other direction.

    Parameters
    ----------
    grad : (..., n) or (..., blocks n), float32 or float64, C-contiguous.
    x : (..., n) of the dtype of grad, C-contiguous.
    s, g, perm, b : as for `fastfood`; s, g and b of the dtype of grad.

    Returns
    -------
    dx of the shape of x; ds, dg, db of the shape of s, summed over the rows; all of the dtype of grad.

    Raises TypeError and ValueError as `fastfood` does.
    """
    dtype = np.float64 if getattr(grad, "dtype", None) == np.float64 else np.float32
    checks.array("grad", grad, dtype)
    checks.array("x", x, dtype)
    blocks, n = check_arrays(s, g, perm, b, dtype)
    check_permutations(perm, n)
    if x.ndim == 0 or x.shape[-1] != n:
        raise ValueError(f"x: expected shape (..., {n}), got {x.shape}")
    if grad.shape != (*x.shape[:-1], blocks * n):
        raise ValueError(f"grad: expected shape {(*x.shape[:-1], blocks * n)}, got {grad.shape}")
    rows = math.prod(x.shape[:-1])
    s2, g2, perm2, b2 = (a.reshape(blocks, n) for a in (s, g, perm, b))
    return _backward(grad.reshape(rows, blocks, n), x, s2, g2, perm2, b2, s.shape)


def _backward(
    grad: np.ndarray,
    x: np.ndarray,
    s: np.ndarray,
    g: np.ndarray,
    perm: np.ndarray,
    b: np.ndarray,
    shape: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rows, _, n = grad.shape
    wide = x.reshape(rows, 1, n)
    mixed = np.take_along_axis(fwht(b * wide, norm="ortho"), perm[np.newaxis], axis=2)  # Pi H B x
    ds = (grad * fwht(g * mixed, norm="ortho")).sum(axis=0)
    back = fwht(s * grad, norm="ortho")  # H S grad
    dg = (back * mixed).sum(axis=0)
    back *= g
    unmixed = np.empty_like(back)
    np.put_along_axis(unmixed, np.broadcast_to(perm[np.newaxis], back.shape), back, axis=2)
    fwht(unmixed, norm="ortho", out=unmixed)
    db = (unmixed * wide).sum(axis=0)
    dx = (unmixed * b).sum(axis=1)
    return dx.reshape(x.shape), ds.reshape(shape), dg.reshape(shape), db.reshape(shape)


def check_arrays(s: Any, g: Any, perm: Any, b: Any, dtype: Any = np.float32) -> tuple[int, int]:
    """(blocks, n), or an error that names what does not fit."""
    checks.array("s", s, dtype)
    if s.ndim not in (1, 2) or 0 in s.shape:
        raise ValueError(f"s: expected shape (n,) or (blocks, n), got {s.shape}")
    n = s.shape[-1]
    if n != next_power(n):
        raise ValueError(f"s: expected a power of two as its last size, got {n}; the next is {next_power(n)}")
    for name, value, kind in (("g", g, dtype), ("perm", perm, np.int32), ("b", b, dtype)):
        if checks.array(name, value, kind).shape != s.shape:
            raise ValueError(f"{name}: expected shape {s.shape} as s, got {value.shape}")
    return s.size // n, n


def check_permutations(perm: np.ndarray, n: int) -> None:
    """Raise ValueError unless every row is a permutation of 0 .. n - 1."""
    for row, numbers in enumerate(perm.reshape(-1, n)):
        if numbers.min() < 0 or numbers.max() >= n:
            bad = numbers[(numbers < 0) | (numbers >= n)][0]
            raise ValueError(f"perm: expected a permutation of 0..{n - 1}, got {bad} in block {row}")
        counts = np.bincount(numbers, minlength=n)
        if counts.max() > 1:
            raise ValueError(
                f"perm: expected a permutation of 0..{n - 1}, got {int(counts.argmax())} more than once in block {row}"
            )
