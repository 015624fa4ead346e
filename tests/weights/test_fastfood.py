"""Fastfood weights: the factors' product, permutations by the page, states there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accel
from accel.errors import FormatError
from accel.formats import container
from accel.reference import structured as reference
from accel.weights import Fastfood


def by_definition(weight: Fastfood) -> np.ndarray:
    out, depth = weight.shape
    blocks, n = weight.s.shape
    perm = [
        sorted(range(n), key=lambda i: reference.hash64(reference.hash64(weight.seed) ^ (k * n + i)))
        for k in range(blocks)
    ]
    h = reference.hadamard(n) / np.sqrt(n)
    rows = [
        np.diag(weight.s[k].astype(np.float64))
        @ h
        @ np.diag(weight.g[k])
        @ np.eye(n)[perm[k]]
        @ h
        @ np.diag(weight.b[k])
        for k in range(blocks)
    ]
    return np.concatenate(rows)[:out, :depth]


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (5, 3), (40, 9), (64, 33), (130, 64)])
def test_dense_is_the_product_of_the_factors(shape: tuple[int, int]) -> None:
    weight = Fastfood.random(shape, seed=11)
    n = 1 << (shape[1] - 1).bit_length()
    blocks = -(-shape[0] // n)
    assert weight.s.shape == (blocks, n) and weight.parameters == 3 * blocks * n and weight.nbytes == 12 * blocks * n
    w = weight.dense()
    assert w.dtype == np.float32 and w.shape == weight.shape == shape
    np.testing.assert_allclose(w, by_definition(weight), rtol=2e-7, atol=1e-6)


def test_random_rows_are_as_long_as_normal_ones() -> None:
    w = Fastfood.random((4096, 256), seed=3, sigma=0.5).dense()
    assert abs(w.std() - 0.5) < 0.01 and abs(w.mean()) < 0.01
    lengths = (w.astype(np.float64) ** 2).sum(axis=1) / 0.25
    assert abs(lengths.mean() - 256) < 3 and abs(lengths.var() - 512) < 100  # chi squared


def test_a_projection_beats_every_change_of_s_or_g() -> None:
    w = np.random.default_rng(2).standard_normal((64, 32)).astype(np.float32)
    found = Fastfood.project(w, seed=4)
    least = ((found.dense() - w) ** 2).sum()
    assert least < (w**2).sum() and (np.abs(found.b) == 1).all()
    for name in ("s", "g"):
        for at in [(0, 3), (1, 20)]:
            for factor in (0.99, 1.01):
                changed = {n: getattr(found, n).copy() for n in ("s", "g", "b")}
                changed[name][at] *= factor
                assert ((Fastfood(**changed, seed=4, shape=w.shape).dense() - w) ** 2).sum() > least


@pytest.mark.parametrize("shape", [(1, 1), (32, 32), (50, 16)])
def test_a_projection_finds_what_can_be_expressed(shape: tuple[int, int]) -> None:
    start = Fastfood.project(np.ones(shape, np.float32), seed=7)  # its signs and permutations
    rng = np.random.default_rng(3)
    s, g = (rng.standard_normal(start.s.shape).astype(np.float32) for _ in range(2))
    w = Fastfood(s, g, start.b, 7, shape).dense()
    np.testing.assert_allclose(Fastfood.project(w, seed=7).dense(), w, atol=1e-5 * np.abs(w).max())


def test_projections_of_other_things() -> None:
    assert not Fastfood.project(np.zeros((3, 5), np.float32)).dense().any()
    with pytest.raises(TypeError, match="w: expected float32"):
        Fastfood.project(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="w: expected finite values"):
        Fastfood.project(np.full((3, 5), np.nan, np.float32))
    with pytest.raises(ValueError, match="shape: expected"):
        Fastfood.project(np.zeros((0, 5), np.float32))


def test_the_permutation_of_a_seed_is_fixed() -> None:
    """Written down: files of other machines depend on it."""
    assert Fastfood.random((8, 8), seed=42).perm.tolist() == [reference.permutation(8, 42).tolist()]
    assert reference.hash64(0) == 0xE220A8397B1DCDAF  # SplitMix64's first output from state 0


@pytest.mark.parametrize("shape", [(5, 3), (100, 60), (1024, 512)])
def test_linear_computes_as_the_dense_form(backend: str, shape: tuple[int, int]) -> None:
    weight = Fastfood.random(shape, seed=1)
    x, bias = (
        np.random.default_rng(i).standard_normal(s, np.float32) for i, s in enumerate([(2, 3, shape[1]), shape[0]])
    )
    layer = accel.Linear(weight, bias, "Relu")
    expected = np.maximum(x.astype(np.float64) @ weight.dense().astype(np.float64).T + bias, 0)
    np.testing.assert_allclose(layer(x), expected, atol=3e-5 * np.sqrt(shape[1]))
    assert layer(np.empty((0, shape[1]), np.float32)).shape == (0, shape[0])


def test_a_file_gives_it_back_bit_by_bit(tmp_path: Path) -> None:
    weight = Fastfood.random((4096, 4096), seed=2**63 - 1)  # stands for more than 1000 times its bytes
    container.write(tmp_path / "w.accel", {}, {"w": weight})
    _, tensors = container.read(tmp_path / "w.accel")
    again = tensors["w"]
    assert isinstance(again, Fastfood) and again.shape == weight.shape and again.seed == weight.seed
    assert all(getattr(again, a).tobytes() == getattr(weight, a).tobytes() for a in ("s", "g", "b"))


def test_bad_states_are_refused() -> None:
    arrays, fields = Fastfood.random((5, 3)).state()
    nasty: list[tuple[str, Any]] = [
        *(("seed", v) for v in (-1, 2**63, 1.5, None, True)),
        *(("shape", v) for v in ([5], [5, 0], [5, 300], [5, 3, 1], "5", [-1, 3], [2**62, 2**62])),
    ]
    for name, value in nasty:
        with pytest.raises(FormatError, match="fastfood weight"):
            Fastfood.from_state(arrays, fields | {name: value})
    for name in arrays:
        for bad in (arrays[name].astype(np.float64), arrays[name][:, :2], np.full_like(arrays[name], np.nan)):
            with pytest.raises(FormatError, match="fastfood weight"):
                Fastfood.from_state({**arrays, name: np.ascontiguousarray(bad)}, fields)
        with pytest.raises(FormatError, match="expected the arrays"):
            Fastfood.from_state({k: v for k, v in arrays.items() if k != name}, fields)


def test_bad_input_is_named() -> None:
    one = np.ones((2, 4), np.float32)
    with pytest.raises(ValueError, match=r"g: expected shape \(2, 4\), blocks x n, got \(1, 4\)"):
        Fastfood(one, one[:1], one, 0, (5, 3))
    with pytest.raises(TypeError, match="b: expected float32"):
        Fastfood(one, one, one.astype(np.float64), 0, (5, 3))
    with pytest.raises(ValueError, match=r"shape: expected \(out, in\), both at least 1"):
        Fastfood(one, one, one, 0, (0, 3))
    with pytest.raises(ValueError, match="seed: expected an integer in"):
        Fastfood(one, one, one, -1, (5, 3))
    with pytest.raises(ValueError, match="sigma: expected a finite number above 0"):
        Fastfood.random((5, 3), sigma=0)


@pytest.mark.parametrize(
    ("sigma", "error"),
    [("1", TypeError), (None, TypeError), (np.ones(2), TypeError), (True, TypeError), (1e300, ValueError)],
)
def test_sigma_is_a_finite_number(sigma: Any, error: type) -> None:
    with pytest.raises(error, match="sigma: expected"):
        Fastfood.random((4, 4), sigma=sigma)
