"""Circulant and block-circulant products: the definition, on every back end; rows that are no pair; gradients."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.floats import assert_same_bits, using

import accel
from accel.kernels import circulant_matmul, runtime
from accel.kernels.circulant import (
    CirculantPlan,
    block_circulant_grad_r,
    block_circulant_grad_x,
    block_circulant_matmul,
    block_circulant_transpose,
)
from accel.reference import circulant as reference

SIZES = [*range(1, 20), 31, 32, 33, 48, 64, 97, 112, 128, 240, 256, 257, 360, 512, 560, 1000, 1024, 1536, 2048, 4096]
LARGE = [6000, 8192, 10000]  # by parts, and rounds over more rows than one cache holds
BOUND = 3e-7


def normal(shape: int | tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def relative(y: np.ndarray, exact: np.ndarray) -> float:
    """The root mean square of the error, relative to that of the result."""
    return float(np.sqrt(np.square(y - exact).mean() / np.square(exact).mean()))


def by_fft(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """In double: the definition takes seconds where d is large."""
    return np.fft.irfft(np.fft.rfft(x.astype(np.float64)) * np.fft.rfft(r.astype(np.float64)), r.size)


def test_the_surveys_matrix() -> None:
    """R of section 3.3: r down the first column, each further column rotated by one."""
    r0, r1, r2, r3 = 2.0, 3.0, 5.0, 7.0
    printed = np.array([[r0, r3, r2, r1], [r1, r0, r3, r2], [r2, r1, r0, r3], [r3, r2, r1, r0]], np.float32)
    r = np.array([r0, r1, r2, r3], np.float32)
    np.testing.assert_array_equal(reference.dense(r[None, None]), printed)
    np.testing.assert_allclose(circulant_matmul(np.eye(4, dtype=np.float32), r).T, printed, atol=1e-6)


def test_the_definition_is_scipys() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    r, x = normal(21, seed=1), normal((21, 3), seed=2)
    np.testing.assert_array_equal(reference.dense(r[None, None]), linalg.circulant(r))
    row = np.roll(r[::-1], 1)
    exact = linalg.matmul_toeplitz((r.astype(np.float64), row), x.astype(np.float64)).T
    np.testing.assert_allclose(reference.circulant_matmul(x.T, r), exact, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_every_size(implementation: str, batch: int) -> None:
    for d in SIZES + LARGE * implementation.startswith("native"):
        x, r = normal((batch, d), seed=d), normal(d, seed=d + 1)
        exact = by_fft(x, r) if d > 600 else reference.circulant_matmul(x, r)
        assert relative(circulant_matmul(x, r), exact) <= BOUND, d


def test_a_plan_is_the_product(implementation: str) -> None:
    for d in (5, 64, 256, 1024, 2048):
        r = normal(d, seed=1)
        plan = CirculantPlan(r)
        for shape in ((d,), (1, d), (4, d), (2, 3, d)):
            x = normal(shape, seed=2)
            out = np.empty(shape, np.float32)
            assert plan(x, out) is out
            assert relative(out, by_fft(x, r)) <= BOUND
            assert_same_bits(plan(x), out)


@pytest.mark.parametrize("b", [1, 3, 8, 16, 64, 100, 128, 256])
def test_blocks(implementation: str, b: int) -> None:
    for p, q in ((1, 1), (3, 2), (1, 4), (2, 5)):
        r = normal((p, q, b), seed=p)
        for batch in (1, 2, 5, 8, 9):
            x = normal((batch, q * b), seed=batch)
            exact = reference.block_circulant_matmul(x, r)
            assert relative(block_circulant_matmul(x, r), exact) <= BOUND


def test_a_matrix_may_end_inside_a_block(implementation: str) -> None:
    p, q, b = 3, 2, 32
    r, signs = normal((p, q, b), seed=0), np.sign(normal(q * b, seed=3))
    whole = reference.dense(r) * signs
    for out in (65, 80, 96):
        for columns in (33, 64):
            plan = CirculantPlan(r, (out, columns), signs[:columns].copy())
            for batch in (1, 2, 11):
                x = normal((batch, columns), seed=4)
                assert relative(plan(x), x @ whole[:out, :columns].T) <= BOUND
    r1 = normal((1, 1, 64), seed=5)
    for columns, out in ((64, 64), (60, 64), (64, 50), (7, 3)):
        flips = np.sign(normal(columns, seed=6))
        x = normal((3, columns), seed=7)
        exact = x @ (reference.dense(r1)[:out, :columns] * flips).T
        for rows in (x, x[:1]):
            assert relative(CirculantPlan(r1, (out, columns), flips)(rows), exact[: len(rows)]) <= BOUND


@pytest.mark.parametrize("shape", [(1, 1, 256), (1, 1, 100), (2, 3, 64)])
def test_the_same_bits_on_any_number_of_threads(isa: str, shape: tuple[int, int, int]) -> None:
    r = normal(shape, seed=0)
    for batch in (1, 2, 3, 8, 70):
        x = normal((batch, shape[1] * shape[2]), seed=1)
        x[0] *= 1e6  # no pair
        with accel.using(threads=1):
            alone = block_circulant_matmul(x, r)
        with accel.using(threads=2):
            assert_same_bits(block_circulant_matmul(x, r), alone)


def test_many_blocks_share_threads(isa: str) -> None:
    r, x = normal((16, 16, 256), seed=0), normal((3, 4096), seed=1)
    plan = CirculantPlan(r)
    with accel.using(threads=1):
        alone = plan(x)
    with accel.using(threads=2):
        assert_same_bits(plan(x), alone)
    w, blocks = r.astype(np.float64), x.reshape(3, 16, 256).astype(np.float64)
    exact = np.fft.irfft(np.einsum("pqf,bqf->bpf", np.fft.rfft(w), np.fft.rfft(blocks)))
    assert relative(alone, exact.reshape(3, -1)) <= BOUND


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(1, 1, 256), (1, 1, 7), (2, 2, 64)])
def test_what_is_not_finite_stays_in_its_row(implementation: str, bad: float, shape: tuple[int, int, int]) -> None:
    r = normal(shape, seed=0)
    for batch in (2, 5, 9):
        for row in (0, 1, batch - 1):
            x = normal((batch, shape[1] * shape[2]), seed=1)
            x[row, 3] = bad
            y = block_circulant_matmul(x, r)
            others = np.delete(np.arange(batch), row)
            exact = reference.block_circulant_matmul(x[others], r)
            assert not np.isfinite(y[row]).any()
            assert relative(y[others], exact) <= BOUND


def test_rows_of_very_different_size_do_not_share_their_rounding(implementation: str) -> None:
    for shape in ((1, 1, 256), (2, 2, 64)):
        r, x = normal(shape, seed=0), normal((6, shape[1] * shape[2]), seed=1)
        x *= np.array([1, 1e-6, 1e6, 1, 0, 1e-30], np.float32)[:, None]
        y, exact = block_circulant_matmul(x, r), reference.block_circulant_matmul(x, r)
        assert (y[4] == 0).all()
        for row in (0, 1, 2, 3, 5):
            assert relative(y[row], exact[row]) <= 5e-7


def test_largest_and_smallest_numbers(implementation: str) -> None:
    r, x = normal(64, seed=0) * np.float32(1e-3), normal((2, 64), seed=1)
    for scale in (1e37, 1e-30):
        y = circulant_matmul(x * np.float32(scale), r)
        assert relative(y / scale, reference.circulant_matmul(x, r)) <= 5e-7


def test_nothing_is_read_or_written_around_the_arrays(isa: str) -> None:
    for d in (5, 64, 100, 256):
        r = normal(d, seed=0)
        for batch in (1, 3):
            for offset in (1, 3):
                x_memory, y_memory = np.full(batch * d + 9, np.nan, np.float32), np.full(batch * d + 9, 7, np.float32)
                x, y = (m[offset : offset + batch * d].reshape(batch, d) for m in (x_memory, y_memory))
                x[:] = normal((batch, d), seed=1)
                circulant_matmul(x, r, y)
                assert relative(y, by_fft(x, r)) <= BOUND
                assert (y_memory[:offset] == 7).all() and (y_memory[offset + batch * d :] == 7).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 70), st.integers(1, 6))
def test_gradients_are_the_definitions(p: int, q: int, b: int, batch: int) -> None:
    r, x, g = normal((p, q, b), seed=0), normal((batch, q * b), seed=1), normal((batch, p * b), seed=2)
    w = reference.dense(r)
    np.testing.assert_array_equal(reference.dense(block_circulant_transpose(r)), w.T)
    np.testing.assert_allclose(block_circulant_grad_x(g, r), g @ w, atol=1e-4)
    np.testing.assert_allclose(block_circulant_grad_r(g, x, b), reference.gradient_r(g, x, b), atol=1e-4)
    # by r: the sum of g times the product is linear in it
    change = normal((p, q, b), seed=3)
    along = (g * reference.block_circulant_matmul(x, change)).sum()
    assert (reference.gradient_r(g, x, b) * change).sum() == pytest.approx(along, rel=1e-9, abs=1e-9)


def test_a_plan_that_has_run_can_be_copied(implementation: str) -> None:
    plan, x = CirculantPlan(normal((2, 3, 8)), (13, 20), normal(20, seed=1)), normal((2, 20), seed=2)
    y = plan(x)
    assert_same_bits(copy.deepcopy(plan)(x), y)
    assert_same_bits(pickle.loads(pickle.dumps(plan))(x), y)


def test_an_empty_batch(implementation: str) -> None:
    assert circulant_matmul(np.zeros((0, 8), np.float32), normal(8)).shape == (0, 8)
    assert CirculantPlan(normal(8))(np.zeros((2, 0, 8), np.float32)).shape == (2, 0, 8)


def test_bad_arguments_are_named(implementation: str) -> None:
    x, r = normal((2, 8)), normal(8)
    cases = [
        (TypeError, "x: expected a NumPy array", lambda: circulant_matmul([1.0], r)),
        (TypeError, "x: expected float32, got float64", lambda: circulant_matmul(x.astype(np.float64), r)),
        (TypeError, "r: expected float32", lambda: circulant_matmul(x, r.astype(np.float64))),
        (ValueError, "r: expected 1 axes", lambda: circulant_matmul(x, r[None])),
        (ValueError, "r: expected 3 axes", lambda: block_circulant_matmul(x, r)),
        (ValueError, r"r: expected no size 0", lambda: circulant_matmul(np.zeros((2, 0), np.float32), r[:0])),
        (ValueError, r"x: expected shape \(..., 8\)", lambda: circulant_matmul(normal((2, 7)), r)),
        (ValueError, "x: expected a C-contiguous", lambda: circulant_matmul(normal((8, 2)).T, r)),
        (ValueError, r"out: expected shape \(2, 8\)", lambda: circulant_matmul(x, r, normal((2, 7)))),
        (TypeError, "out: expected float32", lambda: circulant_matmul(x, r, np.zeros((2, 8)))),
        (ValueError, "out: expected memory of its own", lambda: circulant_matmul(x, r, x)),
        (ValueError, "out: expected memory of its own", lambda: CirculantPlan(r)(x, x)),
        (ValueError, r"x: expected shape \(..., 8\)", lambda: CirculantPlan(r)(normal((2, 7)))),
        (ValueError, "shape: out", lambda: CirculantPlan(normal((2, 2, 8)), (8, 16))),
        (ValueError, "shape: in", lambda: CirculantPlan(normal((2, 2, 8)), (16, 17))),
        (ValueError, "signs: expected shape", lambda: CirculantPlan(r, signs=normal(7))),
        (ValueError, "r: expected shape", lambda: CirculantPlan(x)),
        (ValueError, "b: expected an integer", lambda: block_circulant_grad_r(x, x, 0)),
        (ValueError, "g: expected a last size", lambda: block_circulant_grad_r(normal((2, 7)), x, 4)),
        (ValueError, "g: expected leading sizes", lambda: block_circulant_grad_r(normal((3, 8)), x, 4)),
    ]
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()
    frozen = normal((2, 8))
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable array"):
        circulant_matmul(x, r, frozen)


def test_the_extension_checks_what_memory_hangs_on() -> None:
    if runtime.core is None:
        pytest.skip("the native kernels are not built")
    prepare = runtime.core.prepare_circulant
    one, empty = (1, 1, 8), (0, 1, 8)
    sizes = [(one, 9, 8), (one, 8, 9), ((2, 1, 8), 8, 8), ((1, 2, 8), 8, 8), (empty, 8, 0)]
    for shape, columns, out in sizes:
        with pytest.raises(ValueError, match="circulant"):
            prepare(0, np.zeros(shape, np.float32), None, columns, out, True)
    with pytest.raises(ValueError, match="signs"):
        prepare(0, np.zeros((1, 1, 8), np.float32), np.ones(7, np.float32), 8, 8, True)
    prepared = prepare(0, np.ones((1, 1, 8), np.float32), None, 8, 8, True)
    for x in (None, np.zeros(8), np.zeros(7, np.float32), np.zeros((), np.float32), np.zeros((8, 8), np.float32).T[:3]):
        assert prepared.multiply(x, None, runtime.threads) is None
    assert prepared.multiply(np.zeros(8, np.float32), np.zeros(7, np.float32), runtime.threads) is None


def test_the_running_instruction_set_is_the_chosen_one(isa: str) -> None:
    length = runtime.core.circulant_length(runtime.isa_index(), 17)
    assert length == {"avx512": 32, "avx2": 24}.get(isa, 20)
    with using(f"native-{isa}"):
        assert runtime.isa() == isa


@pytest.mark.parametrize("shape", [5, (5,), "ab", {7: 1, 11: 2}])
def test_a_shape_that_is_no_pair_is_named(shape: Any) -> None:
    with pytest.raises(TypeError, match="shape: "):
        CirculantPlan(normal((2, 3, 4)), shape)


def test_sizes_of_narrow_integers_count_as_others() -> None:
    g, x = normal((2, 400)), normal((2, 300), seed=1)
    result = block_circulant_grad_r(g, x, np.uint8(100))  # type: ignore[arg-type]
    assert np.array_equal(result, block_circulant_grad_r(g, x, 100))
    assert type(CirculantPlan(normal((1, 1, 100)), (np.int8(100), np.int8(99))).columns) is int  # type: ignore[arg-type]
