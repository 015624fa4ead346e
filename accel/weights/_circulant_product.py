"""y = x W^T + bias for a circulant W, by transforms or, where that should be faster, as a dense product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accel.kernels._circulant_cost import circulant_cycles
from accel.kernels._linear_cost import linear_cycles
from accel.kernels.circulant import CirculantPlan
from accel.weights._faster_product import FasterProduct


class CirculantProduct(FasterProduct):
    """By the transforms of `plan`."""

    def __init__(self, plan: CirculantPlan, dense: Callable[[], np.ndarray], bias: np.ndarray | None) -> None:
        super().__init__(self._transformed, dense, bias)
        self.plan = plan

    def _transformed(self, x: np.ndarray) -> np.ndarray:
        y = self.plan(x)
        return y if self._bias is None else np.add(y, self._bias, out=y)

    def gains(self, rows: int) -> bool:
        plan = self.plan
        return circulant_cycles(rows, *plan.r.shape) < linear_cycles(rows, plan.out, plan.columns, 0)[0]
