"""Convolution with block-circulant weights, by transforms where they should be faster."""

from __future__ import annotations

import numpy as np

from accel.kernels import program as native
from accel.kernels._circulant_conv import circulant_conv2d
from accel.kernels._circulant_cost import circulant_cycles
from accel.kernels._conv_cost import promising
from accel.kernels.conv import Pads, Pair, output_sizes
from accel.weights.circulant import BlockCirculant


class CirculantConv:
    """A convolution of one group with (out, in, kh, kw) weights."""

    def __init__(
        self, weight: BlockCirculant, bias: np.ndarray | None, strides: Pair, pads: Pads, dilations: Pair
    ) -> None:  # fmt: skip
        self._plan, self._bias = weight.plan(), bias
        self._shape, self._kernel = weight.shape, (weight.shape[2], weight.shape[3])
        self._strides, self._pads, self._dilations = strides, pads, dilations

    def serves(self, x: np.ndarray) -> bool:
        """Whether transforms are predicted to be faster than the dense convolution, which also refuses what is no x."""
        if not native.native() or getattr(x, "ndim", 0) != 4 or x.shape[1] != self._shape[1]:
            return False
        size = output_sizes((x.shape[2], x.shape[3]), self._kernel, self._strides, self._pads, self._dilations)
        if min(size) < 1:
            return False
        dense = promising(self._shape, size, self._strides, self._dilations, 1, 1.0)[0][1]
        pixels, window = size[0] * size[1], self._plan.columns  # floats of a window, laid out by NumPy
        return bool(circulant_cycles(pixels, *self._plan.r.shape) + pixels * window < dense)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        y = circulant_conv2d(x, self._plan, self._kernel, self._strides, self._pads, self._dilations)
        return y if self._bias is None else np.add(y, self._bias[:, None, None], out=y)
