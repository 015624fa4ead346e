"""Products with structured matrices as operators of torch: gradients, vmap, and the shapes that torch.compile asks for.

float32 runs by accel's kernels; float64 by the formulas, written down once more: what gradients are checked with. The
circulant operators can be differentiated any number of times, the others once. All run on the CPU. torch.func.grad does
not see through custom operators; torch.autograd.grad does, also for many gradients at once (is_grads_batched).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from accel.kernels import circulant, hashed
from accel.kernels.fastfood import fastfood as _fastfood
from accel.kernels.fastfood import fastfood_backward as _fastfood_backward
from accel.kernels.fwht import fwht


def _operator(name: str, schema: str) -> Callable[[Callable[..., Any]], Any]:
    define: Callable[[Callable[..., Any]], Any]
    define = torch.library.custom_op(f"accel::{name}", mutates_args=(), device_types="cpu", schema=schema)
    return define


def _shapes_of(operator: Any) -> Callable[[Callable[..., Any]], Any]:
    """Registers what gives results of the operator's shapes and types, without their numbers."""
    register: Callable[[Callable[..., Any]], Any] = operator.register_fake
    return register


def _arrays(**tensors: Tensor) -> tuple[np.ndarray, ...]:
    """The tensors as C-contiguous arrays, all float32 or all float64, for which the first decides."""
    kind = next(iter(tensors.values())).dtype
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{name}: expected float32 or float64, got {tensor.dtype}")
        if tensor.dtype != kind:
            raise TypeError(f"{name}: expected {kind} as of the other operands, got {tensor.dtype}")
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors.values())


