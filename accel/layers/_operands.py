"""What Linear and Conv2d ask of their weights."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from accel.kernels import checks
from accel.weights.base import Weight


class Remade:
    """A layer that is pickled and copied as the arguments it was made of: what is packed for a machine stays there."""

    _arguments: ClassVar[tuple[str, ...]]

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), {name: getattr(self, name) for name in self._arguments})


def _made(layer: type[Remade], arguments: dict[str, Any]) -> Remade:
    return layer(**arguments)


def check_operands(weight: np.ndarray | Weight, bias: np.ndarray | None, ndim: int) -> None:
    """Raises TypeError or ValueError for a weight that has not `ndim` axes, or a bias that does not fit its outputs."""
    if not isinstance(weight, Weight):
        checks.array("weight", weight, np.float32, ndim)
    elif weight.ndim != ndim:
        raise ValueError(f"weight: expected {ndim} axes, got shape {weight.shape}")
    if bias is not None and checks.array("bias", bias, np.float32, 1).shape != weight.shape[:1]:
        raise ValueError(f"bias: expected shape ({weight.shape[0]},), got {bias.shape}")
