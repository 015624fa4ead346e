"""y = x W^T + bias by a kernel of the weight's own or, where that should be faster, as a dense product."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from accel.kernels import program as native
from accel.kernels.linear import PackedLinear


class FasterProduct(ABC):
    """Either form of the weights is made when it is first needed."""

    def __init__(
        self, own: Callable[[np.ndarray], np.ndarray], dense: Callable[[], np.ndarray], bias: np.ndarray | None
    ) -> None:
        self._own, self._dense, self._bias = own, dense, bias
        self._packed: PackedLinear | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(..., in) float32, C-contiguous, to (..., out)."""
        if x.size and native.native() and not self.gains(x.size // x.shape[-1]):
            if self._packed is None:
                self._packed = PackedLinear(self._dense(), self._bias)
            return self._packed(x)
        return self._own(x)

    @abstractmethod
    def gains(self, rows: int) -> bool:
        """Whether its own kernel should be faster than the dense product, of the native ones."""
