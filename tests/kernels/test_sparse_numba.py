"""The Numba kernels of sparse weights, from what a weight holds: against the definition in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.floats import EPS, Convolution, assert_same_bits, conv_error, normal

import accel
from accel.layers.activation import ACTIVATIONS, apply_activation
from accel.weights import NM, Bsr, Csr, CsrCodebook, Weight
from accel.weights.zeros import stored_rows

pytest.importorskip("numba")
from accel.kernels.sparse_numba import sparse_conv2d_numba, sparse_linear_numba

BOUND = 4.0
KINDS = ("float32", "bfloat16", "int8", "4 bits", "5 bits", "blocks", "2:8")
"""4 bits: two codes to a byte, and rows that begin in the middle of one."""


def weight_of(kind: str, w: np.ndarray) -> Weight:
    if kind.endswith("bits"):
        return CsrCodebook.fit(w, int(kind[0]))
    if kind == "blocks":
        return Bsr.from_dense(w, (1, 2))
    return NM.from_dense(w, 2, 8, prune=True) if kind == "2:8" else Csr.from_dense(w, kind)


def sparse(*shape: int, density: float = 0.2, seed: int = 0) -> np.ndarray:
    return normal(*shape, seed=seed) * (np.random.default_rng(seed + 9).random(shape) < density).astype(np.float32)


def linear_error(y: np.ndarray, x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> float:
    """In units of eps sqrt(K) (|bias| + sum |w| |x|)."""
    exact, scale = (f(x).astype(np.float64) @ f(w).T.astype(np.float64) + f(bias) for f in (np.asarray, np.abs))
    return float((np.abs(y - exact) / (EPS * np.sqrt(w.shape[1]) * scale)).max())


@pytest.mark.parametrize("kind", KINDS)
def test_products_of_every_kind(kind: str) -> None:
    for rows, columns in ((1, 8), (7, 40), (33, 1000)):
        weight, bias = weight_of(kind, sparse(rows, columns)), normal(rows, seed=3)
        stored = stored_rows(weight)
        assert stored is not None
        for batch in (1, 3, 17):
            x = normal(batch, columns, seed=batch)
            y = sparse_linear_numba(x, stored, bias)
            assert y.dtype == np.float32 and y.flags.c_contiguous and y.shape == (batch, rows)
            assert linear_error(y, x, weight.dense(), bias) <= BOUND
            assert_same_bits(sparse_linear_numba(x[:1], stored, bias), y[:1])


GEOMETRIES = [
    Convolution(kernel=(1, 1), pads=(0, 0, 0, 0)),
    Convolution(channels=24, out=18, size=(15, 16), strides=(2, 2)),
    Convolution(channels=8, out=10, size=(17, 11), strides=(3, 2), pads=(2, 1, 0, 1), bias=False),
    Convolution(channels=8, out=16, size=(12, 12), dilations=(2, 3), pads=(2, 2, 2, 2)),
    Convolution(channels=24, out=18, group=3, size=(10, 10)),
    Convolution(channels=8, out=5, size=(3, 20), pads=(3, 3, 3, 3), kernel=(7, 5)),
    Convolution(channels=16, out=30, size=(1, 1), kernel=(2, 2), pads=(0, 1, 1, 0)),
]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "blocks"])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_convolutions_of_every_kind(case: Convolution, kind: str) -> None:
    x, w, bias = case.arrays()
    weight = weight_of(kind, sparse(*w.shape))
    stored = stored_rows(weight)
    assert stored is not None
    y = sparse_conv2d_numba(x, stored, bias, None, w.shape, **case.geometry)
    assert conv_error(y, case, x, weight.dense(), bias) <= BOUND
    assert_same_bits(sparse_conv2d_numba(x[1:], stored, bias, None, w.shape, **case.geometry), y[1:])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 6), st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 3)] * 4), st.tuples(st.integers(1, 2), st.integers(1, 2)), st.integers(1, 3),
    st.floats(0, 0.7),
)  # fmt: skip
def test_any_convolution(
    channels: int, out: int, size: Any, kernel: Any, strides: Any, pads: Any, dilations: Any, group: int, density: float
) -> None:
    case = Convolution(channels * group, out * group, size, kernel, strides, pads, dilations, group)
    if not case.fits:
        return
    x, w, bias = case.arrays()
    weight = Csr.from_dense(sparse(*w.shape, density=density))
    y = sparse_conv2d_numba(x, weight.stored_rows(), bias, None, w.shape, **case.geometry)
    assert conv_error(y, case, x, weight.dense(), bias) <= BOUND


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_fused_activations(name: str) -> None:
    """What the operator makes of the plain result, NaN, infinity and large numbers too."""
    weight, bias = Csr.from_dense(sparse(40, 30)), 4 * normal(40, seed=2)
    bias[:9] = np.nan, np.inf, -np.inf, 100, -100, -1e-6, 0, 3, -3
    x = normal(6, 30)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = apply_activation(name, sparse_linear_numba(x, weight.stored_rows(), bias))
        y = sparse_linear_numba(x, weight.stored_rows(), bias, name)
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=1e-7)
    image = normal(2, 5, 4, 4)
    conv = Csr.from_dense(sparse(40, 5, 3, 3))
    with accel.using(backend="numba"), np.errstate(over="ignore", invalid="ignore"):
        plain = accel.Conv2d(conv, bias, pads=1)(image)
        y = accel.Conv2d(conv, bias, pads=1, activation=name)(image)
        np.testing.assert_allclose(y, apply_activation(name, plain), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_special_value_reaches_what_is_stored_for_it_and_nothing_else(value: float) -> None:
    w = np.abs(sparse(20, 15))
    stored, x = Csr.from_dense(w).stored_rows(), normal(4, 15)
    clean = sparse_linear_numba(x, stored)
    x[2, 7] = value
    y = sparse_linear_numba(x, stored)
    hit = np.zeros(y.shape, bool)
    hit[2] = w[:, 7] > 0
    np.testing.assert_array_equal(y[hit], np.float32(value))
    assert_same_bits(y[~hit], clean[~hit])


def test_layers_never_make_the_weight_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS:
        matrix, filters = weight_of(kind, sparse(12, 16)), weight_of(kind, sparse(12, 16, 2, 2))
        with accel.using(backend="numba"), monkeypatch.context() as patched:
            for cls in (Csr, CsrCodebook, Bsr, NM):
                patched.setattr(cls, "dense", lambda self: pytest.fail("made dense"))
            assert accel.Linear(matrix)(normal(2, 16)).shape == (2, 12)
            layer = accel.Conv2d(filters)
            assert layer(normal(1, 16, 4, 4)).shape == (1, 12, 3, 3) and layer(normal(0, 16, 4, 4)).shape[0] == 0
