"""Matrix products."""

from __future__ import annotations

import math

import numpy as np

from accel.errors import ModelError
from accel.layers.operators.activations import fused
from accel.layers.operators.common import Array, Floats, refuse_bomb, same_dtype
from accel.layers.operators.registry import operator


def _check_product(a: Array, b: Array) -> None:
    inner = b.shape[0] if b.ndim == 1 else b.shape[-2] if b.ndim else None
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != inner:
        raise ModelError(f"B: expected a matrix that fits A of shape {a.shape}, got shape {b.shape}")


@operator("MatMul")
def matmul(a: Array, b: Array) -> Array:
    same_dtype(a, b)
    _check_product(a, b)
    return np.asarray(np.matmul(a, b))


@operator("Gemm")
def gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    activation: str | None = None,
    activation_params: Floats = (),
) -> Array:
    """alpha * A' B' + beta * C, C broadcast to the product; then the activation, which only graph.fusing makes."""
    same_dtype(a, b, c)
    if a.ndim != 2 or b.ndim != 2:
        raise ModelError(f"A, B: expected two matrices, got shapes {a.shape} and {b.shape}")
    a, b = (a.T if transA else a), (b.T if transB else b)
    _check_product(a, b)
    y = np.matmul(a, b)
    if alpha != 1.0:
        y = (y * a.dtype.type(alpha)).astype(a.dtype, copy=False)
    if c is not None:
        c = np.broadcast_to(c, y.shape)
        y = (y + (c if beta == 1.0 else c * a.dtype.type(beta))).astype(a.dtype, copy=False)
    return fused(np.asarray(y), activation, activation_params)


def _check_einsum_size(inputs: tuple[Array, ...], equation: str) -> None:
    """Refuse an output that a short equation makes huge ('i,j,k->ijk'); np.einsum itself checks the rest."""
    terms, _, output = equation.replace(" ", "").partition("->")
    sizes: dict[str, int] = {}
    ellipsis = 1
    for term, array in zip(terms.split(","), inputs, strict=True):
        letters = term.replace("...", "")
        if "..." not in term and len(letters) != array.ndim:
            raise ModelError(f"equation: expected {array.ndim} labels for shape {array.shape}, got {term!r}")
        head = term.find("...") if "..." in term else len(letters)
        tail = len(letters) - head
        named = (*array.shape[:head], *array.shape[array.ndim - tail :])
        for letter, size in zip(letters, named, strict=True):
            sizes[letter] = max(sizes.get(letter, 1), size)
        ellipsis = max(ellipsis, math.prod(array.shape[head : array.ndim - tail]))
    kept = output if "->" in equation else terms
    refuse_bomb([ellipsis, *(sizes.get(letter, 1) for letter in set(kept) - {".", ","})], inputs[0].dtype)


@operator("Einsum")
def einsum(*inputs: Array, equation: str) -> Array:
    same_dtype(*inputs)
    if equation.replace(" ", "").partition("->")[0].count(",") != len(inputs) - 1:
        raise ModelError(f"equation: expected {len(inputs)} terms, got {equation!r}")
    _check_einsum_size(inputs, equation)
    return np.asarray(np.einsum(equation, *inputs)).astype(inputs[0].dtype, copy=False)


def integer_matmul(a: Array, b: Array) -> Array:
    """The exact product of integer arrays, int32 with wrap-around.

    In float64 it runs on BLAS, which NumPy does not use for integers; 9-bit factors stay exact for 2**35 terms.
    """
    product = np.matmul(a.astype(np.float64), b.astype(np.float64))
    return np.asarray(product).astype(np.int64).astype(np.int32)


def minus_zero_point(x: Array, zero_point: Array | None, axis: int, name: str) -> Array:
    """x - zero_point as int32; a vector of zero points lies along `axis` of x."""
    wide = x.astype(np.int32)
    if zero_point is None:
        return wide
    same_dtype(x, zero_point)
    return wide - along_axis(zero_point, x, axis, name).astype(np.int32)


def along_axis(values: Array, x: Array, axis: int, name: str) -> Array:
    """A scalar, a vector along `axis` of x, or an array of x's rank with one value per slice, ready to broadcast."""
    if values.size == 1:
        return values.reshape(())
    if values.ndim == 1 and x.ndim > 1:
        if values.size != x.shape[axis]:
            raise ModelError(f"{name}: expected 1 or {x.shape[axis]} values, got {values.size}")
        shape = [1] * x.ndim
        shape[axis] = values.size
        return values.reshape(shape)
    if values.ndim != x.ndim or np.broadcast_shapes(values.shape, x.shape) != x.shape:
        raise ModelError(f"{name}: expected values that broadcast to {x.shape}, got shape {values.shape}")
    return values


@operator("MatMulInteger")
def matmul_integer(a: Array, b: Array, a_zero_point: Array | None = None, b_zero_point: Array | None = None) -> Array:
    """Zero points of A are one or per row, those of B one or per column."""
    _check_product(a, b)
    left = minus_zero_point(a, a_zero_point, -2, "a_zero_point")
    right = minus_zero_point(b, b_zero_point, -1, "b_zero_point")
    return integer_matmul(left, right)
