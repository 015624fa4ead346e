"""y = x W^T + bias for a W of codes: straight from them or, where that should be faster, as a dense product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accel.kernels import program as native
from accel.kernels._codebook_cost import codebook_cycles, worth_packing
from accel.kernels._linear_cost import linear_cycles
from accel.kernels.codebook import PackedCodebook
from accel.kernels.linear import PackedLinear


class CodebookProduct:
    """Either form of the weights is made when it is first needed."""

    def __init__(self, codes: PackedCodebook, dense: Callable[[], np.ndarray], bias: np.ndarray | None) -> None:
        self.codes, self._dense, self._bias = codes, dense, bias
        self._packed: PackedLinear | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(..., in) float32, C-contiguous, to (..., out)."""
        if x.size and native.native() and not self.gains(x.size // x.shape[-1]):
            if self._packed is None:
                self._packed = PackedLinear(self._dense(), self._bias)
            return self._packed(x)
        return self.codes(x)

    def gains(self, rows: int) -> bool:
        """Whether codes should be faster than the dense product, for the native kernels."""
        out, depth = self.codes.shape
        if not worth_packing(out, depth, rows, self.codes.values):
            return False
        return codebook_cycles(self.codes.packed(), rows) < linear_cycles(rows, out, depth, 0)[0]
