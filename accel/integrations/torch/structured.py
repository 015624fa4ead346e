"""What all structured layers for PyTorch share: few numbers are trained that stand for many."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from accel.weights.base import Weight


class Structured(nn.Module, ABC):  # type: ignore[misc]
    """What all structured layers share: the bias, and how a trained one becomes a weight of accel."""

    frozen = False
    bias: Tensor | None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the dense weight, as torch has it."""

    @abstractmethod
    def to_weight(self) -> Weight:
        """The accel weight that the layer stands for, float32."""

    def to_dense(self) -> Tensor:
        """What `to_weight` stands for, of torch's shape and the layer's dtype; no gradient passes to the parameters."""
        if self.frozen:
            return self.frozen_weight
        first = next(self.parameters())
        return torch.from_numpy(self.to_weight().dense()).to(first.device, first.dtype)

    def freeze_(self) -> None:
        """Compute by the dense weight from now on, no longer trained: what export to ONNX can express."""
        self.register_buffer("frozen_weight", self.to_dense())
        self.eval().requires_grad_(False)
        self.frozen = True

    def compression(self) -> float:
        """α: how many times fewer numbers are trained than a dense weight has, the bias apart."""
        stored = sum(p.numel() for name, p in self.named_parameters() if name != "bias")
        return float(math.prod(self.shape) / stored)

    def extra_repr(self) -> str:
        return f"{self._sizes()}, bias={self.bias is not None}, {self.compression():.1f}x fewer parameters"

    @abstractmethod
    def _sizes(self) -> str:
        """Of the layer, as arguments: what printing it shows."""

    def _make_bias(self, count: int, bias: bool, device: Any, dtype: Any) -> None:
        self.bias = nn.Parameter(torch.empty(count, device=device, dtype=dtype)) if bias else None

    def _draw(self, parameter: Tensor | None = None) -> None:
        """Uniform in ±1/√inputs, as torch draws weights and biases; the bias, and a parameter."""
        bound = 1 / math.sqrt(math.prod(self.shape[1:]))
        for values in (parameter, self.bias):
            if values is not None:
                nn.init.uniform_(values, -bound, bound)

    def _take(self, layer: Any, **found: np.ndarray) -> None:
        """Take over a float layer's bias and mode, and parameters that were found for its weight."""
        with torch.no_grad():
            for name, value in found.items():
                getattr(self, name).copy_(torch.from_numpy(value.copy()))
            if self.bias is not None:
                self.bias.copy_(layer.bias)
        self.train(layer.training)


def widened(x: Tensor, size: int) -> Tensor:
    """With zeros behind, up to the size."""
    return x if x.shape[-1] == size else functional.pad(x, (0, size - x.shape[-1]))


def to_array(tensor: Tensor) -> np.ndarray:
    """float32 and on the CPU, what accel's weights hold."""
    values: np.ndarray = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    return values


def optional_array(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else to_array(tensor)
