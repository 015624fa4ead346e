"""Dense: every number stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks
from accel.weights import _state
from accel.weights.base import Weight


class Dense(Weight):
    """A plain float32 array with the manners of a Weight.

    Parameters
    ----------
    array : float32, C-contiguous, at least two axes: (out, in) or (out, in/group, kh, kw). Copied unless read-only.

    Raises
    ------
    TypeError   not a float32 array.
    ValueError  not C-contiguous, or fewer than two axes.
    """

    kind: ClassVar[str] = "dense"

    def __init__(self, array: np.ndarray) -> None:
        checks.array("array", array, np.float32)
        if array.ndim < 2:
            raise ValueError(f"array: expected (out, in) or (out, in/group, kh, kw), got {checks.describe(array)}")
        self._array = _state.frozen(array)
        self.shape = array.shape

    @property
    def parameters(self) -> int:
        return int(self._array.size)

    @property
    def nbytes(self) -> int:
        return int(self._array.nbytes)

    def dense(self) -> np.ndarray:
        return self._array

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {"array": self._array}, {}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Dense:
        _state.only(cls.kind, arrays, ("array",), "arrays")
        _state.only(cls.kind, meta, (), "fields")
        array = _state.array(cls.kind, arrays, "array", np.float32)
        try:
            return cls(array)
        except ValueError as error:
            raise FormatError(f"{cls.kind} weight: {error}") from None
