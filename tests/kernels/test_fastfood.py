"""Fastfood: every implementation against the product of matrices, its gradients, and each error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from kernels.floats import EPS, IMPLEMENTATIONS, assert_same_bits, normal, using

from accel.kernels import fastfood, fastfood_backward
from accel.kernels._hash import permutations
from accel.kernels.fastfood import Fastfood
from accel.reference import structured as reference

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, for values that are meant
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def arrays(n: int, blocks: int | None = None, seed: int = 0) -> Arrays:
    shape = (n,) if blocks is None else (blocks, n)
    s, g, b = (normal(*shape, seed=seed + i) for i in range(3))
    return s, g, permutations(blocks or 1, n, seed).reshape(shape), b


def error(y: np.ndarray, x: np.ndarray, s: np.ndarray, g: np.ndarray, perm: np.ndarray, b: np.ndarray) -> float:
    """In units of what is promised."""
    n = s.shape[-1]
    blocks = [a.reshape(-1, n) for a in (s, g, perm, b)]
    x = np.concatenate([x, np.zeros((*x.shape[:-1], n - x.shape[-1]), x.dtype)], axis=-1)
    length, worst = np.linalg.norm(x.astype(np.float64), axis=-1, keepdims=True), 0.0
    for k, (sk, gk, pk, bk) in enumerate(zip(*blocks, strict=True)):
        mine = y[..., k * n : (k + 1) * n]
        expected = reference.fastfood(x, sk, gk, pk, bk)[..., : mine.shape[-1]]
        unit = (
            EPS * (2 * math.log2(n) + 4) * np.abs(sk).astype(np.float64) * np.abs(gk).max() * np.abs(bk).max() * length
        )
        worst = max(worst, float((np.abs(mine - expected) / unit[..., : mine.shape[-1]]).max(initial=0)))
    return worst


@pytest.mark.parametrize("bits", range(13))
def test_it_is_the_product_of_its_factors(implementation: str, bits: int) -> None:
    n = 1 << bits
    for rows in [(5,), (), (1,), (2, 3)] if bits < 11 else [(5,)]:
        x, a = normal(*rows, n), arrays(n)
        y = fastfood(x, *a)
        assert y.shape == x.shape and y.dtype == np.float32
        assert error(y, x, *a) <= 1


def test_stacked_blocks_of_other_sizes(implementation: str) -> None:
    for n, blocks, d_in, d_out in [(64, 3, 50, 150), (16, 5, 9, 65), (8, 2, 5, 11), (256, 2, 129, 257), (4, 3, 3, 12)]:
        a = arrays(n, blocks)
        product, x = Fastfood(*a, d_in, d_out), normal(7, d_in)
        y = product(x)
        assert y.shape == (7, d_out)
        assert error(y, x, *a) <= 1
        offset = normal(d_out, seed=9)
        np.testing.assert_allclose(Fastfood(*a, d_in, d_out, offset)(x), y + offset, rtol=1e-6, atol=1e-6)
        z = Fastfood(*a, d_in, d_out, offset, 0.25)(x)
        v = y.astype(np.float64) + offset
        np.testing.assert_allclose(z, 0.25 * np.concatenate([np.cos(v), np.sin(v)], axis=1), atol=1e-6)
        np.testing.assert_array_equal(
            Fastfood(*a, d_in, d_out, amplitude=0.25)(x),
            Fastfood(*a, d_in, d_out, np.zeros(d_out, np.float32), 0.25)(x),
        )


def test_cosine_and_sine_keep_their_bound(isa: str) -> None:
    x = np.concatenate([np.linspace(-8192, 8192, 300_001), np.linspace(-10, 10, 200_001)]).astype(np.float32)
    wild = np.logspace(6, 38.5, 3001, dtype=np.float32)  # integers of turns, and what is no float's half
    wild = np.concatenate([wild, -wild, np.array([np.inf, -np.inf, np.nan], np.float32)])[:, np.newaxis]
    for n in (1, 16):  # of few numbers, and as many rows at a time as there are lanes
        one, perm = np.ones((1, n), np.float32), np.arange(n, dtype=np.int32)[np.newaxis]
        waves = Fastfood(one, one, perm, one, 1, n, amplitude=1.0)
        y = waves(x[:, np.newaxis])[:, [0, n]]
        for mine, exact in zip(y.T, (np.cos, np.sin), strict=True):
            assert (np.abs(mine - exact(x.astype(np.float64))) - 1.2e-7 * np.abs(x)).max() <= 3e-7
        far = waves(wild)
        assert (np.abs(far[:-3]) <= 1.000001).all() and np.isnan(far[-3:]).all()


@pytest.mark.parametrize("name", [name for name in IMPLEMENTATIONS if name.startswith("native")])
def test_a_row_has_the_same_bits_alone_in_a_batch_and_on_any_threads(name: str) -> None:
    for n, blocks in [(8, 3), (16, 2), (32, 3), (64, 64), (128, 2), (256, 2), (1024, 2)]:
        a, x = arrays(n, blocks), normal(70, n)
        with using(name, threads=1):
            y = fastfood(x, *a)
            assert_same_bits(fastfood(x[13], *a), y[13])
            assert_same_bits(fastfood(x[3:9], *a), y[3:9])
        with using(name, threads=2):
            assert_same_bits(fastfood(x, *a), y)


def test_nan_stays_in_its_row(implementation: str) -> None:
    for n in (2, 64, 1024):
        a, x = arrays(n), normal(9, n)
        clean = fastfood(x, *a)
        x[4, n // 2] = np.nan
        y = fastfood(x, *a)
        assert np.isnan(y[4]).all()
        assert_same_bits(np.delete(y, 4, 0), np.delete(clean, 4, 0))


def test_nothing_outside_is_touched(implementation: str) -> None:
    for n, d_out in [(64, 50), (16, 16), (4, 3)]:
        memory = np.full(5 * d_out + 34, 7, np.float32)
        out = memory[17:-17].reshape(5, d_out)
        assert Fastfood(*arrays(n), n, d_out)(normal(5, n), out) is out
        assert (memory[:17] == 7).all() and (memory[-17:] == 7).all()


@pytest.mark.parametrize("blocks", [None, 2])
def test_gradients_are_those_of_differences(implementation: str, blocks: int | None) -> None:
    n, draw = 8, np.random.default_rng(3)
    s, g, perm, b = arrays(n, blocks)
    x = draw.standard_normal((3, n))
    grad = draw.standard_normal((3, n * (blocks or 1)))
    doubles = [a.astype(np.float64) for a in (s, g, b)]

    def loss(x: np.ndarray, s: np.ndarray, g: np.ndarray, b: np.ndarray) -> float:
        rows = zip(*(a.reshape(-1, n) for a in (s, g, perm, b)), strict=True)
        return float((grad * np.concatenate([reference.fastfood(x, *row) for row in rows], axis=1)).sum())

    found = fastfood_backward(grad, x, doubles[0], doubles[1], perm, doubles[2])
    variables = [x, *doubles]
    for at, derivative in enumerate(found):
        assert derivative.shape == variables[at].shape and derivative.dtype == np.float64
        for index in np.ndindex(derivative.shape):
            there, back = ([v.copy() for v in variables] for _ in range(2))
            there[at][index] += 1e-5
            back[at][index] -= 1e-5
            assert abs((loss(*there) - loss(*back)) / 2e-5 - derivative[index]) < 1e-7
    single = fastfood_backward(grad.astype(np.float32), x.astype(np.float32), s, g, perm, b)
    for a, e in zip(single, found, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4)


def test_bad_input_is_named(implementation: str) -> None:
    s, g, perm, b = arrays(8)
    x = normal(2, 8)
    with pytest.raises(ValueError, match=r"x: expected shape \(..., 8\) for s of shape \(8,\), got \(2, 7\)"):
        fastfood(normal(2, 7), s, g, perm, b)
    with pytest.raises(ValueError, match="s: expected a power of two as its last size, got 12; the next is 16"):
        fastfood(normal(2, 12), *(np.ones(12, np.float32),) * 2, np.arange(12, dtype=np.int32), np.ones(12, np.float32))
    with pytest.raises(ValueError, match=r"s: expected shape \(n,\) or \(blocks, n\), got \(0,\)"):
        fastfood(normal(2, 0), *(np.ones(0, np.float32),) * 2, np.zeros(0, np.int32), np.ones(0, np.float32))
    with pytest.raises(TypeError, match="g: expected float32, got float64"):
        fastfood(x, s, g.astype(np.float64), perm, b)
    with pytest.raises(TypeError, match="perm: expected int32, got int64"):
        fastfood(x, s, g, perm.astype(np.int64), b)
    with pytest.raises(ValueError, match=r"b: expected shape \(8,\) as s, got \(4,\)"):
        fastfood(x, s, g, perm, b[:4])
    for bad, told in [(0, "more than once"), (8, "got 8 in block 0"), (-1, "got -1 in block 0")]:
        wrong = perm.copy()
        wrong[perm != 0] = perm[perm != 0]
        wrong[np.flatnonzero(perm == 5)] = bad
        with pytest.raises(ValueError, match=f"perm: expected a permutation of 0..7, .*{told}"):
            fastfood(x, s, g, wrong, b)
    with pytest.raises(ValueError, match="out: expected memory of its own"):
        fastfood(x, s, g, perm, b, out=x)
    frozen = np.empty((2, 8), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable array"):
        fastfood(x, s, g, perm, b, out=frozen)
    with pytest.raises(ValueError, match=r"d_out: expected an integer in 1\.\.8, got 9"):
        Fastfood(s, g, perm, b, 8, 9)


def test_permutations_are_those_of_the_page() -> None:
    for seed in (0, 1, 2**63 - 1):
        assert (permutations(1, 64, seed)[0] == reference.permutation(64, seed)).all()
        assert (np.sort(permutations(3, 32, seed)) == np.arange(32)).all()
    assert permutations(2, 8, 7).tolist() == [[int(i) for i in row] for row in permutations(2, 8, 7)]


@pytest.mark.parametrize(
    ("amplitude", "offset", "error"),
    [
        ("2", False, TypeError),
        ("2", True, TypeError),
        (True, True, TypeError),
        (np.ones(4), True, TypeError),
        (float("nan"), True, ValueError),
        (1e300, True, ValueError),
    ],
)
def test_an_amplitude_is_a_finite_number(amplitude: Any, offset: bool, error: type) -> None:
    diagonal, perm = np.ones(4, np.float32), np.arange(4, dtype=np.int32)
    with pytest.raises(error, match="amplitude: expected"):
        Fastfood(diagonal, diagonal, perm, diagonal, 4, 4, diagonal if offset else None, amplitude)
