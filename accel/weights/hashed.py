"""Hashed: a matrix of which every number is one of K shared ones (HashedNets)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks
from accel.kernels._hash import MAX_SEED
from accel.kernels.hashed import MOST_VALUES, hashed_matmul, hashed_places, unfold
from accel.weights import _state
from accel.weights.base import Weight

_CHUNK = 1 << 18  # weights whose hashes are held at a time


class Hashed(Weight):
    """w[i, j] = xi values[h], with h in 0 .. K - 1 and xi = +-1 given by a fixed hash of i * in + j and the seed.

    Parameters
    ----------
    values : (K,) float32, C-contiguous, finite, K >= 1: what is stored and learned.
    seed : 0 .. 2**63 - 1, of the hash: docs/formats/accel.md.
    shape : (out, in), both at least 1.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  K or the shape is out of range, a value is not finite.

    Notes
    -----
    It saves storage only: a product makes all operations of the dense one and unfolds the weights tile by tile besides.

    References
    ----------
    .. [1] Chen et al., "Compressing neural networks with the hashing trick", ICML 2015.
    """

    kind: ClassVar[str] = "hashed"
    by_formula: ClassVar[bool] = True

    def __init__(self, values: np.ndarray, seed: int, shape: tuple[int, int]) -> None:
        self.shape = _state.dims(shape)
        if len(self.shape) != 2 or 0 in self.shape:
            raise ValueError(f"shape: expected (out, in), both at least 1, got {self.shape}")
        self.seed = checks.integer("seed", seed, 0, MAX_SEED)
        checks.array("values", values, np.float32, 1)
        if not 1 <= values.size <= MOST_VALUES:
            raise ValueError(f"values: expected 1..{MOST_VALUES} of them, got {values.size}")
        if not np.isfinite(values).all():
            raise ValueError("values: expected finite values, got NaN or infinity")
        self.values = _state.frozen(values)

    @classmethod
    def project(cls, w: np.ndarray, values: int, seed: int = 0) -> Hashed:
        """The nearest to `w` in squared error: each shared number is the mean of what is hashed to it, signs undone.

        Parameters
        ----------
        w : (out, in) float32, C-contiguous, finite.
        values : K, at least 1.
        seed : of the hash.
        """
        checks.array("w", w, np.float32, 2)
        checks.integer("values", values, 1, MOST_VALUES)
        checks.integer("seed", seed, 0, MAX_SEED)
        if not np.isfinite(w).all():
            raise ValueError("w: expected finite values, got NaN or infinity")
        flat, sums, counts = w.ravel(), np.zeros(values), np.zeros(values, np.int64)
        for first in range(0, flat.size, _CHUNK):
            part = flat[first : first + _CHUNK].astype(np.float64)
            at, turned = hashed_places(first, first + part.size, values, seed)
            sums += np.bincount(at, np.where(turned, -part, part), values)
            counts += np.bincount(at, minlength=values)
        return cls((sums / np.maximum(counts, 1)).astype(np.float32), seed, (w.shape[0], w.shape[1]))

    @property
    def parameters(self) -> int:
        """K: the signs and places follow from the hash."""
        return int(self.values.size)

    @property
    def nbytes(self) -> int:
        return int(self.values.nbytes)

    def dense(self) -> np.ndarray:
        out, depth = self.shape
        w = np.empty((out, depth), np.float32)
        step = max(_CHUNK // depth, 1)
        for first in range(0, out, step):
            last = min(first + step, out)
            w[first:last] = unfold(self.values, slice(first, last), depth, self.seed)
        return w

    def product(self, bias: np.ndarray | None = None) -> Callable[[np.ndarray], np.ndarray]:
        return partial(hashed_matmul, values=self.values, out_features=self.shape[0], seed=self.seed, bias=bias)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {"values": self.values}, {"seed": self.seed, "shape": list(self.shape)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Hashed:
        _state.only(cls.kind, arrays, ("values",), "arrays")
        _state.only(cls.kind, meta, ("seed", "shape"), "fields")
        values = _state.array(cls.kind, arrays, "values", np.float32)
        shape, seed = _state.matrix(cls.kind, meta["shape"]), _state.seed(cls.kind, meta["seed"])
        try:
            return cls(values, seed, shape)
        except ValueError as error:
            raise FormatError(f"{cls.kind} weight: {error}") from None
