"""A call of every public kernel that makes arrays, for what has to hold of all of their results."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from kernels.floats import normal

from accel import kernels as k
from accel.kernels.binary import Scaled, SignWeights
from accel.reference import binary as reference

Case = Callable[[int, int], Callable[[], Any]]
CASES: dict[str, Case] = {}
"""By the kernel's name, and what is special behind a colon: (seed, size) to a call without arguments."""

WITHOUT_ARRAYS = {"bitmap_encode", "csr_validate", "float_encode", "huffman_encode", "huffman_encode_stream"}
"""They return bytes or a bool."""

SOMETIMES_NUMPYS = {
    *("kmeans_1d", "csr_from_dense", "csr_canonical", "gaps_encode", "gaps_decode"),
    *("deltas_encode", "deltas_decode", "bitmap_decode", "unpack_bits", "unpack_pixels"),
    *("hashed_backward", "block_circulant_grad_r", "fastfood_backward"),
}
"""What makes weights, which live long, or is computed by NumPy."""


def case(name: str) -> Callable[[Case], Case]:
    def add(made: Case) -> Case:
        CASES[name] = made
        return made

    return add


def _sparse(seed: int, *shape: int) -> np.ndarray:
    w = normal(*shape, seed=seed)
    w[np.abs(w) < 1] = 0
    return w


def _codes(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 16, shape).astype(np.uint8)


def _power(size: int) -> int:
    return 1 << size.bit_length()


@case("assign_codes")
def _(seed: int, size: int) -> Any:
    return lambda: k.assign_codes(normal(size * 9, seed=seed), np.array([-1, 0, 2], np.float32))


@case("kmeans_1d")
def _(seed: int, size: int) -> Any:
    return lambda: k.kmeans_1d(normal(size * 9, seed=seed), 3)


@case("linear")
def _(seed: int, size: int) -> Any:
    x, w = normal(3, size, seed=seed), normal(size + 4, size, seed=seed + 1)
    return lambda: (k.linear(x, w), k.linear(x, w, w[:, 0].copy()))


@case("csr_matmul")
def _(seed: int, size: int) -> Any:
    matrix, x = k.csr_from_dense(_sparse(seed, size + 2, size)), normal(5, size, seed=seed)
    return lambda: (k.csr_matmul(*matrix, x), k.csr_matmul(*matrix, x[0]))


@case("csr_from_dense")
def _(seed: int, size: int) -> Any:
    return lambda: k.csr_from_dense(_sparse(seed, size, size + 3))


@case("csr_canonical")
def _(seed: int, size: int) -> Any:
    data, indices = normal(2 * size, seed=seed), np.arange(2 * size, dtype=np.int32)[::-1] // 2
    return lambda: k.csr_canonical(data, indices.copy(), np.array([0, size, 2 * size]), size)


@case("codebook_matmul")
def _(seed: int, size: int) -> Any:
    codes, book, x = _codes(seed, size + 1, size), normal(16, seed=seed), normal(3, size, seed=seed)
    return lambda: k.codebook_matmul(x, codes, book)


@case("product_quantized_matmul")
def _(seed: int, size: int) -> Any:
    codes, centroids = _codes(seed, size + 1, size), normal(size, 16, 2, seed=seed)
    return lambda: k.product_quantized_matmul(normal(3, 2 * size, seed=seed), codes, centroids)


@case("hashed_matmul")
def _(seed: int, size: int) -> Any:
    return lambda: k.hashed_matmul(normal(3, size, seed=seed), normal(7, seed=seed), size + 2, 5)


@case("hashed_backward")
def _(seed: int, size: int) -> Any:
    grad, x = normal(3, size + 2, seed=seed), normal(3, size, seed=seed)
    return lambda: k.hashed_backward(grad, x, normal(7, seed=seed), 5)


@case("circulant_matmul")
def _(seed: int, size: int) -> Any:
    return lambda: k.circulant_matmul(normal(3, size, seed=seed), normal(size, seed=seed))


@case("block_circulant_matmul")
def _(seed: int, size: int) -> Any:
    r = normal(2, 3, size, seed=seed)
    return lambda: k.block_circulant_matmul(normal(4, 3 * size, seed=seed), r)


