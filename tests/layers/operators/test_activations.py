"""Activations: type, NaN, extremes without overflow."""

from __future__ import annotations

import numpy as np
import pytest
from layers.operators.call import floats, refused, run

NAMES = [
    "Relu",
    "LeakyRelu",
    "ThresholdedRelu",
    "Elu",
    "Selu",
    "Celu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Tanh",
    "Softplus",
    "Softsign",
    "Gelu",
    "Mish",
    "Swish",
    "Shrink",
]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_type_and_nan_are_kept(name, dtype):
    y = run(name, np.array([-1.0, np.nan, 1.0], dtype))
    assert y.dtype == dtype and np.isnan(y).tolist() == [False, True, False]


@pytest.mark.parametrize("name", NAMES)
def test_large_numbers_do_not_overflow_on_the_way(name):
    y = run(name, np.float32([-1e4, 1e4]))
    assert np.isfinite(y).all()


def test_relu_keeps_the_sign_of_zero():
    assert np.signbit(run("Relu", np.float32([-0.0, 0.0, -1.0]))).tolist() == [True, False, False]


def test_relu_of_integers():
    y = run("Relu", np.array([-3, 3], np.int8))
    assert y.dtype == np.int8 and y.tolist() == [0, 3]


@pytest.mark.parametrize("x", [-80.0, -20.0, -1.0, 0.0, 3.0, 90.0])
def test_against_the_definitions_in_float64(x):
    e = np.exp
    expected = {
        "Sigmoid": 1 / (1 + e(-x)),
        "Softplus": np.log1p(e(-abs(x))) + max(x, 0),
        "Mish": x * np.tanh(np.log1p(e(-abs(x))) + max(x, 0)),
        "Swish": x / (1 + e(-x)),
        "Elu": x if x > 0 else e(x) - 1,
        "HardSwish": x * min(max(x / 6 + 0.5, 0), 1),
    }
    for name, value in expected.items():
        assert run(name, np.array([x], np.float64))[0] == pytest.approx(value, rel=1e-13), name
        assert run(name, np.array([x], np.float32))[0] == pytest.approx(value, rel=2e-6, abs=1e-37), name


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_family(name, axis):
    x = floats(3, 4, 5) * 50
    y = run(name, x, axis=axis)
    total = (np.exp(y.astype(np.float64)) if name == "LogSoftmax" else y).sum(axis=axis)
    assert y.dtype == np.float32 and np.allclose(total, 1, atol=1e-6)
    with refused(f"{name}: axis: expected in -3..2 for 3 axes, got 3"):
        run(name, x, axis=3)


def test_softmax_of_nothing_and_of_nan():
    assert run("Softmax", np.zeros((2, 0), np.float32)).shape == (2, 0)
    assert np.isnan(run("Softmax", np.float32([[1, np.nan], [1, 2]]))).tolist() == [[True, True], [False, False]]


def test_softmax_in_half_sums_in_single():
    y = run("Softmax", np.zeros((1, 5000), np.float16))
    assert y.dtype == np.float16 and np.allclose(y.astype(np.float64), 1 / 5000, rtol=1e-3)


def test_prelu_broadcasts_one_way():
    x = -np.ones((2, 3, 4), np.float32)
    assert run("PRelu", x, np.float32([[1], [2], [3]]))[0, :, 0].tolist() == [-1, -2, -3]
    assert run("PRelu", x, np.float32([1, 2, 3, 4]))[0, 0].tolist() == [-1, -2, -3, -4]
    with refused("PRelu: expected inputs that fit together, got float32[2, 3, 4], float32[5]"):
        run("PRelu", x, np.ones(5, np.float32))


def test_shrink_of_integers_stays_integer():
    y = run("Shrink", np.array([-3, -1, 0, 1, 3], np.int8), lambd=1.5, bias=1.0)
    assert y.dtype == np.int8 and y.tolist() == [-2, 0, 0, 0, 2]


def test_parameters_are_checked():
    with refused("Celu: alpha: expected a number other than 0, got 0"):
        run("Celu", floats(2), alpha=0.0)
    with refused("Gelu: approximate: expected one of none, tanh, got 'erf'"):
        run("Gelu", floats(2), approximate="erf")
    with refused("SwiGLU: B: expected shape (2,) like A, got (1,)"):
        run("SwiGLU", floats(2), floats(1))
