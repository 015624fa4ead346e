"""Binary layers for the place of torch.nn.Linear and torch.nn.Conv2d: real weights are trained, their signs run."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from accel.integrations.torch.binarize import (
    activation_scale,
    binarize_activations,
    binarize_weights,
    loss_aware_scale,
    mean_scale,
)
from accel.kernels.checks import describe

SCALES = ("none", "mean", "loss-aware")

# What each paper binarizes, as arguments of the layers. `xnor` leaves K out, as most that followed it do.
METHODS: dict[str, dict[str, Any]] = {
    "binaryconnect": {"scale": "none", "binary_input": False},
    "binaryconnect-stochastic": {"scale": "none", "binary_input": False, "stochastic": True},
    "binarynet": {"scale": "none", "binary_input": True},
    "bwn": {"scale": "mean", "binary_input": False},
    "xnor": {"scale": "mean", "binary_input": True},
    "xnor-k": {"scale": "mean", "binary_input": True, "input_scale": True},
    "loss-aware": {"scale": "loss-aware", "binary_input": False},
}


class _Binary(nn.Module):  # type: ignore[misc]
    """What both layers share: the options, and the weight that the forward pass multiplies by."""

    weight: Tensor

    def _set_options(self, scale: str, stochastic: bool, binary_input: bool, input_scale: bool) -> None:
        if scale not in SCALES:
            raise ValueError(f"scale: expected one of {', '.join(SCALES)}, got {describe(scale)}")
        if input_scale and not binary_input:
            raise ValueError("input_scale: expected False where binary_input is False, got True")
        self.scale, self.stochastic = scale, stochastic
        self.binary_input, self.input_scale = binary_input, input_scale
        self.frozen = False
        if scale == "loss-aware":
            self.register_buffer("curvature", torch.ones_like(self.weight, requires_grad=False))
        if stochastic:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the real weights: as torch does, or from all of [-1, 1] where their signs are to be drawn.

        What is known of the curvature is forgotten.
        """
        super().reset_parameters()
        if getattr(self, "stochastic", False):  # torch's small weights would make every sign a coin's
            nn.init.uniform_(self.weight, -1, 1)
        if "curvature" in self._buffers:
            self.curvature.fill_(1)

    def _take(self, layer: Any) -> None:
        """Copy the weights of a float layer of the same shape."""
        with torch.no_grad():
            self.weight.copy_(layer.weight)
            if self.bias is not None:
                self.bias.copy_(layer.bias)
        self.train(layer.training)

    def signs(self) -> Tensor:
        """±1 of the weight's shape, with the gradient of `binarize_weights`; in training drawn, if stochastic."""
        if self.frozen:
            return self.weight
        return binarize_weights(self.weight, stochastic=self.stochastic and self.training)

    def alpha(self) -> Tensor | None:
        """The scale of each output, shape (out,); None where scale is "none". Gradients pass to "mean" alone."""
        if self.scale == "none":
            return None
        if self.frozen:
            return self.frozen_alpha
        if self.scale == "mean":
            return mean_scale(self.weight)
        return loss_aware_scale(self.weight, self.curvature).detach()

    def to_dense(self) -> Tensor:
        """The weight that the layer stands for: ±1, or ±α."""
        signs, alpha = self.signs(), self.alpha()
        return signs if alpha is None else signs * alpha.view(-1, *[1] * (signs.ndim - 1))

    def freeze_(self) -> None:
        """Keep the signs as the weight, and α beside it, no longer trained: the constants of an exported network."""
        with torch.no_grad():
            self.eval()
            if (alpha := self.alpha()) is not None:
                self.register_buffer("frozen_alpha", alpha.clone())
            self.weight.copy_(self.signs())
        self.requires_grad_(False)
        self.frozen = True

    def _finish(self, sums: Tensor, input_scale: Tensor | None) -> Tensor:
        """Scales and bias, after the sums: those of ±1 are exact, so that every engine decides the next signs alike."""
        alpha = self.alpha()
        if alpha is not None:
            sums = sums * self._per_channel(alpha)
        if input_scale is not None:
            sums = sums * input_scale
        return sums if self.bias is None else sums + self._per_channel(self.bias)

    def _per_channel(self, values: Tensor) -> Tensor:
        return values.view(-1, *[1] * (self.weight.ndim - 2))

    def compression(self) -> float:
        """How many times fewer bytes the weight takes with a bit for each and a float32 per α."""
        outputs, each = self.weight.shape[0], math.prod(self.weight.shape[1:])
        packed = outputs * math.ceil(each / 8) + (0 if self.scale == "none" else 4 * outputs)
        return float(4 * outputs * each / packed)

    def extra_repr(self) -> str:
        options = [f"scale={self.scale}", *(name for name in ("stochastic", "input_scale") if getattr(self, name))]
        inputs = "binary" if self.binary_input else "real"
        smaller = f"1 bit per weight, {self.compression():.1f}x smaller"
        return f"{super().extra_repr()}, {', '.join(options)}, {inputs} inputs, {smaller}"


