"""ProductQuantized: rows made of sub-vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accel
from accel.errors import FormatError
from accel.kernels import linear
from accel.reference.codebook import product_quantized_dense
from accel.weights import ProductQuantized, weight_kinds


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def test_dense_is_the_definition() -> None:
    codes = np.random.default_rng(0).integers(0, 5, (7, 3), dtype=np.uint8)
    weight = ProductQuantized(codes, normal(3, 5, 4), 10)
    assert weight.shape == (7, 10) and weight.dense().flags.c_contiguous
    np.testing.assert_array_equal(weight.dense(), product_quantized_dense(codes, weight.centroids, 10))
    assert weight.parameters == 21 + 60 and weight.nbytes == 21 + 240


def test_fit_finds_sub_vectors_that_are_there() -> None:
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(4, dtype=np.uint8), 20)[:, np.newaxis]
    w = ProductQuantized(codes, rng.standard_normal((1, 4, 6), np.float32)).dense()
    found = min((ProductQuantized.fit(w, 6, 4, seed=s) for s in range(8)), key=lambda q: np.abs(q.dense() - w).max())
    np.testing.assert_allclose(found.dense(), w, rtol=1e-6)


def test_more_centroids_and_smaller_sub_vectors_fit_better() -> None:
    w = normal(300, 22)

    def error(size: int, values: int) -> float:
        return float(np.square(ProductQuantized.fit(w, size, values).dense() - w).mean())

    assert error(4, 64) < error(4, 16) < error(4, 2) and error(2, 16) < error(4, 16)
    assert ProductQuantized.fit(w[:3], 5, 16).centroids.shape == (5, 3, 5)  # no more than rows
    np.testing.assert_allclose(ProductQuantized.fit(w[:3], 5, 16).dense(), w[:3], rtol=1e-6)


def test_a_layer_computes_as_its_dense_form(backend: str) -> None:
    w = ProductQuantized(np.random.default_rng(0).integers(0, 16, (500, 150), dtype=np.uint8), normal(150, 16, 4), 597)
    bias, layer = normal(500, seed=2), accel.Linear(w, normal(500, seed=2), "Relu")
    for rows in (1, 40):
        x = normal(rows, 597, seed=1)
        expected = np.maximum(linear(x, w.dense(), bias), 0)
        np.testing.assert_allclose(layer(x), expected, atol=1e-3)


def test_state_round_trip_and_kind() -> None:
    weight = ProductQuantized.fit(normal(20, 9), 4, 3)
    again = ProductQuantized.from_state(*weight.state())
    np.testing.assert_array_equal(again.dense(), weight.dense())
    assert weight_kinds()["product_quantized"] is ProductQuantized and again.shape == (20, 9)
    assert not again.codes.flags.writeable and not again.centroids.flags.writeable


CODES, CENTROIDS = np.zeros((2, 2), np.uint8), np.zeros((2, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("arrays", "meta", "message"),
    [
        ({"codes": CODES}, {"inputs": 8}, "arrays"),
        ({"codes": CODES, "centroids": CENTROIDS}, {}, "fields"),
        ({"codes": CODES, "centroids": CENTROIDS}, {"inputs": 4}, "inputs: expected an integer in 5..8"),
        ({"codes": CODES, "centroids": CENTROIDS}, {"inputs": "8"}, "inputs: expected an integer"),
        ({"codes": CODES, "centroids": CENTROIDS}, {"inputs": None}, "inputs"),
        ({"codes": CODES.astype(np.int8), "centroids": CENTROIDS}, {"inputs": 8}, "codes as uint8"),
        ({"codes": CODES + np.uint8(3), "centroids": CENTROIDS}, {"inputs": 8}, "codes below 3"),
        ({"codes": CODES, "centroids": CENTROIDS[0]}, {"inputs": 8}, "expected 3 axes"),
        ({"codes": CODES, "centroids": CENTROIDS + np.float32(np.inf)}, {"inputs": 8}, "finite"),
    ],
)
def test_bad_state_is_refused(arrays: dict[str, np.ndarray], meta: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        ProductQuantized.from_state(arrays, meta)


def test_wrong_arguments_are_named() -> None:
    w = np.ones((2, 4), np.float32)
    for change, error, message in [
        ({"size": 0}, ValueError, "size: expected an integer >= 1"),
        ({"values": 257}, ValueError, "values: expected an integer in 1..256"),
        ({"iterations": 0}, ValueError, "iterations"),
        ({"seed": -1}, ValueError, "seed"),
        ({"w": w[:0]}, ValueError, "w: expected shape"),
        ({"w": w.astype(np.float64)}, TypeError, "w: expected float32"),
        ({"w": w * np.float32(np.nan)}, ValueError, "w: expected finite"),
    ]:
        with pytest.raises(error, match=message):
            ProductQuantized.fit(**({"w": w} | change))  # type: ignore[arg-type]
