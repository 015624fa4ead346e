"""Linear and Conv2d with binary weights, over real inputs and over their signs, on every back end and ISA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accel
from accel.layers import Conv2d, Linear
from accel.reference import binary as reference
from accel.weights import Binary


def weight_of(*shape: int, seed: int = 0, scaled: bool = True) -> Binary:
    rng = np.random.default_rng(seed)
    scale = rng.random(shape[0]).astype(np.float32) if scaled else None
    return Binary.from_signs(rng.choice(np.array([-1, 1], np.int8), shape), scale)


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def close(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max(initial=1e-30))


@pytest.mark.parametrize(("out", "depth"), [(1, 1), (7, 63), (33, 64), (20, 130)])
@pytest.mark.parametrize("binarize", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_linear(backend: str, out: int, depth: int, binarize: bool, scale: bool) -> None:
    if scale and not binarize:
        return
    weight, bias, x = weight_of(out, depth), normal(out), normal(2, 3, depth, seed=2)
    x[0, 0, 0] = 0.0
    layer = Linear(weight, bias, "Relu", binarize_input=binarize, scale_input=scale)
    given = reference.sign(x).astype(np.float64) if binarize else x.astype(np.float64)
    wanted = given @ weight.dense().astype(np.float64).T
    if scale:
        wanted = wanted * np.abs(x.astype(np.float64)).mean(-1, keepdims=True)
    close(layer(x), np.maximum(wanted + bias, 0))


@pytest.mark.parametrize("geometry", [{}, {"pads": 1}, {"pads": (1, 0, 2, 1), "strides": 2}, {"dilations": (2, 1)}])
@pytest.mark.parametrize("pad_value", [-1, 0, 1])
@pytest.mark.parametrize("group", [1, 2])
def test_conv2d_of_signs(backend: str, geometry: dict[str, Any], pad_value: int, group: int) -> None:
    weight, bias, x = weight_of(6, 10 // group, 3, 3), normal(6), normal(2, 10, 7, 8)
    layer = Conv2d(weight, bias, **geometry, group=group, binarize_input=True, pad_value=pad_value)
    full = {"strides": layer.strides, "pads": layer.pads, "dilations": layer.dilations, "group": group}
    counts = reference.conv2d(reference.sign(x), weight.signs(), pad_value=pad_value, **full)  # type: ignore[arg-type]
    assert weight.scale is not None
    close(layer(x), counts * weight.scale.reshape(-1, 1, 1) + bias.reshape(-1, 1, 1))


def test_xnor_nets_scale_map(backend: str) -> None:
    weight, x = weight_of(6, 10, 3, 3), normal(2, 10, 7, 8)
    layer = Conv2d(weight, None, pads=1, strides=2, binarize_input=True, scale_input=True)
    full: dict[str, Any] = {"strides": (2, 2), "pads": (1, 1, 1, 1)}
    counts = reference.conv2d(reference.sign(x), weight.signs(), **full)
    scale = reference.scale_map(x, (3, 3), **full)
    assert weight.scale is not None
    close(layer(x), counts * weight.scale.reshape(-1, 1, 1) * scale[:, np.newaxis])


def test_conv2d_of_real_inputs(backend: str) -> None:
    weight, bias, x = weight_of(6, 10, 3, 3), normal(6), normal(2, 10, 7, 8)
    close(Conv2d(weight, bias, pads=1)(x), Conv2d(weight.dense(), bias, pads=1)(x))


def test_every_instruction_set_gives_the_same_bits() -> None:
    weight, x = weight_of(40, 70, 3, 3), normal(2, 70, 9, 9)
    found = []
    for isa in accel.isa_info()["supported"]:
        with accel.using(isa=isa):
            found.append(Conv2d(weight, None, pads=1, binarize_input=True)(x))
    assert all(y.tobytes() == found[0].tobytes() for y in found)


def test_a_row_alone_is_that_row_of_a_batch() -> None:
    x = normal(5, 130)
    for options in ({}, {"binarize_input": True}, {"binarize_input": True, "scale_input": True}):
        layer = Linear(weight_of(20, 130), normal(20), **options)  # type: ignore[arg-type]
        assert all(layer(x[i : i + 1]).tobytes() == layer(x)[i : i + 1].tobytes() for i in range(5))


def test_empty_inputs() -> None:
    assert Linear(weight_of(4, 9), binarize_input=True)(np.zeros((0, 9), np.float32)).shape == (0, 4)
    assert Linear(weight_of(4, 9))(np.zeros((0, 9), np.float32)).shape == (0, 4)
    assert Conv2d(weight_of(4, 9, 1, 1), binarize_input=True)(np.zeros((0, 9, 2, 2), np.float32)).shape == (0, 4, 2, 2)


def test_what_is_refused() -> None:
    dense = weight_of(4, 9).dense()
    with pytest.raises(ValueError, match=r"binarize_input: expected a Binary weight with it"):
        Linear(dense, binarize_input=True)
    with pytest.raises(ValueError, match=r"scale_input: expected binarize_input with it"):
        Linear(weight_of(4, 9), scale_input=True)
    with pytest.raises(TypeError, match=r"binarize_input: expected a bool, got int 1"):
        Linear(weight_of(4, 9), binarize_input=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"pad_value: expected 0 where the input is not binarized"):
        Conv2d(weight_of(4, 9, 1, 1), pad_value=1)
    with pytest.raises(ValueError, match=r"pad_value: expected an integer in -1..1, got 2"):
        Conv2d(weight_of(4, 9, 1, 1), binarize_input=True, pad_value=2)
    with pytest.raises(ValueError, match=r"x: expected 9 channels"):
        Conv2d(weight_of(4, 9, 1, 1), binarize_input=True)(normal(1, 8, 2, 2))
    with pytest.raises(TypeError, match=r"x: expected float32"):
        Conv2d(weight_of(4, 9, 1, 1), binarize_input=True)(np.zeros((1, 9, 2, 2)))
