"""Bits: packing, products, pooling and scales on every implementation, equal to the definitions bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.floats import EPS, assert_same_bits, normal, using

import accel
from accel.kernels.binary import (
    binary_matmul,
    binary_max_pool2d,
    binary_scale_map,
    pack_bits,
    pack_pixels,
    unpack_bits,
    unpack_pixels,
    words_for,
)
from accel.reference import binary as reference

LENGTHS = (1, 2, 7, 8, 9, 31, 63, 64, 65, 127, 128, 129, 130, 200)


def signs(*shape: int, seed: int = 0) -> np.ndarray:
    return reference.sign(normal(*shape, seed=seed))


@pytest.mark.parametrize("n", LENGTHS)
def test_pack_bits(implementation: str, n: int) -> None:
    x = normal(3, 2, n, seed=n)
    x.flat[:: max(n // 5, 1)] = 0
    x.flat[1 :: max(n // 3, 1)] = -0.0
    expected = reference.pack_bits(x)
    assert_same_bits(pack_bits(x), expected)
    assert_same_bits(pack_bits(reference.sign(x)), expected)
    out = np.full_like(expected, 77)
    assert pack_bits(x, out) is out
    assert_same_bits(out, expected)
    assert_same_bits(unpack_bits(expected, n), reference.unpack_bits(expected, n).astype(np.float32))


def test_nan_is_minus_one_and_zeros_are_plus_one(implementation: str) -> None:
    x = np.array([np.nan, 0.0, -0.0, np.inf, -np.inf, -np.nan, 1e-45, -1e-45], np.float32)
    assert pack_bits(x)[0] == 0b01001110


def test_every_int8_value(implementation: str) -> None:
    x = np.arange(-128, 128, dtype=np.int8)
    assert_same_bits(pack_bits(x), reference.pack_bits(x))


@pytest.mark.parametrize("channels", [1, 3, 16, 31, 32, 33, 64, 65, 130])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (3, 11)])
def test_pack_pixels(implementation: str, channels: int, size: tuple[int, int]) -> None:
    x = normal(2, channels, *size, seed=channels)
    x[0, 0, 0, 0] = np.nan
    expected = reference.pack_bits(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    assert_same_bits(pack_pixels(x), expected)
    assert_same_bits(unpack_pixels(expected, channels), reference.sign(x).astype(np.float32))
    at, below = normal(channels, seed=1), np.random.default_rng(2).random(channels) < 0.5
    at[0], x[1, 0] = x[1, 0, 0, 0], x[1, 0, 0, 0]  # equal is inside on either side
    pixels = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    with np.errstate(invalid="ignore"):
        inside = np.where(below, pixels <= at, pixels >= at)
    assert_same_bits(pack_pixels(x, at=at, below=below), reference.pack_bits(inside.astype(np.int8) * 2 - 1))


@pytest.mark.parametrize("n", LENGTHS)
def test_matmul(implementation: str, n: int) -> None:
    for m, out in ((1, 1), (2, 33), (5, 8), (9, 17), (15, 64)):
        a, b = pack_bits(signs(m, n, seed=n)), pack_bits(signs(out, n, seed=n + 1))
        y = binary_matmul(a, b, n)
        assert y.dtype == np.int32
        np.testing.assert_array_equal(y, reference.matmul(a, b, n))


@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 70), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_matmul_is_the_integer_product(n: int, m: int, out: int, seed: int) -> None:
    a, b = signs(m, n, seed=seed), signs(out, n, seed=seed + 1)
    y = binary_matmul(pack_bits(a), pack_bits(b), n)
    np.testing.assert_array_equal(y, a.astype(np.int64) @ b.astype(np.int64).T)


def test_matmul_of_many_columns_and_of_none(implementation: str) -> None:
    n = 70_001
    a, b = pack_bits(signs(2, n)), pack_bits(signs(3, n, seed=1))
    np.testing.assert_array_equal(binary_matmul(a, b, n), reference.matmul(a, b, n))
    np.testing.assert_array_equal(binary_matmul(a, a, n).diagonal(), n)
    empty = np.zeros((2, 0), np.uint64)
    np.testing.assert_array_equal(binary_matmul(empty, empty, 0), np.zeros((2, 2)))
    assert binary_matmul(a[:0], b, n).shape == (0, 3)


@pytest.mark.parametrize("minimum", [False, True])
@pytest.mark.parametrize("channels", [3, 64, 130])
def test_max_pool(implementation: str, channels: int, minimum: bool) -> None:
    x = signs(2, channels, 7, 6, seed=channels)
    words = pack_pixels(x.astype(np.float32))
    for kernel, strides, pads in (
        ((2, 2), (2, 2), (0, 0, 0, 0)),
        ((3, 2), (1, 2), (1, 1, 2, 0)),
        ((1, 3), (3, 1), (0, 2, 0, 2)),
    ):
        y = binary_max_pool2d(words, kernel, strides=strides, pads=pads, minimum=minimum)
        expected = reference.max_pool2d(x, kernel, strides=strides, pads=pads, minimum=minimum)
        np.testing.assert_array_equal(unpack_pixels(y, channels), expected)


def test_scale_map(implementation: str) -> None:
    """Within 2 eps (C + kh kw) K: one rounding an addition."""
    for channels, size, kernel in ((1, (5, 5), (1, 1)), (70, (9, 8), (3, 3)), (130, (7, 19), (1, 3))):
        x = normal(2, channels, *size, seed=channels)
        geometry = {"strides": (2, 1), "pads": (1, 1, 0, 1), "dilations": (1, 2)}
        expected = reference.scale_map(x, kernel, **geometry)
        y = binary_scale_map(x, kernel, **geometry)
        assert y.shape == expected.shape and y.dtype == np.float32
        assert np.all(np.abs(y - expected) <= 2 * EPS * (channels + kernel[0] * kernel[1]) * expected)


def test_threads_give_the_same_bits(isa: str) -> None:
    n = 2000
    a, b, x = signs(40, n), signs(200, n, seed=1), normal(2, 130, 40, 41)
    results = []
    for threads in (1, 2, 3):
        with accel.using(threads=threads):
            bits = pack_bits(a)
            results.append(
                (bits, binary_matmul(bits, pack_bits(b), n), pack_pixels(x), binary_scale_map(x, 3),
                 binary_max_pool2d(pack_pixels(x), 2))
            )  # fmt: skip
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert_same_bits(one, two)


def test_misaligned_words(isa: str) -> None:
    n = 130
    a, b = pack_bits(signs(9, n)), pack_bits(signs(40, n, seed=1))
    raw = np.zeros(a.nbytes + 8, np.uint8)
    shifted = np.frombuffer(raw.data, np.uint64, a.size, 8).reshape(a.shape)
    shifted[...] = a
    np.testing.assert_array_equal(binary_matmul(shifted, b, n), reference.matmul(a, b, n))


def test_dirty_padding_is_refused(implementation: str) -> None:
    clean = pack_bits(signs(4, 70))
    for bit in (6, 63):
        dirty = clean.copy()
        dirty[2, 1] |= np.uint64(1) << np.uint64(bit)
        for call in (
            lambda d=dirty: binary_matmul(d, clean, 70),
            lambda d=dirty: binary_matmul(clean, d, 70),
            lambda d=dirty: unpack_bits(d, 70),
            lambda d=dirty: unpack_pixels(d.reshape(1, 2, 2, 2), 70),
        ):
            with pytest.raises(ValueError, match="expected zeros after 70 bits"):
                call()


def test_strict_packing_takes_signs_alone(implementation: str) -> None:
    x = signs(3, 70)
    assert_same_bits(pack_bits(x, strict=True), pack_bits(x))
    for dtype, bad in ((np.float32, (0.0, 0.5, -1.5, np.nan, np.inf)), (np.int8, (0, 2, -128))):
        for value in bad:
            y = x.astype(dtype)
            y[1, 69] = value
            with pytest.raises(ValueError, match="x: expected only -1 and"):
                pack_bits(y, strict=True)


def test_wrong_arguments() -> None:
    x, words = normal(2, 70), pack_bits(signs(2, 70))
    with pytest.raises(TypeError, match=r"x: expected float32.*float64"):
        pack_bits(x.astype(np.float64))
    with pytest.raises(ValueError, match="x: expected at least one axis"):
        pack_bits(np.zeros((), np.float32))
    with pytest.raises(ValueError, match="x: expected a C-contiguous"):
        pack_bits(x.T)
    with pytest.raises(ValueError, match=r"out: expected shape \(2, 2\)"):
        pack_bits(x, np.zeros((2, 3), np.uint64))
    with pytest.raises(TypeError, match="out: expected uint64"):
        pack_bits(x, np.zeros((2, 2), np.int64))
    with pytest.raises(ValueError, match="a_bits: expected 3 words for 130 bits"):
        binary_matmul(words, words, 130)
    with pytest.raises(TypeError, match="b_bits: expected uint64"):
        binary_matmul(words, words.astype(np.int64), 70)
    with pytest.raises(TypeError, match="n: expected an integer"):
        binary_matmul(words, words, 70.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n: expected an integer in 0"):
        unpack_bits(words, -1)
    with pytest.raises(ValueError, match=r"at: expected shape \(3,\)"):
        pack_pixels(normal(1, 3, 2, 2), at=np.zeros(2, np.float32))
    with pytest.raises(TypeError, match="below: expected bool"):
        pack_pixels(normal(1, 3, 2, 2), below=np.zeros(3, np.int8))
    image = words.reshape(1, 1, 2, 2)
    with pytest.raises(ValueError, match="does not fit"):
        binary_max_pool2d(image, 3)
    with pytest.raises(ValueError, match="pads: expected less than the kernel"):
        binary_max_pool2d(image, 1, pads=1)
    with pytest.raises(ValueError, match="x: expected at least one channel"):
        binary_scale_map(np.zeros((1, 0, 2, 2), np.float32), 1)


def test_no_words_and_no_rows(implementation: str) -> None:
    assert pack_bits(np.zeros((3, 0), np.float32)).shape == (3, 0)
    assert unpack_bits(np.zeros((3, 0), np.uint64), 0).shape == (3, 0)
    assert pack_pixels(np.zeros((0, 3, 2, 2), np.float32)).shape == (0, 2, 2, 1)
    assert words_for(0) == 0 and words_for(64) == 1 and words_for(65) == 2


def test_the_native_kernels_are_those_asked_for() -> None:
    with using("numpy"):
        expected = pack_bits(normal(2, 70))
    assert_same_bits(pack_bits(normal(2, 70)), expected)


def test_results_that_overlap_an_input_are_refused(implementation: str) -> None:
    memory = np.zeros(4096, np.uint64)
    words, floats = memory[:200].reshape(100, 2), memory.view(np.float32)
    counts = memory.view(np.int32)[300:700].reshape(100, 4)
    for name, call in (
        ("x", lambda: pack_bits(floats[:1024].reshape(4, 256), memory[500:516].reshape(4, 4))),
        ("x", lambda: pack_pixels(floats[:30].reshape(1, 5, 2, 3), out=memory[14:20].reshape(1, 2, 3, 1))),
        ("at", lambda: pack_pixels(normal(1, 5, 2, 3), at=floats[:5], out=memory[:6].reshape(1, 2, 3, 1))),
        ("a_bits", lambda: binary_matmul(words, np.zeros((4, 2), np.uint64), 128, counts)),
        ("b_bits", lambda: binary_matmul(np.zeros((100, 2), np.uint64), memory[190:198].reshape(4, 2), 128, counts)),
    ):
        with pytest.raises(ValueError, match=f"out: expected memory of its own, got memory of {name}"):
            call()


@pytest.mark.parametrize("minimum", [False, True])
def test_windows_far_larger_than_the_image(implementation: str, minimum: bool) -> None:
    words, size = pack_pixels(normal(1, 3, 4, 5)), (1 << 31) - 1
    y = binary_max_pool2d(words, size, pads=size - 1, strides=size, minimum=minimum)
    corner = words[:, :1, :1]  # of the first window; the last one misses it alone
    assert y.shape == (1, 2, 2, 1) and np.array_equal(y[:, :1, :1], corner)
    with pytest.raises(ValueError, match=r"x: a kernel of .* does not fit \(4, 5\)"):
        binary_scale_map(normal(1, 3, 4, 5), (1 << 27, 1 << 4))
    with pytest.raises(ValueError, match=r"does not fit \(0, 5\)"):
        binary_max_pool2d(words[:, :0], 2, pads=1)