class BinaryLinear(_Binary, nn.Linear):  # type: ignore[misc]
    """torch.nn.Linear with binary weights: y = (x_b · w_bᵀ) · β + bias.

    Parameters
    ----------
    in_features, out_features, bias, device, dtype : as torch.nn.Linear.
    scale : "none": weights ±1; "mean": ±α with α = mean |w| per output (XNOR-Net); "loss-aware": α weighted by the
        curvature of the loss, which `update_curvature_` takes from Adam after every step (Hou et al.).
    stochastic : draw the weights' signs while training; in eval mode they are those of the real weights.
    binary_input : multiply by sign(x); False takes x as it is (BinaryConnect).
    input_scale : multiply by β = mean |x| of each row; only with binary_input.

    Raises
    ------
    ValueError  an unknown scale, or input_scale without binary_input.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        scale: str = "mean",
        stochastic: bool = False,
        binary_input: bool = True,
        input_scale: bool = False,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self._set_options(scale, stochastic, binary_input, input_scale)

    @classmethod
    def from_float(cls, linear: nn.Linear, **options: Any) -> BinaryLinear:
        """The layer with a copy of a float layer's weights as its real weights; options as in the constructor."""
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"linear: expected a torch.nn.Linear, got {describe(linear)}")
        weight = linear.weight
        layer = cls(
            linear.in_features, linear.out_features, linear.bias is not None, weight.device, weight.dtype, **options
        )
        layer._take(linear)
        return layer

    from_linear = from_float

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        sums = functional.linear(binarize_activations(x) if self.binary_input else x, self.signs())
        return self._finish(sums, x.abs().mean(-1, keepdim=True) if self.input_scale else None)


class BinaryConv2d(_Binary, nn.Conv2d):  # type: ignore[misc]
    """torch.nn.Conv2d with binary weights: y = (x_b * w_b) · K + bias.

    Parameters
    ----------
    in_channels .. padding_mode, device, dtype : as torch.nn.Conv2d.
    scale, stochastic, binary_input : as `BinaryLinear`.
    input_scale : multiply by K, the mean |x| over the channels and the kernel's window (XNOR-Net); only with
        binary_input, and with groups = 1.
    pad_value : what stands outside of sign(x), 0, +1 or -1. Zero is what torch pads with; it has no bit, and the engine
        corrects for it exactly. ±1 only with binary_input and padding_mode "zeros".

    Raises
    ------
    ValueError  an unknown scale, or one of the combinations above.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        scale: str = "mean",
        stochastic: bool = False,
        binary_input: bool = True,
        input_scale: bool = False,
        pad_value: int = 0,
    ) -> None:
        geometry = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        super().__init__(*geometry, bias, padding_mode, device, dtype)
        self._set_options(scale, stochastic, binary_input, input_scale)
        if pad_value not in (-1, 0, 1):
            raise ValueError(f"pad_value: expected -1, 0 or 1, got {describe(pad_value)}")
        if pad_value and not (binary_input and padding_mode == "zeros"):
            raise ValueError(f"pad_value: expected 0 unless binary_input and padding_mode='zeros', got {pad_value}")
        if input_scale and groups != 1:
            raise ValueError(f"input_scale: expected False with groups={groups}, got True")
        self.pad_value = pad_value

    @classmethod
    def from_float(cls, conv: nn.Conv2d, **options: Any) -> BinaryConv2d:
        """The layer with a copy of a float layer's weights as its real weights; options as in the constructor."""
        if not isinstance(conv, nn.Conv2d):
            raise TypeError(f"conv: expected a torch.nn.Conv2d, got {describe(conv)}")
        shape = (conv.in_channels, conv.out_channels, conv.kernel_size)
        geometry = (conv.stride, conv.padding, conv.dilation, conv.groups, conv.bias is not None, conv.padding_mode)
        layer = cls(*shape, *geometry, conv.weight.device, conv.weight.dtype, **options)
        layer._take(conv)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W), as torch.nn.Conv2d."""
        x_b = binarize_activations(x) if self.binary_input else x
        if self.pad_value:
            x_b = functional.pad(x_b, self._reversed_padding_repeated_twice, value=float(self.pad_value))
            sums = functional.conv2d(x_b, self.signs(), None, self.stride, 0, self.dilation, self.groups)
        else:
            sums = self._conv_forward(x_b, self.signs(), None)
        return self._finish(sums, self._activation_scale(x) if self.input_scale else None)

    def _activation_scale(self, x: Tensor) -> Tensor:
        return activation_scale(x, self.kernel_size, self.stride, self.padding, self.dilation)

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", pad_value={self.pad_value}" if self.pad_value else "")


def _binary_layers(module: nn.Module) -> list[Any]:
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: expected a torch.nn.Module, got {describe(module)}")
    return [layer for layer in module.modules() if isinstance(layer, _Binary) and not layer.frozen]


def clip_weights_(module: nn.Module) -> None:
    """Clip the real weights of every binary layer to [-1, 1], in place; to be called after each optimizer step.

    Without it weights that have long been sure of their sign grow, and no gradient brings them back in time.
    """
    with torch.no_grad():
        for layer in _binary_layers(module):
            layer.weight.clamp_(-1, 1)


def update_curvature_(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Give every loss-aware layer the curvature that Adam has seen; to be called after each optimizer step.

    The curvature is the square root of the second moment, as in the paper; its bias correction and the step size
    are the same for all weights and cancel in α.

    Raises
    ------
    ValueError  the optimizer keeps no second moment of a loss-aware layer's weight: it is not Adam's kind, does not own
        the weight, or has taken no step.
    """
    with torch.no_grad():
        for layer in _binary_layers(module):
            if layer.scale == "loss-aware":
                moment = optimizer.state.get(layer.weight, {}).get("exp_avg_sq")
                if moment is None:
                    kind = type(optimizer).__name__
                    raise ValueError(f"optimizer: expected one with Adam's second moments after a step, got {kind}")
                layer.curvature.copy_(moment.sqrt())
