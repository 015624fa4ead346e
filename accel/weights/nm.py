"""NM: N values in every M inputs, as 2:4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks
from accel.weights import _sparse, _state
from accel.weights.base import Weight
from accel.weights.bsr import csr_from_entries
from accel.weights.csr import Csr

MAX_M = 256
"""A position is one byte."""


class NM(Weight):
    """w[o, g*m + positions[o, g, k]] = values[o, g, k]: the inputs in groups of m, n of each stored.

    Of a weight (out, in/group, kh, kw) the groups are made along the second axis, at each of the kh * kw places.

    Parameters
    ----------
    values : float32 (out, in/m, n), or (out, kh, kw, in/m, n).
    positions : uint8 of the same shape, below m, strictly ascending along the last axis.
    m : 1..256.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  the shapes differ, or positions do not ascend below m.

    References
    ----------
    .. [1] Mishra et al., "Accelerating sparse deep neural networks", arXiv 2104.08378 (2:4).
    """

    kind: ClassVar[str] = "nm"

    def __init__(self, values: np.ndarray, positions: np.ndarray, m: int) -> None:
        checks.array("values", values, np.float32)
        checks.array("positions", positions, np.uint8)
        self.m = checks.integer("m", m, 1, MAX_M)
        if values.ndim < 3:
            raise ValueError(f"values: expected (out, in/m, n) or (out, kh, kw, in/m, n), got shape {values.shape}")
        if not 1 <= values.shape[-1] <= self.m:
            raise ValueError(f"values: expected 1..{self.m} values in a group, got {values.shape[-1]}")
        if positions.shape != values.shape:
            raise ValueError(f"positions: expected shape {values.shape} as of values, got {positions.shape}")
        if positions.max(initial=0) >= self.m or (positions[..., 1:] <= positions[..., :-1]).any():
            raise ValueError(f"positions: expected ascending values below {self.m} in each group")
        out, *spatial, groups, self.n = values.shape
        self.shape = _state.dims((out, groups * self.m, *spatial))
        self.values, self.positions = _state.frozen(values), _state.frozen(positions)

    @classmethod
    def from_dense(cls, w: np.ndarray, n: int = 2, m: int = 4, *, prune: bool = False) -> NM:
        """The values of a weight that has at most n of every m inputs, or the n largest of them.

        Parameters
        ----------
        w : float32, C-contiguous, at least two axes; m divides the second.
        n, m : 1 <= n <= m <= 256.
        prune : keep the n largest magnitudes of a group, of equal ones the first, and drop the others; NaN counts as
            infinite. Otherwise a group with more than n values is an error.

        Raises
        ------
        TypeError   w is not float32.
        ValueError  a group has more than n values, or m does not divide the inputs.
        """
        _sparse.as_matrix(w)
        checks.integer("m", m, 1, MAX_M)
        checks.integer("n", n, 1, m)
        if w.shape[1] % m:
            raise ValueError(f"w: expected a multiple of m = {m} as second axis, got {checks.describe(w)}")
        last = np.moveaxis(w, 1, -1)
        groups = last.reshape(*last.shape[:-1], w.shape[1] // m, m)
        if not prune:
            _check_groups(groups, n)
        size = np.abs(groups)
        size[np.isnan(size)] = np.inf
        positions = np.sort(np.argsort(-size, axis=-1, kind="stable")[..., :n], axis=-1)
        return cls(np.take_along_axis(groups, positions, axis=-1), positions.astype(np.uint8), m)

    @property
    def parameters(self) -> int:
        """Values stored, zeros that fill a group included."""
        return int(self.values.size)

    @property
    def nbytes(self) -> int:
        return int(self.values.nbytes + self.positions.nbytes)

    def dense(self) -> np.ndarray:
        groups = np.zeros((*self.values.shape[:-1], self.m), np.float32)
        np.put_along_axis(groups, self.positions.astype(np.intp), self.values, axis=-1)
        last = groups.reshape(self.shape[0], *self.shape[2:], self.shape[1])
        return np.ascontiguousarray(np.moveaxis(last, -1, 1))

    def csr(self) -> Csr:
        """The values that are not zero, one by one. The dense weight is the same, but for -0.0."""
        out, *spatial, groups, _ = self.values.shape
        taps = int(np.prod(spatial, dtype=np.int64))
        inputs = np.arange(groups)[:, np.newaxis] * self.m + self.positions
        columns = inputs * taps + np.arange(taps).reshape(*spatial, 1, 1)
        rows = np.broadcast_to(np.arange(out).reshape(-1, *[1] * (self.values.ndim - 1)), self.values.shape)
        return csr_from_entries(self.values, rows, columns, self.shape)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {"values": self.values, "positions": self.positions}, {"m": self.m}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> NM:
        _state.only(cls.kind, arrays, ("values", "positions"), "arrays")
        _state.only(cls.kind, meta, ("m",), "fields")
        try:
            return cls(arrays["values"], arrays["positions"], meta["m"])
        except FormatError:
            raise
        except (TypeError, ValueError) as error:
            raise _sparse.refused(cls.kind, error) from None


def _check_groups(groups: np.ndarray, n: int) -> None:
    """ValueError that names the first of the groups, (out, ..., in/m, m), with more than n values."""
    crowded = np.count_nonzero(groups, axis=-1) > n
    if crowded.any():
        row, *spatial, group = (int(i) for i in np.unravel_index(np.argmax(crowded), crowded.shape))
        m, found = groups.shape[-1], np.count_nonzero(groups[(row, *spatial, group)])
        place = f" at {tuple(spatial)}" if spatial else ""
        raise ValueError(
            f"w: expected at most {n} values in every {m} inputs, got {found} in row {row}, "
            f"columns {group * m}..{group * m + m - 1}{place}; prune=True keeps the largest"
        )
