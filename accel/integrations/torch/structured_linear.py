"""Structured layers for the place of torch.nn.Linear: circulant, Fastfood and hashed weights."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from accel.integrations.torch.structured import Structured, optional_array, to_array, widened
from accel.integrations.torch.structured_ops import block_circulant, fastfood, hashed_product
from accel.kernels import checks
from accel.kernels._hash import MAX_SEED, permutations
from accel.kernels.checks import describe
from accel.kernels.conv import Pair
from accel.layers import Linear
from accel.weights import BlockCirculant, Circulant, Fastfood, Hashed


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
        return Linear(self.to_weight(), optional_array(self.bias), activation)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"x: expected shape (..., {self.in_features}), got {tuple(x.shape)}")
        if self.frozen:
            return functional.linear(x, self.frozen_weight, self.bias)
        y = self._product(x)
        return y if self.bias is None else y + self.bias

    @abstractmethod
    def _product(self, x: Tensor) -> Tensor:
        """Without the bias."""

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
        layer._take(
            linear, r=BlockCirculant.project(to_array(linear.weight), layer.block, optional_array(layer.signs)).r
        )
        return layer

    def to_weight(self) -> Circulant | BlockCirculant:
        """`Circulant` of one block, `BlockCirculant` of several."""
        r, signs = to_array(self.r), optional_array(self.signs)
        return Circulant(r[0, 0], self.shape, signs) if r.shape[:2] == (1, 1) else BlockCirculant(r, self.shape, signs)

    def _product(self, x: Tensor) -> Tensor:
        if self.signs is not None:
            if x.dtype != self.signs.dtype:  # the product would have the wider type
                raise TypeError(f"x: expected {self.signs.dtype} as of the signs, got {x.dtype}")
            x = x * self.signs
        return block_circulant(widened(x, self.r.shape[1] * self.block), self.r)[..., : self.out_features]

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
        found = Fastfood.project(to_array(linear.weight), layer.seed)
        layer._take(linear, s=found.s, g=found.g, b=found.b)
        return layer

    def to_weight(self) -> Fastfood:
        """The `Fastfood` weight."""
        return Fastfood(to_array(self.s), to_array(self.g), to_array(self.b), self.seed, self.shape)

    def get_extra_state(self) -> int:
        """The seed, which says what the permutations are."""
        return self.seed

    def set_extra_state(self, seed: int) -> None:
        self.seed = checks.integer("seed", seed, 0, MAX_SEED)
        blocks, n = self.s.shape
        self.perm.copy_(torch.from_numpy(permutations(blocks, n, self.seed)))

    def _product(self, x: Tensor) -> Tensor:
        wide = widened(x, self.s.shape[1])
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
        layer._take(linear, values=Hashed.project(to_array(linear.weight), values, layer.seed).values)
        return layer

    def to_weight(self) -> Hashed:
        """The `Hashed` weight."""
        return Hashed(to_array(self.values), self.seed, self.shape)

    def get_extra_state(self) -> int:
        """The seed, which says where every value stands."""
        return self.seed

    def set_extra_state(self, seed: int) -> None:
        self.seed = checks.integer("seed", seed, 0, MAX_SEED)

    def _product(self, x: Tensor) -> Tensor:
        return hashed_product(x, self.values, self.out_features, self.seed)

    def _sizes(self) -> str:
        return f"{super()._sizes()}, values={self.values.numel()}"


def _drawn_seed(seed: int | None) -> int:
    drawn = int(torch.randint(MAX_SEED, ()).item()) if seed is None else seed
    return checks.integer("seed", drawn, 0, MAX_SEED)


def _linear_arguments(linear: Any) -> tuple[Any, ...]:
    """What makes a layer of a float one's sizes: in, out, bias, device, dtype."""
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"linear: expected a torch.nn.Linear, got {describe(linear)}")
    weight = linear.weight
    return linear.in_features, linear.out_features, linear.bias is not None, weight.device, weight.dtype
