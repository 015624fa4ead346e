"""Hashed weights: the written hash, the projection, states there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accel
from accel.errors import FormatError
from accel.formats import container
from accel.reference import structured as reference
from accel.weights import Hashed


def values(count: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(count, np.float32)


@pytest.mark.parametrize(("shape", "count", "seed"), [((1, 1), 1, 0), ((5, 7), 3, 9), ((33, 20), 100, 2**63 - 1)])
def test_dense_is_what_the_hash_says(shape: tuple[int, int], count: int, seed: int) -> None:
    weight = Hashed(values(count), seed, shape)
    assert weight.parameters == count and weight.nbytes == 4 * count
    assert (weight.dense() == reference.unhash(values(count), shape, seed)).all()


def test_every_value_and_both_signs_are_used_about_equally() -> None:
    w = Hashed(np.arange(1, 17, dtype=np.float32), 5, (256, 256)).dense()
    counts = np.bincount(np.abs(w).astype(int).ravel())[1:]
    assert counts.size == 16 and abs(counts - 4096).max() < 300
    assert abs((w > 0).mean() - 0.5) < 0.01


def test_the_projection_is_the_nearest() -> None:
    w = np.random.default_rng(2).standard_normal((30, 40), np.float32)
    best = Hashed.project(w, 50, seed=4)
    # The residual is orthogonal to every shared number's place in the matrix.
    for k in range(50):
        unit = np.zeros(50, np.float32)
        unit[k] = 1
        assert abs((Hashed(unit, 4, w.shape).dense() * (w - best.dense())).sum(dtype=np.float64)) < 1e-4
    exact = Hashed(values(9), 7, (12, 11))
    np.testing.assert_allclose(Hashed.project(exact.dense(), 9, seed=7).values, exact.values, rtol=1e-6)


def test_linear_computes_as_the_dense_form(backend: str) -> None:
    weight = Hashed(values(100), 3, (70, 50))
    x, bias = values(150).reshape(3, 50), values(70)
    expected = np.maximum(x.astype(np.float64) @ weight.dense().astype(np.float64).T + bias, 0)
    np.testing.assert_allclose(accel.Linear(weight, bias, "Relu")(x), expected, atol=1e-4)


def test_a_file_gives_it_back_bit_by_bit(tmp_path: Path) -> None:
    weight = Hashed(values(100), 12345, (3000, 2000))
    container.write(tmp_path / "w.accel", {}, {"w": weight})
    again = container.read(tmp_path / "w.accel")[1]["w"]
    assert isinstance(again, Hashed) and again.shape == weight.shape and again.seed == weight.seed
    assert again.values.tobytes() == weight.values.tobytes()


def test_bad_states_are_refused() -> None:
    arrays, fields = Hashed(values(5), 1, (5, 3)).state()
    nasty: list[tuple[str, Any]] = [
        *(("seed", v) for v in (-1, 2**63, 1.5, None, True)),
        *(("shape", v) for v in ([5], [5, 0], [5, 3, 1], "5", [-1, 3], [2**62, 2**62])),
    ]
    for name, value in nasty:
        with pytest.raises(FormatError, match="hashed weight"):
            Hashed.from_state(arrays, fields | {name: value})
    for bad in (arrays["values"][:0], arrays["values"].astype(np.float64), np.full(5, np.inf, np.float32)):
        with pytest.raises(FormatError, match="hashed weight"):
            Hashed.from_state({"values": bad}, fields)
