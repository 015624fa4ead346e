"""Structured layers for the place of torch.nn.Linear and Conv2d: few numbers are trained that stand for many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from accel.integrations.torch.structured_ops import block_circulant, fastfood, hashed_product
from accel.kernels import checks
from accel.kernels._hash import MAX_SEED, permutations
from accel.kernels.checks import describe
from accel.kernels.conv import Pair, output_sizes, pair
from accel.layers import Conv2d, Linear
from accel.weights import BlockCirculant, Circulant, Fastfood, Hashed
from accel.weights.base import Weight


class Structured(nn.Module):  # type: ignore[misc]
    """What all structured layers share: the bias, and how a trained one becomes a weight of accel."""

    frozen = False
    bias: Tensor | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the dense weight, as torch has it."""
        raise NotImplementedError

    def to_weight(self) -> Weight:
        """The accel weight that the layer stands for, float32."""
        raise NotImplementedError

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

    def _sizes(self) -> str:
        raise NotImplementedError

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


class _Linear(Structured):
    """(..., in_features) to (..., out_features)."""

    @property
    def shape(self) -> Pair:
        """(out_features, in_features)"""
        return self.out_features, self.in_features

    def _set_sizes(self, in_features: int, out_features: int) -> None:
        self.in_features = checks.integer("in_features", in_features, 1)
        self.out_features = checks.integer("out_features", out_features, 1)

    def to_accel(self, activation: str | None = None) -> Linear:
        """The layer as accel.Linear of the same weight."""
        return Linear(self.to_weight(), _optional(self.bias), activation)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        if x.shape[-1] != self.in_features:
            raise ValueError(f"x: expected shape (..., {self.in_features}), got {tuple(x.shape)}")
        if self.frozen:
            return functional.linear(x, self.frozen_weight, self.bias)
        y = self._product(x)
        return y if self.bias is None else y + self.bias

    def _product(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _sizes(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"


class CirculantLinear(_Linear):
    """torch.nn.Linear with a circulant or block-circulant weight: y = R D x + bias.

    Parameters
    ----------
    in_features, out_features, bias, device, dtype : as torch.nn.Linear.
    block : b, the size of the circulant blocks; None: one block of max(in_features, out_features).
    signs : multiply x by a fixed random diagonal D of ±1 first (Cheng et al., ICCV 2015).

    Raises
    ------
    TypeError, ValueError  a size is no integer of at least 1.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        block: int | None = None,
        signs: bool = False,
    ) -> None:
        super().__init__()
        self._set_sizes(in_features, out_features)
        self.block = max(in_features, out_features) if block is None else checks.integer("block", block, 1)
        blocks = -(-out_features // self.block), -(-in_features // self.block)
        self.r = nn.Parameter(torch.empty(*blocks, self.block, device=device, dtype=dtype))
        drawn = torch.randint(0, 2, (in_features,)) * 2 - 1 if signs else None
        self.register_buffer("signs", None if drawn is None else drawn.to(self.r.device, self.r.dtype))
        self._make_bias(out_features, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw r and the bias as torch draws those of a Linear; D stays."""
        self._draw(self.r)

    @classmethod
    def from_linear(cls, linear: nn.Linear, *, block: int | None = None, signs: bool = False) -> CirculantLinear:
        """The layer nearest to a float one: the means of the wrapped diagonals of every block, signs undone."""
        layer = cls(*_linear_arguments(linear), block=block, signs=signs)
        layer._take(linear, r=BlockCirculant.project(_array(linear.weight), layer.block, _optional(layer.signs)).r)
        return layer

    def to_weight(self) -> Circulant | BlockCirculant:
        """`Circulant` of one block, `BlockCirculant` of several."""
        r, signs = _array(self.r), _optional(self.signs)
        return Circulant(r[0, 0], self.shape, signs) if r.shape[:2] == (1, 1) else BlockCirculant(r, self.shape, signs)

    def _product(self, x: Tensor) -> Tensor:
        if self.signs is not None:
            x = x * self.signs
        return block_circulant(_widened(x, self.r.shape[1] * self.block), self.r)[..., : self.out_features]

    def _sizes(self) -> str:
        return f"{super()._sizes()}, block={self.block}, signs={self.signs is not None}"


class FastfoodLinear(_Linear):
    """torch.nn.Linear with an Adaptive Fastfood weight: y = S H G Π H B x + bias, in stacked blocks of 2^k outputs.

    Parameters
    ----------
    in_features, out_features, bias, device, dtype : as torch.nn.Linear.
    seed : 0 .. 2**63 - 1, of the fixed permutations Π and of what S, G and B start with; drawn when None.

    Raises
    ------
    TypeError, ValueError  a size or the seed is no integer in its range.
    """

    perm: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self._set_sizes(in_features, out_features)
        self.seed = _drawn_seed(seed)
        start = self._start()
        for name in ("s", "g", "b"):
            value = torch.from_numpy(getattr(start, name).copy())
            setattr(self, name, nn.Parameter(value.to(device, dtype or torch.get_default_dtype())))
        self.register_buffer("perm", torch.from_numpy(start.perm.copy()).to(device), persistent=False)
        self._make_bias(out_features, bias, device, dtype)
        self._draw()

    def _start(self) -> Fastfood:
        return Fastfood.random(self.shape, self.seed, 1 / math.sqrt(3 * self.in_features))

    def reset_parameters(self) -> None:
        """S, G and B as the seed draws them, of the variance of torch's weights; the bias anew."""
        start = self._start()
        self._draw()
        with torch.no_grad():
            for name in ("s", "g", "b"):
                getattr(self, name).copy_(torch.from_numpy(getattr(start, name).copy()))

    @classmethod
    def from_linear(cls, linear: nn.Linear, *, seed: int | None = None) -> FastfoodLinear:
        """The layer with the S and G that come nearest to a float one's weight, for a B and Π drawn from the seed."""
        layer = cls(*_linear_arguments(linear), seed=seed)
        found = Fastfood.project(_array(linear.weight), layer.seed)
        layer._take(linear, s=found.s, g=found.g, b=found.b)
        return layer

    def to_weight(self) -> Fastfood:
        """The `Fastfood` weight."""
        return Fastfood(_array(self.s), _array(self.g), _array(self.b), self.seed, self.shape)

    def get_extra_state(self) -> int:
        """The seed, which says what the permutations are."""
        return self.seed

    def set_extra_state(self, seed: int) -> None:
        self.seed = checks.integer("seed", seed, 0, MAX_SEED)
        blocks, n = self.s.shape
        self.perm.copy_(torch.from_numpy(permutations(blocks, n, self.seed)))

    def _product(self, x: Tensor) -> Tensor:
        wide = _widened(x, self.s.shape[1])
        return fastfood(wide, self.s, self.g, self.b, self.perm)[..., : self.out_features]

    def _sizes(self) -> str:
        return f"{super()._sizes()}, blocks={self.s.shape[0]}, n={self.s.shape[1]}"


class HashedLinear(_Linear):
    """torch.nn.Linear of whose weight every number is one of a few shared ones, plus or minus (HashedNets).

    It saves parameters, not time: all operations of the dense product are made, and a hash a weight besides.

    Parameters
    ----------
    in_features, out_features, bias, device, dtype : as torch.nn.Linear.
    values : K, how many numbers are shared.
    seed : 0 .. 2**63 - 1, of the hash; drawn when None.

    Raises
    ------
    TypeError, ValueError  a size, K or the seed is no integer in its range.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        values: int,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self._set_sizes(in_features, out_features)
        self.seed = _drawn_seed(seed)
        self.values = nn.Parameter(torch.empty(checks.integer("values", values, 1), device=device, dtype=dtype))
        self._make_bias(out_features, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the values and the bias as torch draws those of a Linear."""
        self._draw(self.values)

    @classmethod
    def from_linear(cls, linear: nn.Linear, *, values: int, seed: int | None = None) -> HashedLinear:
        """The layer nearest to a float one: every shared number is the mean of what the hash gives it, signs undone."""
        layer = cls(*_linear_arguments(linear), values=values, seed=seed)
        layer._take(linear, values=Hashed.project(_array(linear.weight), values, layer.seed).values)
        return layer

    def to_weight(self) -> Hashed:
        """The `Hashed` weight."""
        return Hashed(_array(self.values), self.seed, self.shape)

    def get_extra_state(self) -> int:
        """The seed, which says where every value stands."""
        return self.seed

    def set_extra_state(self, seed: int) -> None:
        self.seed = checks.integer("seed", seed, 0, MAX_SEED)

    def _product(self, x: Tensor) -> Tensor:
        return hashed_product(x, self.values, self.out_features, self.seed)

    def _sizes(self) -> str:
        return f"{super()._sizes()}, values={self.values.numel()}"


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
        layer._take(conv, r=BlockCirculant.project(_array(conv.weight), block).r)
        return layer

    def to_weight(self) -> BlockCirculant:
        """The `BlockCirculant` weight."""
        return BlockCirculant(_array(self.r), self.shape)

    def to_accel(self, activation: str | None = None) -> Conv2d:
        """The layer as accel.Conv2d of the same weight."""
        geometry: dict[str, Any] = {"strides": self.stride, "pads": self.pads, "dilations": self.dilation}
        return Conv2d(self.to_weight(), _optional(self.bias), activation=activation, **geometry)

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
        rows = _widened(by_tap, q * b).flatten(2)
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


def _widened(x: Tensor, size: int) -> Tensor:
    """With zeros behind, up to the size."""
    return x if x.shape[-1] == size else functional.pad(x, (0, size - x.shape[-1]))


def _array(tensor: Tensor) -> np.ndarray:
    """float32 and on the CPU, what accel's weights hold."""
    values: np.ndarray = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    return values


def _optional(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else _array(tensor)


def _drawn_seed(seed: int | None) -> int:
    drawn = int(torch.randint(MAX_SEED, ()).item()) if seed is None else seed
    return checks.integer("seed", drawn, 0, MAX_SEED)


def _linear_arguments(linear: Any) -> tuple[Any, ...]:
    """What makes a layer of a float one's sizes: in, out, bias, device, dtype."""
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"linear: expected a torch.nn.Linear, got {describe(linear)}")
    weight = linear.weight
    return linear.in_features, linear.out_features, linear.bias is not None, weight.device, weight.dtype