def _for_each_sample(operator: Any) -> Callable[..., Any]:
    """A vmap rule: the operator once a sample. Where only the rows of the first operand are many, once for all."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *operands: Any) -> tuple[Any, Any]:
        first, *others = in_dims
        if first is not None and others and all(at is None for at in others) and operator not in _SUMS:
            return operator(operands[0].movedim(first, 0), *operands[1:]), 0
        samples = [
            operator(*(v if at is None else v.select(at, i) for v, at in zip(operands, in_dims, strict=True)))
            for i in range(info.batch_size)
        ]
        if isinstance(samples[0], Tensor):
            return torch.stack(samples), 0
        return tuple(map(torch.stack, zip(*samples, strict=True))), (0,) * len(samples[0])

    return rule


# --- circulant blocks


@_operator("block_circulant", "(Tensor x, Tensor r) -> Tensor")
def block_circulant(x: Tensor, r: Tensor) -> Tensor:
    """y[..., u b + i] = Σ_vj r[u, v, (i - j) mod b] x[..., v b + j]: (..., q b) and (p, q, b) to (..., p b)."""
    wide, columns = _arrays(x=x, r=r)
    if x.dtype == torch.float32:
        return torch.from_numpy(circulant.block_circulant_matmul(wide, columns))
    _, q, b = r.shape
    if not x.numel():  # torch's transforms refuse no rows
        return x.new_zeros((*x.shape[:-1], r.shape[0] * b))
    spectra = torch.fft.rfft(x.unflatten(-1, (q, b))), torch.fft.rfft(r)
    return torch.fft.irfft(torch.einsum("...qf,pqf->...pf", *spectra), b).contiguous().flatten(-2)


@_shapes_of(block_circulant)
def _(x: Tensor, r: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:-1], r.shape[0] * r.shape[2]))


@_operator("block_circulant_grad", "(Tensor g, Tensor x, int block) -> Tensor")
def block_circulant_grad(g: Tensor, x: Tensor, block: int) -> Tensor:
    """The gradient by r of Σ g y for y = block_circulant(x, r): (..., p b) and (..., q b) to (p, q, b)."""
    by_y, wide = _arrays(g=g, x=x)
    if g.dtype == torch.float32:
        return torch.from_numpy(circulant.block_circulant_grad_r(by_y, wide, block))
    if not g.numel():
        return g.new_zeros((g.shape[-1] // block, x.shape[-1] // block, block))
    spectra = [torch.fft.rfft(t.reshape(-1, t.shape[-1] // block, block)) for t in (g, x)]
    return torch.fft.irfft(torch.einsum("npf,nqf->pqf", spectra[0], spectra[1].conj()), block).contiguous()


@_shapes_of(block_circulant_grad)
def _(g: Tensor, x: Tensor, block: int) -> Tensor:
    return g.new_empty((g.shape[-1] // block, x.shape[-1] // block, block))


def transposed(r: Tensor) -> Tensor:
    """The first columns (q, p, b) of the transposed matrix, as accel.kernels.circulant has them."""
    return r.flip(-1).roll(1, -1).transpose(0, 1)


def _keep_two(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.block = inputs[1].shape[-1]


def _block_circulant_backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
    x, r = ctx.saved_tensors
    return block_circulant(g, transposed(r)), block_circulant_grad(g, x, ctx.block)


def _block_circulant_grad_backward(ctx: Any, by_r: Tensor) -> tuple[Tensor, Tensor, None]:
    g, x = ctx.saved_tensors
    return block_circulant(x, by_r), block_circulant(g, transposed(by_r)), None


block_circulant.register_autograd(_block_circulant_backward, setup_context=_keep_two)
block_circulant_grad.register_autograd(_block_circulant_grad_backward, setup_context=_keep_two)


# --- Fastfood


@_operator("fastfood", "(Tensor x, Tensor s, Tensor g, Tensor b, Tensor perm) -> Tensor")
def fastfood(x: Tensor, s: Tensor, g: Tensor, b: Tensor, perm: Tensor) -> Tensor:
    """y = S H G Π H B x of every block: (..., n) and three (blocks, n), perm int32, to (..., blocks n)."""
    order = perm.contiguous().numpy()
    wide, by_s, by_g, by_b = _arrays(x=x, s=s, g=g, b=b)
    if x.dtype == torch.float32:
        return torch.from_numpy(_fastfood(wide, by_s, by_g, order, by_b))
    mixed = fwht(by_b * wide.reshape(-1, 1, x.shape[-1]), norm="ortho")
    mixed = np.take_along_axis(mixed, order[np.newaxis], 2)
    return torch.from_numpy(by_s * fwht(by_g * mixed, norm="ortho")).reshape(*x.shape[:-1], s.numel())


@_shapes_of(fastfood)
def _(x: Tensor, s: Tensor, g: Tensor, b: Tensor, perm: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:-1], s.numel()))


_FIVE = "(Tensor grad, Tensor x, Tensor s, Tensor g, Tensor b, Tensor perm) -> (Tensor, Tensor, Tensor, Tensor)"


@_operator("fastfood_grad", _FIVE)
def fastfood_grad(grad: Tensor, x: Tensor, s: Tensor, g: Tensor, b: Tensor, perm: Tensor) -> tuple[Tensor, ...]:
    """The gradients by x, s, g and b of Σ grad y for y = fastfood(x, s, g, b, perm)."""
    by_y, wide, by_s, by_g, by_b = _arrays(grad=grad, x=x, s=s, g=g, b=b)
    gradients = _fastfood_backward(by_y, wide, by_s, by_g, perm.contiguous().numpy(), by_b)
    return tuple(map(torch.from_numpy, gradients))


@_shapes_of(fastfood_grad)
def _(grad: Tensor, x: Tensor, s: Tensor, g: Tensor, b: Tensor, perm: Tensor) -> tuple[Tensor, ...]:
    return tuple(t.new_empty(t.shape) for t in (x, s, g, b))


def _keep_all(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _fastfood_autograd(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return (*fastfood_grad(grad, *ctx.saved_tensors), None)


fastfood.register_autograd(_fastfood_autograd, setup_context=_keep_all)


# --- hashed weights


@_operator("hashed", "(Tensor x, Tensor values, int out_features, int seed) -> Tensor")
def hashed_product(x: Tensor, values: Tensor, out_features: int, seed: int) -> Tensor:
    """y = x Wᵀ, w[i, j] = ±values[hash of (seed, i, j)]: (..., in) and (K,) to (..., out_features)."""
    wide, shared = _arrays(x=x, values=values)
    if x.dtype == torch.float32:
        return torch.from_numpy(hashed.hashed_matmul(wide, shared, out_features, seed))
    dense = hashed.unfold(shared, slice(0, out_features), x.shape[-1], seed)
    return functional.linear(x, torch.from_numpy(dense))


@_shapes_of(hashed_product)
def _(x: Tensor, values: Tensor, out_features: int, seed: int) -> Tensor:
    return x.new_empty((*x.shape[:-1], out_features))


@_operator("hashed_grad", "(Tensor g, Tensor x, Tensor values, int seed) -> (Tensor, Tensor)")
def hashed_grad(g: Tensor, x: Tensor, values: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The gradients by x and by values of Σ g y for y = hashed_product(x, values, out, seed)."""
    by_y, wide, shared = _arrays(g=g, x=x, values=values)
    by_x, by_values = hashed.hashed_backward(by_y, wide, shared, seed)
    return torch.from_numpy(by_x), torch.from_numpy(by_values)


@_shapes_of(hashed_grad)
def _(g: Tensor, x: Tensor, values: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), values.new_empty(values.shape)


def _keep_hashed(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.seed = inputs[3]


def _hashed_autograd(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    return (*hashed_grad(g, *ctx.saved_tensors, ctx.seed), None, None)


hashed_product.register_autograd(_hashed_autograd, setup_context=_keep_hashed)

_SUMS = (block_circulant_grad, fastfood_grad, hashed_grad)  # over the rows of a sample
for _each in (block_circulant, fastfood, hashed_product, *_SUMS):
    _each.register_vmap(_for_each_sample(_each))
