"""Binary networks by definition: bits, products, convolution, pooling and scales of +-1."""

from __future__ import annotations

import numpy as np

from accel.reference import conv


def sign(x: np.ndarray) -> np.ndarray:
    """+1 where x >= 0 (so for -0.0), else -1 (so for NaN); int8."""
    signs: np.ndarray = np.where(x >= 0, 1, -1).astype(np.int8)
    return signs


def pack_bits(x: np.ndarray) -> np.ndarray:
    """(..., n) to (..., ceil(n / 64)) uint64: bit i % 64 of word i // 64 is 1 iff x[..., i] >= 0; the others are 0."""
    n = x.shape[-1]
    words = np.zeros((*x.shape[:-1], -(-n // 64)), np.uint64)
    for i in range(n):
        words[..., i // 64] |= (x[..., i] >= 0).astype(np.uint64) << np.uint64(i % 64)
    return words


def unpack_bits(words: np.ndarray, n: int) -> np.ndarray:
    """The inverse: (..., n) int8 of +-1."""
    bits = [words[..., i // 64] >> np.uint64(i % 64) & np.uint64(1) for i in range(n)]
    signs = np.stack(bits, axis=-1) if n else np.zeros((*words.shape[:-1], 0))
    return np.where(signs == 1, 1, -1).astype(np.int8)


def matmul(a_bits: np.ndarray, b_bits: np.ndarray, n: int) -> np.ndarray:
    """(m, words) x (out, words) to (m, out) int64: sum_i a[m, i] b[out, i], which is n - 2 popcount(a xor b)."""
    return unpack_bits(a_bits, n).astype(np.int64) @ unpack_bits(b_bits, n).astype(np.int64).T


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    *,
    pad_value: int = 0,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
    group: int = 1,
) -> np.ndarray:
    """The convolution of signs x (N, C, H, W) with signs w (O, C/group, kh, kw): (N, O, H', W') int64.

    Outside its edges x is `pad_value`, -1, 0 or +1.
    """
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=pad_value)
    return conv.conv2d(padded, w, strides=strides, dilations=dilations, group=group).astype(np.int64)


def threshold(counts: np.ndarray, at: np.ndarray, below: np.ndarray, axis: int = 1) -> np.ndarray:
    """+1 where count >= at[o], or count <= at[o] where below[o] is true, else -1; o runs along `axis`."""
    shape = [1] * counts.ndim
    shape[axis] = -1
    at, below = at.reshape(shape), below.reshape(shape)
    return np.where(np.where(below, counts <= at, counts >= at), 1, -1).astype(np.int8)


def activation(name: str | None, parameters: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """An activation of float64 x by its ONNX name, parameters in ONNX's order; None is the identity."""
    if name == "Relu":
        return np.asarray(np.maximum(x, 0))
    if name == "Clip":
        low, high = parameters
        return np.asarray(np.clip(x, low, high))
    if name == "LeakyRelu":
        return np.where(x < 0, x * (parameters[0] if parameters else 0.01), x)
    if name == "HardSigmoid":
        a, b = parameters or (0.2, 0.5)
        return np.clip(a * x + b, 0, 1)
    if name == "HardSwish":
        return x * np.clip(x / 6 + 0.5, 0, 1)
    if name in ("Sigmoid", "Swish"):
        s = 1 / (1 + np.exp(-x))
        return np.asarray(s if name == "Sigmoid" else x * s)
    return x


def scaled(
    counts: np.ndarray,
    scale: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    pixel_scale: np.ndarray | None = None,
    name: str | None = None,
    parameters: tuple[float, ...] = (),
) -> np.ndarray:
    """f(scale[o] pixel_scale[n, i, j] count + bias[o] + residual) of counts (N, O, H, W), float64."""
    y = counts.astype(np.float64)
    if scale is not None:
        y = y * scale[:, None, None]
    if pixel_scale is not None:
        y = y * pixel_scale[:, None]
    if bias is not None:
        y = y + bias[:, None, None]
    return activation(name, parameters, y if residual is None else y + residual)


def max_pool2d(
    x: np.ndarray,
    kernel: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    minimum: bool = False,
) -> np.ndarray:
    """Largest (or smallest) sign of every window; the padding never wins."""
    factor = -1 if minimum else 1
    return (factor * conv.max_pool2d(factor * x, kernel, strides=strides, pads=pads)).astype(np.int8)


def scale_map(
    x: np.ndarray,
    kernel: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """XNOR-Net's K, (N, H', W'): the mean over each window of A, which is the mean of |x| over channels; 0 outside."""
    means = np.abs(x.astype(np.float64)).mean(axis=1, keepdims=True)
    box = np.full((1, 1, *kernel), 1.0 / (kernel[0] * kernel[1]))
    return conv.conv2d(means, box, strides=strides, pads=pads, dilations=dilations)[:, 0]


def sign_linear(
    x: np.ndarray, signs: np.ndarray, scale: np.ndarray | None = None, bias: np.ndarray | None = None
) -> np.ndarray:
    """BinaryConnect: y[..., o] = scale[o] sum_i signs[o, i] x[..., i] + bias[o] for real x, float64."""
    y = x.astype(np.float64) @ signs.astype(np.float64).T
    if scale is not None:
        y = y * scale
    return y if bias is None else y + bias
