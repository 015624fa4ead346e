"""Binarization with straight-through gradients: signs, and the scales that go with them.

sign(0) is +1 everywhere, and so is sign(-0.0): the bit that accel.kernels.pack_bits stores. NaN becomes -1.

The signs are autograd functions and not operators of their own: torch.compile and torch.export see through them, so
that an exported network holds nothing but comparisons and Where.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def _signs(x: Tensor) -> Tensor:
    one = x.new_ones(())
    return torch.where(x >= 0, one, -one)


class _WeightSign(torch.autograd.Function):  # type: ignore[misc]
    """sign(w), whose gradient passes to w as it is."""

    generate_vmap_rule = True

    @staticmethod
    def forward(w: Tensor) -> Tensor:
        return _signs(w)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _ActivationSign(torch.autograd.Function):  # type: ignore[misc]
    """sign(x), whose gradient passes to x where |x| <= 1."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return _signs(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


def binarize_weights(w: Tensor, *, stochastic: bool = False, generator: torch.Generator | None = None) -> Tensor:
    """The signs of real weights, with the identity as their gradient: dL/dw = dL/dw_b (BinaryConnect).

    Parameters
    ----------
    w : Tensor of floats, any shape: the real weights that the optimizer moves.
    stochastic : draw the signs, P(w_b = +1) = clip((w + 1) / 2, 0, 1), instead of taking those of w.
    generator : where the random numbers come from; torch's own when None.

    Returns
    -------
    Tensor of w's shape and dtype

    References
    ----------
    .. [1] Courbariaux, Bengio & David, BinaryConnect, NIPS 2015, equations 1 to 3.
    """
    if stochastic:
        # w_b = +1 iff u < (w + 1) / 2 for u uniform in [0, 1): the sign of w - (2u - 1), drawn so that ±1 is certain.
        w = w - (1 - 2 * torch.rand(w.shape, dtype=w.dtype, device=w.device, generator=generator))
    signs: Tensor = _WeightSign.apply(w)
    return signs


def binarize_activations(x: Tensor) -> Tensor:
    """sign(x), ±1 of x's shape and dtype; its gradient is that of hard tanh: dL/dx = dL/dx_b · 1[|x| <= 1] (BinaryNet).

    References
    ----------
    .. [1] Hubara, Courbariaux et al., Binarized Neural Networks, NIPS 2016, equation 4.
    """
    signs: Tensor = _ActivationSign.apply(x)
    return signs


def mean_scale(w: Tensor) -> Tensor:
    """α = mean |w| of each output, shape (out,): what minimises ||w - α sign(w)||² (XNOR-Net, equation 6)."""
    alpha: Tensor = w.abs().flatten(1).mean(1)
    return alpha


def loss_aware_scale(w: Tensor, curvature: Tensor) -> Tensor:
    """α = ||d · w||₁ / ||d||₁ of each output, shape (out,), with d the curvature of the loss at every weight.

    It minimises (w - α b)ᵀ diag(d) (w - α b), what the loss loses by binarizing to second order. Where d is constant it
    is `mean_scale`; where it says nothing (all zero, as before the first step, or not finite) that is taken.

    Parameters
    ----------
    w : Tensor, shape (out, ...)
    curvature : Tensor of w's shape, not negative: the square root of Adam's second moment, see `update_curvature_`.

    Raises
    ------
    ValueError  the shapes differ.

    References
    ----------
    .. [1] Hou, Yao & Kwok, Loss-aware Binarization of Deep Networks, ICLR 2017, proposition 3.1.
    """
    if w.shape != curvature.shape:
        raise ValueError(f"curvature: expected the shape of w, {tuple(w.shape)}, got {tuple(curvature.shape)}")
    total = curvature.flatten(1).sum(1)
    scale = (curvature * w.abs()).flatten(1).sum(1) / total
    known = torch.isfinite(scale) & (total > 0)
    return torch.where(known, scale, mean_scale(w))


def activation_scale(
    x: Tensor,
    kernel_size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] | str = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """XNOR-Net's K: the mean |x| over the channels and the kernel's window, for every position of the output.

    x is (N, C, H, W) or (C, H, W); the result (N, 1, H', W') or (1, H', W') multiplies a convolution of sign(x) with
    the same kernel_size, stride, padding (outside x is zero) and dilation.
    """
    rows, columns = kernel_size
    box = x.new_full((1, 1, rows, columns), 1 / (rows * columns))
    mean = x.abs().mean(-3, keepdim=True)
    result: Tensor = functional.conv2d(mean, box, None, stride, padding, dilation)
    return result
