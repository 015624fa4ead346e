"""What every stored form of a weight says of itself."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

_kinds: dict[str, type[Weight]] = {}


class Weight(ABC):
    """A weight that stands for a dense float32 array of `shape`: (out, in) or (out, in/group, kh, kw).

    A subclass sets `kind`, its name in files, and is found by it through `weight_kinds()`; one that inherits it is
    written as its parent.
    """

    kind: ClassVar[str]
    by_formula: ClassVar[bool] = False
    """Whether few stored numbers stand for many by rule, so that files need not bound how many."""
    shape: tuple[int, ...]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "kind" in vars(cls):
            _kinds[cls.kind] = cls

    @property
    @abstractmethod
    def parameters(self) -> int:
        """How many numbers are stored: a* in the survey's alpha = a / a*."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes held in memory by the stored form, indices included."""

    @abstractmethod
    def dense(self) -> np.ndarray:
        """The float32 array it stands for."""

    def product(self, bias: np.ndarray | None = None) -> Callable[[np.ndarray], np.ndarray] | None:
        """x W^T + bias for (..., in) float32 arrays by a kernel made for this form; None where dense or sparse ones
        serve."""
        return None

    @abstractmethod
    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Named arrays and a small JSON-able dict, from which `from_state` makes an equal weight."""

    @classmethod
    @abstractmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Weight:
        """The inverse of `state`. The input is untrusted: raises FormatError for anything inconsistent."""

    @property
    def size(self) -> int:
        """Number of elements of the dense equivalent."""
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, parameters={self.parameters}, nbytes={self.nbytes})"


def weight_kinds() -> Mapping[str, type[Weight]]:
    """Every weight class by its name in files."""
    return _kinds


def dense(value: np.ndarray | Weight) -> np.ndarray:
    """The array itself, or what the weight stands for."""
    return value.dense() if isinstance(value, Weight) else value
