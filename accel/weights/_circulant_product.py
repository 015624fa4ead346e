"""y = x W^T + bias for a circulant W, by transforms or, where that should be faster, as a dense product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accel.kernels import program as native
from accel.kernels._circulant_cost import circulant_cycles
from accel.kernels._linear_cost import linear_cycles
from accel.kernels.circulant import CirculantPlan
from accel.kernels.linear import PackedLinear


class CirculantProduct:
    """Either form of the weights is made when it is first needed."""

    def __init__(self, plan: CirculantPlan, dense: Callable[[], np.ndarray], bias: np.ndarray | None) -> None:
        self.plan, self._dense, self._bias = plan, dense, bias
        self._packed: PackedLinear | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(..., in) float32, C-contiguous, to (..., out)."""
        if x.size and native.native() and not self.gains(x.size // self.plan.columns):
            if self._packed is None:
                self._packed = PackedLinear(self._dense(), self._bias)
            return self._packed(x)
        y = self.plan(x)
        return y if self._bias is None else np.add(y, self._bias, out=y)

    def gains(self, rows: int) -> bool:
        """Whether transforms should be faster than the dense product, for the native kernels."""
        plan = self.plan
        return circulant_cycles(rows, *plan.r.shape) < linear_cycles(rows, plan.out, plan.columns, 0)[0]
