"""Fastfood: an (out, in) matrix by two Walsh-Hadamard transforms, a permutation and three diagonals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError, shown
from accel.kernels import checks
from accel.kernels._hash import MAX_SEED, permutations
from accel.kernels.fastfood import Fastfood as Product
from accel.kernels.fwht import fwht, next_power
from accel.weights import _state
from accel.weights.base import Weight

_ROUNDS = 200  # of power iteration at most: random matrices have singular values close to the leading one
_NAMES = ("scale_s", "gauss_g", "signs_b")


class Fastfood(Weight):
    """W = the first `out` rows and `in` columns of stacked blocks S H G Pi H B.

    H is the orthonormal Walsh-Hadamard matrix of n, the least power of two that is not below `in`. There are
    ceil(out / n) blocks, each with diagonals and a permutation of its own.

    Parameters
    ----------
    s, g, b : (blocks, n) float32, C-contiguous, finite: the diagonals of S, G and B, all of them learned in Adaptive
        Fastfood [2]_, random in the original [1]_.
    seed : 0 .. 2**63 - 1, of the permutations: docs/formats/accel.md says which they are, on every platform.
    shape : (out, in), both at least 1.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  shapes that do not fit, a value that is not finite, a seed out of range.

    Notes
    -----
    3 n numbers a block are stored and 2 n log2(n) additions made, in place of n**2.

    References
    ----------
    .. [1] Le, Sarlos & Smola, "Fastfood: approximating kernel expansions in loglinear time", ICML 2013.
    .. [2] Yang et al., "Deep fried convnets", ICCV 2015.
    .. [3] Yu et al., "Orthogonal random features", NIPS 2016.
    """

    kind: ClassVar[str] = "fastfood"
    by_formula: ClassVar[bool] = True

    def __init__(self, s: np.ndarray, g: np.ndarray, b: np.ndarray, seed: int, shape: tuple[int, int]) -> None:
        self.shape = _state.dims(shape)
        if len(self.shape) != 2 or 0 in self.shape:
            raise ValueError(f"shape: expected (out, in), both at least 1, got {self.shape}")
        self.seed = checks.integer("seed", seed, 0, MAX_SEED)
        size = layout(self.shape)
        for name, value in (("s", s), ("g", g), ("b", b)):
            checks.array(name, value, np.float32, 2)
            if value.shape != size:
                raise ValueError(f"{name}: expected shape {size}, blocks x n, got {value.shape}")
            if not np.isfinite(value).all():
                raise ValueError(f"{name}: expected finite values, got NaN or infinity")
        self.s, self.g, self.b = (_state.frozen(value) for value in (s, g, b))
        self._perm: np.ndarray | None = None

    @classmethod
    def random(cls, shape: tuple[int, int], seed: int = 0, sigma: float = 1.0, g: str = "normal") -> Fastfood:
        """Random diagonals, as training starts with them: rows are close to normal vectors of variance sigma**2.

        B is +-1, and S makes the lengths of rows those of normal vectors: sigma chi(n) sqrt(n) / |G|. G is "normal"
        [1]_, or "signs", +-1: the rows of a block are then orthogonal [3]_. NumPy draws them from `seed`; they are
        stored, so that a file does not depend on how.

        Raises TypeError and ValueError for a shape, seed, sigma or g that does not fit.
        """
        blocks, n = layout(_state.dims(shape))
        if checks.number("sigma", sigma) <= 0:
            raise ValueError(f"sigma: expected a finite number above 0, got {shown(sigma)}")
        if g not in ("normal", "signs"):
            raise ValueError(f"g: expected 'normal' or 'signs', got {shown(g)}")
        draw = np.random.default_rng(checks.integer("seed", seed, 0, MAX_SEED))
        b = draw.integers(0, 2, (blocks, n)).astype(np.float32) * 2 - 1
        diagonal = draw.standard_normal((blocks, n)) if g == "normal" else draw.integers(0, 2, (blocks, n)) * 2.0 - 1
        lengths = np.sqrt(draw.chisquare(n, (blocks, n)))
        s = sigma * lengths * np.sqrt(n) / np.linalg.norm(diagonal, axis=1, keepdims=True)
        return cls(s.astype(np.float32), diagonal.astype(np.float32), b, seed, shape)

    @classmethod
    def project(cls, w: np.ndarray, seed: int = 0) -> Fastfood:
        """S and G that come nearest to `w` in squared error, for random signs B and the permutations of `seed`.

        U = Pi H B is orthogonal, so that |W - S H G U| = |W U^T - S H G|: after the signs of H the best s g^T is the
        leading pair of singular vectors, found by power iteration. 2 n numbers cannot come near n**2 of any kind: it
        is where training starts.

        Parameters
        ----------
        w : (out, in) float32, C-contiguous, finite; zero columns follow up to n, and are fitted as well.
        seed : of the signs and permutations.

        Raises
        ------
        TypeError   w is not float32. ValueError   w is not finite or has a size 0; seed is out of range.
        """
        checks.array("w", w, np.float32, 2)
        blocks, n = layout(w.shape)
        if not np.isfinite(w).all():
            raise ValueError("w: expected finite values, got NaN or infinity")
        draw = np.random.default_rng(checks.integer("seed", seed, 0, MAX_SEED))
        b = draw.integers(0, 2, (blocks, n)) * 2.0 - 1
        filled = np.zeros((blocks * n, n))
        filled[: w.shape[0], : w.shape[1]] = w
        perm, signs = permutations(blocks, n, seed), fwht(np.eye(n))
        s, g = np.empty((2, blocks, n))
        for block, rows in enumerate(filled.reshape(blocks, n, n)):
            turned = fwht(rows * b[block], norm="ortho")[:, perm[block]]
            s[block], g[block] = _leading_pair(turned * signs * np.sqrt(n))
        diagonals = [a.astype(np.float32) for a in (s, g, b)]
        return cls(diagonals[0], diagonals[1], diagonals[2], seed, (w.shape[0], w.shape[1]))

    @property
    def perm(self) -> np.ndarray:
        """(blocks, n) int32: the permutations, made when they are first asked for."""
        if self._perm is None:
            self._perm = permutations(self.s.shape[0], self.s.shape[1], self.seed)
        return self._perm

    @property
    def parameters(self) -> int:
        """The numbers of S, G and B; the permutations are one seed."""
        return int(3 * self.s.size)

    @property
    def nbytes(self) -> int:
        """S, G and B; the permutations take 4 n bytes a block more once they are needed."""
        return int(3 * self.s.nbytes)

    def dense(self) -> np.ndarray:
        out, depth = self.shape
        n = self.s.shape[1]
        rows = np.empty((self.s.size, n))
        for block, (s, g, b) in enumerate(zip(*(a.astype(np.float64) for a in (self.s, self.g, self.b)), strict=True)):
            unit = fwht(np.diag(b), axis=0, norm="ortho")
            mixed = g[:, np.newaxis] * unit[self.perm[block]]
            rows[block * n : (block + 1) * n] = s[:, np.newaxis] * fwht(mixed, axis=0, norm="ortho")
        with np.errstate(over="ignore"):  # what float32 does not hold is infinite, as in the kernel
            return np.ascontiguousarray(rows[:out, :depth], np.float32)

    def product(self, bias: np.ndarray | None = None) -> Product:
        out, depth = self.shape
        return Product(self.s, self.g, self.perm, self.b, depth, out, bias)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return dict(zip(_NAMES, (self.s, self.g, self.b), strict=True)), {"seed": self.seed, "shape": list(self.shape)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Fastfood:
        _state.only(cls.kind, arrays, _NAMES, "arrays")
        _state.only(cls.kind, meta, ("seed", "shape"), "fields")
        s, g, b = (_state.array(cls.kind, arrays, name, np.float32) for name in _NAMES)
        out, depth = _state.matrix(cls.kind, meta["shape"])
        seed = _state.seed(cls.kind, meta["seed"])
        try:
            return cls(s, g, b, seed, (out, depth))
        except ValueError as error:
            raise FormatError(f"{cls.kind} weight: {error}") from None


def _leading_pair(m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """u and v of one length whose u v^T comes nearest to a square matrix; zeros for a matrix of zeros."""
    v, length = m[np.argmax((m * m).sum(1))], 0.0
    if not v.any():
        return v, v
    for _ in range(_ROUNDS):
        v = m.T @ (m @ v)
        length, before = float(np.linalg.norm(v)), length
        v = v / length
        if abs(length - before) <= 1e-9 * length:
            break
    u = m @ v
    size = np.sqrt(np.linalg.norm(u))
    return u / size, v * size


def layout(shape: tuple[int, ...]) -> tuple[int, int]:
    """(blocks, n) of an (out, in) matrix."""
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"shape: expected (out, in), both at least 1, got {shape}")
    n = next_power(shape[1])
    return -(-shape[0] // n), n
