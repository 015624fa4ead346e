"""A structured layer for the place of torch.nn.Conv2d: block-circulant weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from accel.integrations.torch.structured import Structured, optional_array, to_array, widened
from accel.integrations.torch.structured_ops import block_circulant
from accel.kernels import checks
from accel.kernels.checks import describe
from accel.kernels.conv import Pair, output_sizes, pair
from accel.layers import Conv2d
from accel.weights import BlockCirculant


class CirculantConv2d(Structured):
    """torch.nn.Conv2d with a weight that is block-circulant over channels at each of its taps (CirCNN).

    Parameters
    ----------
    in_channels .. bias, device, dtype : as torch.nn.Conv2d; groups is 1 and padding_mode "zeros".
    block : b, the size of the circulant blocks of channels.

    Raises
    ------
    TypeError, ValueError  a size is no integer of at least 1, or an argument is another than it can be.

    The windows of all pixels are laid out, kh kw times the size of x, and multiplied as rows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        block: int,
    ) -> None:
        super().__init__()
        if groups != 1 or padding_mode != "zeros":
            found = f"groups={describe(groups)} and padding_mode={describe(padding_mode)}"
            raise ValueError(f"groups, padding_mode: expected 1 and 'zeros', got {found}")
        self.in_channels = checks.integer("in_channels", in_channels, 1)
        self.out_channels = checks.integer("out_channels", out_channels, 1)
        self.kernel_size, self.stride = pair("kernel_size", kernel_size, 1), pair("stride", stride, 1)
        self.dilation, self.padding = pair("dilation", dilation, 1), padding
        self.pads = _four_pads(padding, self.kernel_size, self.dilation, self.stride)
        self.block = checks.integer("block", block, 1)
        blocks = -(-out_channels // block), -(-in_channels // block)
        self.r = nn.Parameter(torch.empty(*blocks, block, *self.kernel_size, device=device, dtype=dtype))
        self._make_bias(out_channels, bias, device, dtype)
        self.reset_parameters()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(out_channels, in_channels, kh, kw)"""
        return self.out_channels, self.in_channels, *self.kernel_size

    def reset_parameters(self) -> None:
        """Draw r and the bias as torch draws those of a Conv2d."""
        self._draw(self.r)

    @classmethod
    def from_conv2d(cls, conv: nn.Conv2d, *, block: int) -> CirculantConv2d:
        """The layer nearest to a float one: the means of the wrapped diagonals of every block and tap."""
        if not isinstance(conv, nn.Conv2d):
            raise TypeError(f"conv: expected a torch.nn.Conv2d, got {describe(conv)}")
        sizes = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation)
        others = (conv.groups, conv.bias is not None, conv.padding_mode, conv.weight.device, conv.weight.dtype)
        layer = cls(*sizes, *others, block=block)
        layer._take(conv, r=BlockCirculant.project(to_array(conv.weight), block).r)
        return layer

    def to_weight(self) -> BlockCirculant:
        """The `BlockCirculant` weight."""
        return BlockCirculant(to_array(self.r), self.shape)

    def to_accel(self, activation: str | None = None) -> Conv2d:
        """The layer as accel.Conv2d of the same weight."""
        geometry: dict[str, Any] = {"strides": self.stride, "pads": self.pads, "dilations": self.dilation}
        return Conv2d(self.to_weight(), optional_array(self.bias), activation=activation, **geometry)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W), as torch.nn.Conv2d."""
        if x.ndim not in (3, 4) or x.shape[-3] != self.in_channels:
            raise ValueError(f"x: expected (N, C, H, W) or (C, H, W), C = {self.in_channels}, got {tuple(x.shape)}")
        top, left, bottom, right = self.pads
        padded = functional.pad(x, (left, right, top, bottom))
        if self.frozen:
            return functional.conv2d(padded, self.frozen_weight, self.bias, self.stride, 0, self.dilation)
        y = self._product(padded if x.ndim == 4 else padded[None])
        y = y if self.bias is None else y + self.bias[:, None, None]
        return y if x.ndim == 4 else y[0]

    def _product(self, x: Tensor) -> Tensor:
        taps = math.prod(self.kernel_size)
        windows = functional.unfold(x, self.kernel_size, self.dilation, stride=self.stride)
        by_tap = windows.unflatten(1, (self.in_channels, taps)).permute(0, 3, 2, 1)  # N, pixels, taps, C
        p, q, b = self.r.shape[:3]
        rows = widened(by_tap, q * b).flatten(2)
        y = block_circulant(rows, self.r.permute(0, 3, 4, 1, 2).reshape(p, taps * q, b))
        size = output_sizes((x.shape[2], x.shape[3]), self.kernel_size, self.stride, (0, 0, 0, 0), self.dilation)
        return y[..., : self.out_channels].transpose(1, 2).unflatten(2, size)

    def _sizes(self) -> str:
        geometry = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        return f"{self.in_channels}, {self.out_channels}, {geometry}, dilation={self.dilation}, block={self.block}"


def _four_pads(padding: Any, kernel: Pair, dilation: Pair, stride: Pair) -> tuple[int, int, int, int]:
    """top, left, bottom, right, as torch.nn.Conv2d pads."""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f"padding: expected numbers where stride is not 1, got 'same' with stride {stride}")
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        before = [n // 2 for n in total]
        return before[0], before[1], total[0] - before[0], total[1] - before[1]
    rows, columns = pair("padding", padding, 0)
    return rows, columns, rows, columns
