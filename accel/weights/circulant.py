"""Circulant and BlockCirculant: matrices of which one column of each block is stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks
from accel.kernels.circulant import CirculantPlan
from accel.kernels.conv import MOST
from accel.weights import _state
from accel.weights._circulant_product import CirculantProduct
from accel.weights.base import Weight


class CirculantBlocks(Weight):
    """p x q circulant blocks of a matrix, or of a convolution at every tap: what both forms share."""

    by_formula: ClassVar[bool] = True

    def __init__(
        self, r: np.ndarray, shape: tuple[int, ...] | None = None, signs: np.ndarray | None = None
    ) -> None:  # fmt: skip
        checks.array("r", r, np.float32)
        if r.ndim not in (3, 5) or 0 in r.shape:
            raise ValueError(f"r: expected (p, q, b) or (p, q, b, kh, kw), no size 0, got shape {r.shape}")
        if not np.isfinite(r).all():
            raise ValueError("r: expected finite values, got NaN or infinity")
        p, q, b, *taps = r.shape
        self.shape = _state.dims((p * b, q * b, *taps) if shape is None else shape)
        if len(self.shape) != r.ndim - 3 + 2 or list(self.shape[2:]) != taps:
            raise ValueError(f"shape: expected {2 + len(taps)} sizes that end in {taps}, got {self.shape}")
        for name, value, count in (("out", self.shape[0], p), ("in", self.shape[1], q)):
            checks.integer(f"shape: {name}", value, (count - 1) * b + 1, count * b)
        self.r, self.signs = _state.frozen(r), _checked_signs(signs, self.shape)

    @property
    def block(self) -> int:
        """b: how many numbers a block has."""
        return int(self.r.shape[2])

    @property
    def parameters(self) -> int:
        """Numbers of r: signs are fixed."""
        return int(self.r.size)

    @property
    def nbytes(self) -> int:
        """Of r, and a byte a sign."""
        return int(self.r.nbytes) + (0 if self.signs is None else self.signs.size)

    def dense(self) -> np.ndarray:
        out, depth, *taps = self.shape
        p, q, b = self.r.shape[:3]
        i, j = np.arange(b)[:, None], np.arange(b)
        blocks = self.r[:, :, (i - j) % b].swapaxes(1, 2)
        w = blocks.reshape(p * b, q * b, *taps)[:out, :depth]
        return np.ascontiguousarray(w if self.signs is None else w * self.signs)

    def matrix(self) -> np.ndarray:
        """r (p, kh kw q, b) of the matrix whose columns are the channels of one tap after another."""
        if self.ndim == 2:
            return self.r
        p, q, b, kh, kw = self.r.shape
        return np.ascontiguousarray(self.r.transpose(0, 3, 4, 1, 2)).reshape(p, kh * kw * q, b)

    def plan(self) -> CirculantPlan:
        """What multiplies by it; of a convolution, vectors of whole blocks of channels, tap after tap."""
        r = self.matrix()
        columns = self.shape[1] if self.ndim == 2 else r.shape[1] * self.block
        return CirculantPlan(r, (self.shape[0], columns), self.signs)

    def product(self, bias: np.ndarray | None = None) -> Callable[[np.ndarray], np.ndarray] | None:
        return CirculantProduct(self.plan(), self.dense, bias) if self.ndim == 2 else None

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        signs = {} if self.signs is None else {"signs": self.signs.astype(np.int8)}
        return {"r": self.r} | signs, {"shape": list(self.shape)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Self:
        parts = _parts(cls.kind, arrays, meta)
        try:
            return cls(*parts)
        except (TypeError, ValueError) as error:
            raise FormatError(f"{cls.kind} weight: {error}") from None


class BlockCirculant(CirculantBlocks):
    """W[u b + i, v b + j] = r[u, v, (i - j) mod b] s[v b + j]: p x q circulant blocks, of a matrix or at every tap.

    Parameters
    ----------
    r : (p, q, b) float32, C-contiguous, finite: the first columns of the blocks; or (p, q, b, kh, kw), the weight of a
        convolution, block-circulant over channels at each of its taps (CirCNN).
    shape : (out, in) or (out, in/group, kh, kw) when the matrix ends inside its last blocks: (p - 1) b < out <= p b,
        and in alike. None: all of p b x q b.
    signs : (in,) float32 of 1 and -1, optional: the diagonal of D in W = R D, fixed and not learned; of matrices only.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  a size does not fit or is 0, a value is not finite, a sign is neither 1 nor -1.

    References
    ----------
    .. [1] Ding et al., "CirCNN", MICRO 2017.
    """

    kind: ClassVar[str] = "block_circulant"

    @classmethod
    def project(cls, w: np.ndarray, block: int, signs: np.ndarray | None = None) -> BlockCirculant:
        """The block-circulant weight nearest to `w`: of every block the means of its wrapped diagonals, signs undone.

        Parameters
        ----------
        w : (out, in) or (out, in/group, kh, kw) float32, C-contiguous, finite.
        block : b, 1 .. 2**31 - 1; what `w` lacks of the last blocks takes no part in the means.
        signs : as of the class.

        Raises
        ------
        TypeError   w is not float32. ValueError   w is not finite, or has other axes; block is out of range.
        """
        return cls(_project(w, checks.integer("block", block, 1, MOST), signs), w.shape, signs)


class Circulant(CirculantBlocks):
    """W[i, j] = r[(i - j) mod d] s[j]: one circulant block.

    Parameters
    ----------
    r : (d,) float32, C-contiguous, finite: the first column.
    shape : (out, in), each in 1..d: the first rows and columns. None: (d, d).
    signs : (in,) float32 of 1 and -1, optional: the diagonal of D in W = R D, fixed and not learned.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  a size does not fit or is 0, a value is not finite, a sign is neither 1 nor -1.

    References
    ----------
    .. [1] Cheng et al., "An exploration of parameter redundancy in deep networks with circulant projections",
           ICCV 2015.
    """

    kind: ClassVar[str] = "circulant"

    def __init__(
        self, r: np.ndarray, shape: tuple[int, int] | None = None, signs: np.ndarray | None = None
    ) -> None:  # fmt: skip
        checks.array("r", r, np.float32, 1)
        super().__init__(r[None, None], shape, signs)

    @classmethod
    def project(cls, w: np.ndarray, signs: np.ndarray | None = None) -> Circulant:
        """The circulant matrix nearest to `w` (out, in) float32, d = max(out, in): the means of its wrapped diagonals,
        signs undone. Raises as `BlockCirculant.project`."""
        checks.array("w", w, np.float32, 2)
        return cls(_project(w, max(w.shape), signs)[0, 0], (w.shape[0], w.shape[1]), signs)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays, meta = super().state()
        return arrays | {"r": self.r[0, 0]}, meta


def _checked_signs(signs: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    if signs is None:
        return None
    checks.array("signs", signs, np.float32, 1)
    if len(shape) != 2 or signs.size != shape[1]:
        raise ValueError(f"signs: expected shape ({shape[1]},) for a matrix of shape {shape}, got {signs.shape}")
    if not (np.abs(signs) == 1).all():
        raise ValueError("signs: expected 1 and -1 only")
    return _state.frozen(signs)


def _project(w: np.ndarray, b: int, signs: np.ndarray | None) -> np.ndarray:
    """(p, q, b, ..) float32: the means of the wrapped diagonals of every block, summed in float64."""
    checks.array("w", w, np.float32)
    if w.ndim not in (2, 4) or 0 in w.shape:
        raise ValueError(f"w: expected (out, in) or (out, in/group, kh, kw), no size 0, got shape {w.shape}")
    if not np.isfinite(w).all():
        raise ValueError("w: expected finite values, got NaN or infinity")
    flips = _checked_signs(signs, w.shape)
    out, depth, *taps = w.shape
    p, q = -(-out // b), -(-depth // b)
    numbers = (w if flips is None else w * flips).reshape(out * depth, math.prod(taps))
    i, j = np.arange(out)[:, None], np.arange(depth)
    diagonal = ((i // b * q + j // b) * b + (i - j) % b).ravel()  # of each number, among all of r
    counts = np.maximum(np.bincount(diagonal, minlength=p * q * b), 1)
    means = [np.bincount(diagonal, tap, p * q * b) / counts for tap in numbers.T]
    return np.stack(means, axis=-1).astype(np.float32).reshape(p, q, b, *taps)


def _parts(kind: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> tuple[Any, ...]:
    """r, shape and signs of untrusted parts."""
    _state.only(kind, arrays, ("r", "signs") if "signs" in arrays else ("r",), "arrays")
    _state.only(kind, meta, ("shape",), "fields")
    r, signs = _state.array(kind, arrays, "r", np.float32), None
    if "signs" in arrays:
        signs = _state.array(kind, arrays, "signs", np.int8).astype(np.float32)
    return r, _state.shape(kind, meta["shape"]), signs
