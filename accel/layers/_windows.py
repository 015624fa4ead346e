"""Convolution as one matrix product over the windows of an image, where that should be faster than the dense one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accel.kernels import program as native
from accel.kernels._circulant_cost import circulant_cycles
from accel.kernels._codebook_cost import codebook_cycles, worth_packing
from accel.kernels._conv_cost import promising
from accel.kernels._linear_cost import linear_cycles
from accel.kernels._window_conv import WindowProduct, window_conv2d
from accel.kernels.codebook import PackedCodebook
from accel.kernels.conv import Pads, Pair, output_sizes
from accel.weights.circulant import BlockCirculant
from accel.weights.codebook import Codebook


class WindowConv:
    """A convolution of one group with (out, in, kh, kw) weights.

    `product` multiplies rows, the channels of a window tap after tap, and takes `cycles(rows)`.
    """

    def __init__(
        self, shape: tuple[int, ...], product: WindowProduct, cycles: Callable[[int], float],
        bias: np.ndarray | None, strides: Pair, pads: Pads, dilations: Pair,
    ) -> None:  # fmt: skip
        self._product, self._cycles, self._bias = product, cycles, bias
        self._shape, self._kernel = shape, (shape[2], shape[3])
        self._strides, self._pads, self._dilations = strides, pads, dilations

    def serves(self, x: np.ndarray) -> bool:
        """Whether it is predicted to be faster than the dense convolution, which also refuses what is no x."""
        if not native.native() or getattr(x, "ndim", 0) != 4 or x.shape[1] != self._shape[1]:
            return False
        size = output_sizes((x.shape[2], x.shape[3]), self._kernel, self._strides, self._pads, self._dilations)
        if min(size) < 1:
            return False
        pixels, window = size[0] * size[1], self._product.columns  # floats of a window, laid out by NumPy
        dense = promising(self._shape, size, self._strides, self._dilations, 1, 1.0)[0][1]
        if pixels == 1:  # its weights are read once
            dense = max(dense, linear_cycles(1, self._shape[0], window, 0)[0])
        return bool(self._cycles(pixels) + pixels * window < dense)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        y = window_conv2d(x, self._product, self._kernel, self._strides, self._pads, self._dilations)
        return y if self._bias is None else np.add(y, self._bias[:, None, None], out=y)


def circulant_conv(
    weight: BlockCirculant, bias: np.ndarray | None, strides: Pair, pads: Pads, dilations: Pair
) -> WindowConv:
    """By transforms."""
    plan = weight.plan()
    return WindowConv(
        weight.shape, plan, lambda rows: circulant_cycles(rows, *plan.r.shape), bias, strides, pads, dilations
    )


def codebook_conv(weight: Codebook, bias: np.ndarray | None, strides: Pair, pads: Pads, dilations: Pair) -> WindowConv:
    """Straight from codes."""
    taps_first = np.ascontiguousarray(weight.codes.transpose(0, 2, 3, 1)).reshape(weight.shape[0], -1)
    product = PackedCodebook(taps_first, weight.codebook.reshape(-1, weight.codebook.shape[-1]), None)

    def cycles(rows: int) -> float:
        worth = worth_packing(*product.shape, rows, product.values)
        return codebook_cycles(product.packed(), rows) if worth else np.inf

    return WindowConv(weight.shape, product, cycles, bias, strides, pads, dilations)
