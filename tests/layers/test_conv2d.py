"""accel.Conv2d: the kernel's bits, weights of every kind, and each error."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import accel
from accel.kernels import conv2d, runtime
from accel.layers.activation import ACTIVATIONS, apply_activation


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


W, B, X = normal(18, 5, 3, 3), normal(18, seed=1), normal(2, 10, 7, 6, seed=2)
GEOMETRY: dict[str, Any] = {"strides": (2, 1), "pads": (1, 0, 2, 1), "dilations": (1, 2), "group": 2}


def test_it_computes_what_the_kernel_does(backend: str) -> None:
    layer = accel.Conv2d(W, B, **GEOMETRY)
    for x in (X, X[:1], X[:0]):
        np.testing.assert_array_equal(layer(x), conv2d(x, W, B, **GEOMETRY), strict=True)


def test_weights_are_packed_once() -> None:
    if accel.isa_info()["backend"] != "native":
        pytest.skip("only native kernels pack")
    layer = accel.Conv2d(W, B, **GEOMETRY)
    first = layer(X)
    packed = layer._packed
    for isa in accel.isa_info()["supported"]:
        with accel.using(isa=isa):
            np.testing.assert_array_equal(layer(X), conv2d(X, W, B, **GEOMETRY))
    assert packed is not None and layer._packed is packed
    np.testing.assert_array_equal(layer(X), first)


def test_pads_in_every_form(backend: str) -> None:
    expected = conv2d(X, W, group=2, pads=1)
    for pads in (1, (1, 1), (1, 1, 1, 1)):
        np.testing.assert_array_equal(accel.Conv2d(W, group=2, pads=pads)(X), expected)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(backend: str, name: str) -> None:
    layer = accel.Conv2d(W, B, **GEOMETRY, activation=name)
    np.testing.assert_array_equal(layer(X), apply_activation(name, conv2d(X, W, B, **GEOMETRY)))


def test_compressed_weights_compute_as_their_dense_form(backend: str) -> None:
    sparse = np.where(np.abs(W) < 1, np.float32(0), W)
    for weight in (
        accel.weights.Dense(W),
        accel.weights.Csr.from_dense(sparse),
        accel.weights.Codebook.fit(W, bits=4),
    ):
        layer = accel.Conv2d(weight, B, **GEOMETRY)
        assert layer.weight is weight
        expected = conv2d(X, weight.dense(), B, **GEOMETRY)
        if isinstance(weight, accel.weights.Csr):  # sums in another order
            np.testing.assert_allclose(layer(X), expected, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(layer(X), expected)


BAD: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
    (TypeError, "weight: expected a NumPy array, got list", ([1.0],), {}),
    (TypeError, "weight: expected float32, got int8", (W.astype(np.int8),), {}),
    (ValueError, "weight: expected 4 axes", (W[0],), {}),
    (ValueError, r"weight: expected 4 axes, got shape \(18, 45\)", (accel.weights.Dense(W.reshape(18, 45)),), {}),
    (ValueError, r"bias: expected shape \(18,\), got \(5,\)", (W, normal(5)), {}),
    (ValueError, "algorithm: expected one of auto, direct, .*, got 'none'", (W,), {"algorithm": "none"}),
    (ValueError, "strides: expected an integer in 1..2147483647, got 0", (W,), {"strides": 0}),
    (TypeError, "dilations: expected an integer or a pair, got str '2'", (W,), {"dilations": "2"}),
    (ValueError, "pads: expected an integer in 0..2147483647, got -1", (W,), {"pads": (0, -1)}),
    (ValueError, "group: expected an integer >= 1, got 0", (W,), {"group": 0}),
    (ValueError, "activation: expected None or one of Relu", (W,), {"activation": "Gelu"}),
]


@pytest.mark.parametrize(("error", "message", "arguments", "options"), BAD)
def test_bad_arguments_are_named(
    error: type[Exception], message: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message):
        accel.Conv2d(*arguments, **options)


@pytest.mark.parametrize(
    ("error", "message", "x"),
    [
        (TypeError, "x: expected float32, got float64", X.astype(np.float64)),
        (ValueError, "x: expected 4 axes", X[0]),
        (ValueError, r"w: expected shape \(O, 9/group, kh, kw\)", X[:, :9].copy()),
        (ValueError, "x: expected a C-contiguous array", X.transpose(0, 1, 3, 2)),
        (ValueError, "does not fit", X[:, :, :1, :1].copy()),
    ],
)
def test_bad_inputs_are_named(error: type[Exception], message: str, x: Any) -> None:
    with pytest.raises(error, match=message):
        accel.Conv2d(W, group=2)(x)


def test_groups_that_do_not_divide_the_filters_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="group: expected to divide the 4 filters of weight, got 3"):
        accel.Conv2d(np.zeros((4, 3, 1, 1), np.float32), group=3)


@pytest.mark.parametrize("groups", [1, 4])
def test_a_large_kernel_of_one_pixel_runs_from_its_codes(groups: int) -> None:
    rng = np.random.default_rng(0)
    book = rng.standard_normal((groups, 16), np.float32)
    weight = accel.weights.Codebook(rng.integers(0, 16, (512, 256, 5, 5), dtype=np.uint8), book)
    bias, x = rng.standard_normal(512, np.float32), rng.standard_normal((2, 256, 5, 5), np.float32)
    layer = accel.Conv2d(weight, bias, activation="Relu")
    if runtime.core is not None and runtime.isa() == "avx512":
        assert layer._own is not None and layer._own.serves(x)
        assert not layer._own.serves(np.zeros((1, 256, 60, 60), np.float32))
    expected = np.maximum(conv2d(x, weight.dense(), bias), 0)
    np.testing.assert_allclose(layer(x), expected, atol=1e-3)


def test_a_called_layer_is_pickled_without_what_is_packed(backend: str) -> None:
    circulant = accel.weights.BlockCirculant(normal(2, 2, 8, 1, 1, seed=3))
    for layer, x in (
        (accel.Conv2d(W, B, activation="Relu", **GEOMETRY), X),
        (accel.Conv2d(accel.weights.Binary.from_dense(W), B, **GEOMETRY, binarize_input=True, pad_value=-1), X),
        (accel.Conv2d(circulant), normal(1, 16, 5, 5)),
    ):
        y = layer(x)
        again = pickle.loads(pickle.dumps(layer))
        assert not again._packed
        np.testing.assert_array_equal(again(x), y)
        np.testing.assert_array_equal(copy.deepcopy(layer)(x), y)
