"""What Linear and Conv2d ask of their weights."""

from __future__ import annotations

import numpy as np

from accel.kernels import checks
from accel.weights.base import Weight


def check_operands(weight: np.ndarray | Weight, bias: np.ndarray | None, ndim: int) -> None:
    """Raises TypeError or ValueError for a weight that has not `ndim` axes, or a bias that does not fit its outputs."""
    if not isinstance(weight, Weight):
        checks.array("weight", weight, np.float32, ndim)
    elif weight.ndim != ndim:
        raise ValueError(f"weight: expected {ndim} axes, got shape {weight.shape}")
    if bias is not None and checks.array("bias", bias, np.float32, 1).shape != weight.shape[:1]:
        raise ValueError(f"bias: expected shape ({weight.shape[0]},), got {bias.shape}")