@case("block_circulant_grad_x")
def _(seed: int, size: int) -> Any:
    return lambda: k.block_circulant_grad_x(normal(4, 2 * size, seed=seed), normal(2, 3, size, seed=seed))


@case("block_circulant_grad_r")
def _(seed: int, size: int) -> Any:
    return lambda: k.block_circulant_grad_r(normal(4, 2 * size, seed=seed), normal(4, 3 * size, seed=seed), size)


@case("fwht")
def _(seed: int, size: int) -> Any:
    x = normal(5, _power(size), 3, seed=seed)
    return lambda: tuple(k.fwht(x.astype(kind), 1) for kind in (np.float32, np.float64, np.int32))


def _fastfood(seed: int, size: int) -> tuple[np.ndarray, ...]:
    n = _power(size)
    perm = np.stack([np.random.default_rng(i).permutation(n) for i in range(2)]).astype(np.int32)
    s, g, b = (normal(2, n, seed=seed + i) for i in range(3))
    return normal(3, n, seed=seed), s, g, perm, b


@case("fastfood")
def _(seed: int, size: int) -> Any:
    return lambda: k.fastfood(*_fastfood(seed, size))


@case("fastfood:features")
def _(seed: int, size: int) -> Any:
    from accel.kernels.fastfood import Fastfood

    x, s, g, perm, b = _fastfood(seed, size)
    rows = x[:, : max(size // 2, 1)].copy()
    return lambda: Fastfood(s, g, perm, b, rows.shape[1], 2 * s.shape[1] - 1, amplitude=0.5)(rows)


@case("fastfood_backward")
def _(seed: int, size: int) -> Any:
    x, *arrays = _fastfood(seed, size)
    return lambda: k.fastfood_backward(normal(3, 2 * x.shape[1], seed=seed), x, *arrays)


def _conv(algorithm: str, kernel: int, **geometry: Any) -> Case:
    def made(seed: int, size: int) -> Any:
        x, w = normal(2, 6, size + 6, size + 5, seed=seed), normal(10, 6 // geometry.get("group", 1), kernel, kernel)
        return lambda: k.conv2d(x, w, normal(10), algorithm=algorithm, **geometry)

    return made


CASES |= {
    "conv2d:direct": _conv("direct", 3, pads=1),
    "conv2d:grouped": _conv("direct", 3, group=2, strides=2),
    "conv2d:im2col": _conv("im2col", 3, dilations=2, pads=2),
    "conv2d:winograd2": _conv("winograd2", 3, pads=1),
    "conv2d:winograd4": _conv("winograd4", 3, pads=(0, 1, 1, 0)),
    "conv2d:winograd6": _conv("winograd6", 3),
    "conv2d:fft": _conv("fft", 5, pads=2),
    "conv2d": _conv("auto", 1),
}


@case("conv2d:depthwise")
def _(seed: int, size: int) -> Any:
    x, w = normal(2, 7, size + 2, size + 3, seed=seed), normal(7, 1, 3, 3, seed=seed)
    return lambda: k.conv2d(x, w, group=7, pads=1)


@case("max_pool2d")
def _(seed: int, size: int) -> Any:
    x = normal(2, 7, size + 2, size + 3, seed=seed)
    return lambda: (k.max_pool2d(x, 3, strides=2, pads=1), k.max_pool2d(x, 2, ceil_mode=True, strides=2))


@case("average_pool2d")
def _(seed: int, size: int) -> Any:
    return lambda: k.average_pool2d(normal(2, 7, size + 2, size + 3, seed=seed), 3, strides=2, pads=1)


@case("global_average_pool2d")
def _(seed: int, size: int) -> Any:
    return lambda: k.global_average_pool2d(normal(2, 7, size, size + 1, seed=seed))


@case("pack_bits")
def _(seed: int, size: int) -> Any:
    return lambda: k.pack_bits(normal(3, 5 * size, seed=seed))


@case("unpack_bits")
def _(seed: int, size: int) -> Any:
    return lambda: k.unpack_bits(reference.pack_bits(normal(3, 5 * size, seed=seed)), 5 * size)


@case("pack_pixels")
def _(seed: int, size: int) -> Any:
    return lambda: k.pack_pixels(normal(2, 5 * size, 3, size, seed=seed))


@case("unpack_pixels")
def _(seed: int, size: int) -> Any:
    words = k.pack_pixels(normal(2, 5 * size, 3, size, seed=seed))
    return lambda: k.unpack_pixels(words, 5 * size)


@case("binary_matmul")
def _(seed: int, size: int) -> Any:
    a, b = (reference.pack_bits(normal(rows, 5 * size, seed=seed)) for rows in (3, 9))
    return lambda: k.binary_matmul(a, b, 5 * size)


@case("sign_linear")
def _(seed: int, size: int) -> Any:
    weights = SignWeights(reference.pack_bits(normal(9, 5 * size, seed=seed)), 5 * size)
    return lambda: k.sign_linear(normal(3, 5 * size, seed=seed), weights)


@case("binary_conv2d")
def _(seed: int, size: int) -> Any:
    x, w = (reference.pack_bits(normal(n, 3, size + 2, 70, seed=seed)) for n in (2, 9))
    w = np.ascontiguousarray(w[:, :, :3])
    scaled = Scaled(normal(9), normal(9))
    return lambda: (k.binary_conv2d(x, w, 70, pads=1), k.binary_conv2d(x, w, 70, pads=1, epilogue=scaled))


@case("binary_max_pool2d")
def _(seed: int, size: int) -> Any:
    return lambda: k.binary_max_pool2d(reference.pack_bits(normal(2, 3, size + 2, 70, seed=seed)), 2, pads=1)


@case("binary_scale_map")
def _(seed: int, size: int) -> Any:
    return lambda: k.binary_scale_map(normal(2, 5, size, 3, seed=seed), 3, pads=1)


def _places(seed: int, size: int) -> np.ndarray:
    return np.flatnonzero(np.random.default_rng(seed).random(size * 40) < 0.05).astype(np.uint32)


@case("gaps_encode")
def _(seed: int, size: int) -> Any:
    return lambda: k.gaps_encode(_places(seed, size), 4)


@case("gaps_decode")
def _(seed: int, size: int) -> Any:
    gaps, _ = k.gaps_encode(_places(seed, size), 4)
    return lambda: k.gaps_decode(gaps, size * 40, bits=4)


@case("gaps_expand")
def _(seed: int, size: int) -> Any:
    gaps, filler = k.gaps_encode(_places(seed, size), 4)
    values = np.where(filler, 0, normal(gaps.size, seed=seed)).astype(np.float32)
    return lambda: k.gaps_expand(gaps, values, size * 40, bits=4)


@case("deltas_encode")
def _(seed: int, size: int) -> Any:
    _, indices, indptr = k.csr_from_dense(_sparse(seed, size, 300))
    return lambda: k.deltas_encode(indices, indptr)


@case("deltas_decode")
def _(seed: int, size: int) -> Any:
    _, indices, indptr = k.csr_from_dense(_sparse(seed, size, 300))
    deltas = k.deltas_encode(indices, indptr)
    return lambda: k.deltas_decode(deltas, indptr, 300)


def _mask(seed: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).random(size * 40) < 0.3


@case("bitmap_decode")
def _(seed: int, size: int) -> Any:
    return lambda: k.bitmap_decode(k.bitmap_encode(_mask(seed, size)), size * 40)


@case("bitmap_expand")
def _(seed: int, size: int) -> Any:
    mask = _mask(seed, size)
    return lambda: k.bitmap_expand(k.bitmap_encode(mask), normal(int(mask.sum()), seed=seed), size * 40)


@case("huffman_decode")
def _(seed: int, size: int) -> Any:
    streams = [k.huffman_encode(_codes(seed, size * 100), format=form) for form in ("ht", "h4")]
    return lambda: tuple(k.huffman_decode(stream, start=size, stop=size * 90) for stream in streams)


@case("huffman_decode_stream")
def _(seed: int, size: int) -> Any:
    stream = b"".join(k.huffman_encode_stream([_codes(seed, size * 100)]))
    return lambda: list(k.huffman_decode_stream(io.BytesIO(stream)))


@case("float_decode")
def _(seed: int, size: int) -> Any:
    streams = [k.float_encode(normal(size * 100, seed=seed).astype(kind)) for kind in (np.float32, np.float16)]
    return lambda: tuple(k.float_decode(stream) for stream in streams)
