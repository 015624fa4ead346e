"""Layers that multiply binary weights by the signs of their input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels.binary import BinaryConv, Scaled, binary_scale_map, pack_bits, pack_pixels
from accel.weights.base import Weight
from accel.weights.binary import Binary


def checked_binarization(weight: np.ndarray | Weight, binarize: Any, scale: Any) -> tuple[bool, bool]:
    """The options `binarize_input` and `scale_input`, where they fit together and to the weight."""
    for name, value in (("binarize_input", binarize), ("scale_input", scale)):
        if not isinstance(value, bool):
            raise TypeError(f"{name}: expected a bool, got {checks.describe(value)}")
    if binarize and not isinstance(weight, Binary):
        raise ValueError(f"binarize_input: expected a Binary weight with it, got {checks.describe(weight)}")
    if scale and not binarize:
        raise ValueError("scale_input: expected binarize_input with it")
    return binarize, scale


class SignLinear:
    """sign(x) W^T + bias, or mean|x| sign(x) W^T + bias."""

    def __init__(self, weight: Binary, bias: np.ndarray | None, scale_input: bool) -> None:
        out, depth = weight.shape
        words = weight.bits.reshape(out, 1, 1, -1)
        self._conv = BinaryConv(words, depth, epilogue=Scaled(weight.scale, bias, pixel_major=True))
        self._out, self._scale_input = out, scale_input

    def __call__(self, x: np.ndarray) -> np.ndarray:
        rows = x.reshape(-1, x.shape[-1])
        result = runtime.empty((1, len(rows), 1, self._out), np.float32)
        if rows.size:
            scale = np.abs(rows).mean(axis=1).reshape(1, -1, 1) if self._scale_input else None
            self._conv(pack_bits(rows)[np.newaxis, :, np.newaxis], pixel_scale=scale, out=result)
        return result.reshape(*x.shape[:-1], self._out)


class SignConv:
    """A convolution of the signs of x."""

    def __init__(
        self, weight: Binary, bias: np.ndarray | None, geometry: Mapping[str, Any], pad_value: int, scale_input: bool
    ) -> None:
        channels = weight.shape[1]
        self._conv = BinaryConv(
            weight.bits, channels, **geometry, pad_value=pad_value, epilogue=Scaled(weight.scale, bias)
        )
        self._channels, self._scale_input = channels * self._conv.group, scale_input

    def serves(self, x: np.ndarray) -> bool:
        """Any x: nothing else computes with its signs."""
        return True

    def __call__(self, x: np.ndarray) -> np.ndarray:
        checks.array("x", x, np.float32, 4)
        if x.shape[1] != self._channels:
            raise ValueError(f"x: expected {self._channels} channels, got {x.shape}")
        conv, scale = self._conv, None
        if self._scale_input:
            scale = np.ascontiguousarray(
                binary_scale_map(x, conv.kernel, strides=conv.strides, pads=conv.pads, dilations=conv.dilations)
            )
        return conv(pack_pixels(x), pixel_scale=scale)
