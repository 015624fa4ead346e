"""spmv: every instruction set against float64, within 4 eps sqrt(n) (|bias| + |scale| sum |w| |x|), n the longest row.

Two additions per value at most are rounded; sums of lanes, the scale and the bias add a few to each row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.floats import EPS, assert_same_bits, normal

import accel
from accel.kernels import program, runtime
from accel.kernels.sparse import SparseArrays
from accel.kernels.spmv import pack_spmv, spmv

pytestmark = pytest.mark.skipif(runtime.core is None, reason="the native kernels are not built")
BOUND = 4.0
ISAS = runtime.isa_info()["supported"]
KINDS = ("f32", "bf16", "i8", "code16", "code256")


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    with accel.using(isa=request.param):
        yield request.param


class Matrix(NamedTuple):
    """A CSR matrix of one kind and what it stands for, in float64 and with the scale."""

    packed: Any
    dense: np.ndarray
    stored: np.ndarray  # where a value is, zero or not


def make(mask: np.ndarray, kind: str = "f32", seed: int = 0, data: np.ndarray | None = None) -> Matrix:
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(mask)
    indptr = np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int32)
    nnz = rows.size
    scale = book = None
    if kind == "f32":
        data = rng.standard_normal(nnz, np.float32) if data is None else data
        values = data
    elif kind == "bf16":
        data = (normal(nnz, seed=seed).view(np.uint32) >> 16).astype(np.uint16)
        values = (data.astype(np.uint32) << 16).view(np.float32)
    elif kind == "i8":
        data = rng.integers(-128, 128, nnz).astype(np.int8)
        scale = 0.01 + 0.1 * rng.random(mask.shape[0], np.float32)
        values = data
    else:
        book = rng.standard_normal(int(kind[4:]), np.float32)
        data = rng.integers(0, book.size, nnz).astype(np.uint8)
        values = book[data]
    dense = np.zeros(mask.shape)
    dense[rows, columns] = values
    packed = pack(data, columns.astype(np.int32), indptr, mask.shape[1], kind, scale, book)
    return Matrix(packed, dense if scale is None else dense * scale[:, None].astype(np.float64), mask)


def pack(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, columns: int, kind: str = "f32", scale: Any = None,
    book: Any = None,
) -> Any:  # fmt: skip
    return pack_spmv(SparseArrays(indptr, indices, data, kind, scale, book), columns)


def random_mask(rows: int, columns: int, density: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((rows, columns)) < density


def check(matrix: Matrix, batch: int = 1, *, bias: bool = True, seed: int = 0) -> None:
    rows, columns = matrix.dense.shape
    x, b = normal(batch, columns, seed=seed), normal(rows, seed=seed + 1) if bias else None
    y = spmv(matrix.packed, x, b)
    assert y.shape == (batch, rows) and y.dtype == np.float32
    expected, scale = x.astype(np.float64) @ matrix.dense.T, np.abs(x).astype(np.float64) @ np.abs(matrix.dense.T)
    if b is not None:
        expected, scale = expected + b, scale + np.abs(b)
    longest = max(int(matrix.stored.sum(1).max(initial=0)), 1)
    assert (np.abs(y - expected) <= BOUND * EPS * np.sqrt(longest) * scale).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_columns_around_groups_and_windows(isa: str, awkward_sizes: list[int], kind: str) -> None:
    for rows in (*awkward_sizes, 1000):
        for columns in (1, 31, 33, 257):
            check(make(random_mask(rows, columns, 0.3, rows), kind))
    for columns in awkward_sizes:
        check(make(random_mask(70, columns, 0.2, columns), kind), 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("density", [0.005, 0.05, 0.5, 1.0])
def test_densities(isa: str, kind: str, density: float) -> None:
    for batch in (1, 3, 4, 9):
        check(make(random_mask(300, 700, density), kind), batch, bias=batch != 3)


def patterns() -> dict[str, np.ndarray]:
    """What a packing by windows could do badly on."""
    skewed = random_mask(500, 3000, 0.004)
    skewed[77] = True
    comb = np.zeros((256, 4096), bool)
    comb[np.arange(256), np.arange(256) * 16] = True  # no two values in one window of many rows
    far = np.zeros((130, 5000), bool)
    far[::2, :40] = far[1::2, -40:] = True  # half of the lanes begin where the others end
    staircase = np.tri(200, 3000, dtype=bool) & (np.arange(3000) % 3 == 0)
    last = np.zeros((64, 100), bool)
    last[:, -1] = True
    return {
        "skewed": skewed,
        "comb": comb,
        "far": far,
        "staircase": staircase,
        "last column": last,
        "one full row": np.ones((1, 5000), bool),
        "one row": random_mask(1, 5000, 0.1),
        "three rows": random_mask(3, 900, 0.6),
        "two full rows": np.repeat([[True], [False], [True]], 2000, axis=1),
        "one column": np.ones((1000, 1), bool),
        "bursts": np.repeat(random_mask(300, 40, 0.1), 40, axis=1),
        "dead columns": random_mask(300, 1600, 0.3) & (np.arange(1600) // 100 % 2 == 0),
        "diagonal": np.eye(700, dtype=bool),
        "empty": np.zeros((50, 60), bool),
        "every second row": random_mask(300, 500, 0.1) & (np.arange(300) % 2 == 0)[:, None],
    }


@pytest.mark.parametrize("name", patterns())
def test_patterns(isa: str, name: str) -> None:
    for kind in ("f32", "i8", "code256"):
        matrix = make(patterns()[name], kind)
        check(matrix, 2)
        assert_memory_is_bounded(matrix, kind)


def assert_memory_is_bounded(matrix: Matrix, kind: str) -> None:
    """Twice compressed sparse rows, and a few cache lines per group of rows."""
    value = {"f32": 4, "bf16": 2}.get(kind, 1)
    rows, nnz = matrix.stored.shape[0], int(matrix.stored.sum())
    assert matrix.packed.nbytes <= 2 * (nnz * (value + 4) + 4 * rows) + 10 * rows + 3000


@pytest.mark.parametrize("kind", ["f32", "code16"])
def test_more_than_65535_rows_or_columns(isa: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    wide = np.zeros((20, 200_000), bool)
    wide[rng.integers(0, 20, 3000), rng.integers(0, 200_000, 3000)] = True
    check(make(wide, kind), 2)
    check(make(np.ascontiguousarray(wide.T), kind), 2)


def test_nothing(isa: str) -> None:
    bias = normal(7)
    assert_same_bits(
        spmv(make(np.zeros((7, 0), bool)).packed, np.zeros((2, 0), np.float32), bias), np.stack([bias] * 2)
    )
    assert spmv(make(np.zeros((0, 5), bool)).packed, np.zeros((2, 5), np.float32)).shape == (2, 0)
    assert spmv(make(np.ones((7, 5), bool)).packed, np.zeros((0, 5), np.float32)).shape == (0, 7)
    assert spmv(make(np.ones((7, 5), bool)).packed, np.zeros(5, np.float32), bias).shape == (7,)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """Random matrices whose rows and columns have densities of their own."""
    rows, columns = draw(st.integers(1, 200)), draw(st.integers(1, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    by_row = rng.choice([0.0, 0.02, 0.2, 1.0], rows) if draw(st.booleans()) else np.full(rows, draw(st.floats(0, 1)))
    by_column = rng.choice([0.0, 0.3, 1.0], columns) if draw(st.booleans()) else np.ones(columns)
    return np.asarray(rng.random((rows, columns)) < by_row[:, None] * by_column)


@settings(max_examples=100, deadline=None)
@given(masks(), st.sampled_from(KINDS), st.integers(1, 5), st.integers(0, 100))
def test_any_pattern(mask: np.ndarray, kind: str, batch: int, seed: int) -> None:
    for isa in ISAS:
        with accel.using(isa=isa):
            matrix = make(mask, kind, seed)
            assert_memory_is_bounded(matrix, kind)
            check(matrix, batch, seed=seed)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(masks(), st.sampled_from(KINDS), st.integers(1, 9), st.integers(0, 100))
def test_any_pattern_at_length(mask: np.ndarray, kind: str, batch: int, seed: int) -> None:
    for isa in ISAS:
        with accel.using(isa=isa):
            check(make(mask, kind, seed), batch, seed=seed)


# -- the same bits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_threads_batch_and_repetition_do_not_change_a_bit(isa: str, kind: str) -> None:
    mask = random_mask(1500, 3000, 0.1)
    mask[700] = True
    x, bias = normal(11, 3000), normal(1500)
    with accel.using(threads=1):
        packed = make(mask, kind).packed
        one = spmv(packed, x, bias)
    for threads in (2, 3, 8):
        with accel.using(threads=threads):
            assert_same_bits(spmv(make(mask, kind).packed, x, bias), one)
            for _ in range(3):
                assert_same_bits(spmv(packed, x, bias), one)
    with accel.using(threads=2):
        for count in range(1, 12):
            assert_same_bits(spmv(packed, x[:count], bias), one[:count])
        for i in range(11):
            assert_same_bits(spmv(packed, x[i], bias), one[i])


@pytest.mark.parametrize("kind", KINDS)
def test_instruction_sets_with_fused_operations_agree(kind: str) -> None:
    fused = [isa for isa in ISAS if isa != "baseline"]
    if len(fused) < 2:
        pytest.skip("fewer than two of them")
    results = set()
    for isa in fused:
        with accel.using(isa=isa):
            packed = make(random_mask(300, 500, 0.2), kind).packed  # dense enough for windows of one width
            results.add(spmv(packed, normal(3, 500)).tobytes())
    assert len(results) == 1


def test_a_matrix_packed_for_another_instruction_set_is_refused() -> None:
    if len(ISAS) < 2:
        pytest.skip("fewer than two of them")
    with accel.using(isa=ISAS[0]):
        packed = make(random_mask(20, 50, 0.2)).packed
    with accel.using(isa=ISAS[1]), pytest.raises(ValueError, match="packed for another isa"):
        spmv(packed, normal(50))


@pytest.mark.parametrize("columns", [31, 40, 63, 64, 65, 200, 3000])
def test_few_floats_in_wide_windows(isa: str, columns: int) -> None:
    for rows in (1, 17, 130, 300):
        check(make(random_mask(rows, columns, 0.03, rows)), 3)


def test_more_floats_than_fit_the_cache_in_wide_windows(isa: str) -> None:
    matrix = make(random_mask(1200, 1300, 0.1))
    check(matrix, 2)
    bad = normal(1300)
    bad[::9] = np.nan
    np.testing.assert_array_equal(np.isnan(spmv(matrix.packed, bad)), matrix.stored[:, ::9].any(1))


# -- special values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["skewed", "far", "bursts", "three rows", "dead columns"])
def test_a_special_x_reaches_the_rows_that_hold_its_column(isa: str, value: float, name: str) -> None:
    mask = patterns()[name]
    matrix, x = make(mask), normal(mask.shape[1])
    clean = spmv(matrix.packed, x)
    for column in range(0, mask.shape[1], max(mask.shape[1] // 60, 1)):
        bad = x.copy()
        bad[column] = value
        y, hit = spmv(matrix.packed, bad), mask[:, column]
        np.testing.assert_array_equal(y[hit], (np.sign(matrix.dense[hit, column]) * value).astype(np.float32))
        assert_same_bits(y[~hit], clean[~hit])


@pytest.mark.parametrize("kind", KINDS)
def test_every_special_x_at_once_stays_out_of_the_other_rows(isa: str, kind: str) -> None:
    mask = random_mask(200, 600, 0.15)
    mask[::3, ::7] = False
    matrix, x = make(mask, kind), normal(600)
    bad = x.copy()
    bad[::7] = np.nan
    hit = mask[:, ::7].any(1)
    y = spmv(matrix.packed, bad)
    assert hit.any() and not hit.all()
    assert np.isnan(y[hit]).all() and np.isfinite(y[~hit]).all()
    assert_same_bits(y[~hit], spmv(matrix.packed, np.where(np.isnan(bad), 0, bad).astype(np.float32))[~hit])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_special_weight_stays_in_its_row(isa: str, value: float) -> None:
    mask = patterns()["skewed"]
    data, x = normal(int(mask.sum())), np.abs(normal(mask.shape[1])) + 0.1
    clean = spmv(make(mask, data=data).packed, x)
    ends = np.cumsum(mask.sum(1))
    for row in (0, 77, 78, 499):
        bad = data.copy()
        bad[ends[row] - 1] = value
        y = spmv(make(mask, data=bad).packed, x)
        np.testing.assert_array_equal(y[row], np.float32(value))
        assert_same_bits(np.delete(y, row), np.delete(clean, row))


def test_stored_zeros_and_books_with_special_values_count(isa: str) -> None:
    mask = random_mask(100, 200, 0.2)
    x = normal(200)
    x[3] = np.inf
    y = spmv(make(mask, data=np.zeros(int(mask.sum()), np.float32)).packed, x)
    np.testing.assert_array_equal(np.isnan(y), mask[:, 3])  # 0 * inf
    rows, columns = np.nonzero(mask)
    indptr = np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int32)
    for entries in (16, 256):
        book = np.full(entries, np.nan, np.float32)
        book[entries - 1] = 2.0
        codes = np.full(rows.size, entries - 1, np.uint8)
        packed = pack(codes, columns.astype(np.int32), indptr, 200, f"code{entries}", None, book)
        assert np.isfinite(spmv(packed, normal(200))).all()


def test_denormals_are_kept(isa: str) -> None:
    matrix = make(np.ones((17, 1), bool), data=np.ones(17, np.float32))
    assert (spmv(matrix.packed, np.full(1, 1e-40, np.float32)) == np.float32(1e-40)).all()


def test_activations_are_those_of_a_step_of_their_own(isa: str) -> None:
    parameters = {"Relu": (), "Clip": (-0.5, 0.75), "LeakyRelu": (0.2,), "HardSigmoid": (0.3, 0.4)}
    packed, x, bias = make(random_mask(150, 90, 0.3)).packed, normal(3, 90), normal(150)
    plain = spmv(packed, x, bias)
    for name in sorted(program.NATIVE_ACTIVATIONS):
        f = program.activation(name, parameters.get(name, ()))
        y, steps = np.empty_like(plain), program.new_program()
        steps.activation(f, plain.size, program.place(0), program.place(1))
        program.run(steps, np.zeros(2, np.uintp), [(0, plain), (1, y)], keep_denormals=True)
        assert_same_bits(spmv(packed, x, bias, f), y)


# -- arguments -----------------------------------------------------------------------------------------------------


def test_only_the_result_is_written_and_nothing_beyond_x_is_read(isa: str) -> None:
    for columns in (5, 31, 32, 33, 700):
        packed = make(random_mask(77, columns, 0.4)).packed
        around = np.full(columns + 128, np.nan, np.float32)
        x = around[61 : 61 + columns]
        x[:] = normal(columns)
        room = np.full(77 + 64, 7.0, np.float32)
        y = room[33 : 33 + 77]
        assert spmv(packed, x, out=y) is y
        assert np.isfinite(y).all() and (room[:33] == 7).all() and (room[33 + 77 :] == 7).all()


X = normal(2, 5)
PACKED = make(np.ones((3, 5), bool)).packed if runtime.core is not None else None
BAD_RUN: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (TypeError, "x: expected a NumPy array", {"x": [1.0]}),
    (TypeError, "x: expected float32, got float64", {"x": X.astype("d")}),
    (ValueError, r"x: expected shape \(..., 5\), got \(2, 4\)", {"x": X[:, :4].copy()}),
    (ValueError, r"x: expected shape \(..., 5\)", {"x": np.ones((), np.float32)}),
    (ValueError, "x: expected a C-contiguous array", {"x": X[:, ::-1]}),
    (ValueError, r"bias: expected shape \(3,\), got \(2,\)", {"bias": normal(2)}),
    (TypeError, "bias: expected float32", {"bias": np.ones(3)}),
    (ValueError, r"out: expected shape \(2, 3\)", {"out": np.empty((2, 2), np.float32)}),
]


@pytest.mark.parametrize(("error", "message", "change"), BAD_RUN)
def test_bad_arguments_are_named(error: type[Exception], message: str, change: dict[str, Any]) -> None:
    with pytest.raises(error, match=message):
        spmv(**{"packed": PACKED, "x": X} | change)


def test_out_has_memory_of_its_own() -> None:
    square = make(np.ones((5, 5), bool)).packed
    with pytest.raises(ValueError, match="out: expected memory of its own"):
        spmv(square, X, out=X)
    y = np.zeros_like(X)
    with pytest.raises(ValueError, match="out: expected memory of its own, got memory of bias"):
        spmv(square, X, y[0], out=y)


I32 = np.int32
CSR: dict[str, Any] = {
    "data": normal(3),
    "indices": np.array([0, 2, 1], I32),
    "indptr": np.array([0, 2, 3], I32),
    "columns": 3,
}
BOOK = np.zeros(16, np.float32)
BAD_CSR: list[tuple[type[Exception], dict[str, Any]]] = [
    (ValueError, {"kind": "f64"}),
    (TypeError, {"data": np.ones(3)}),
    (ValueError, {"data": normal(2)}),
    (TypeError, {"indices": np.array([0, 2, 1])}),
    (ValueError, {"indices": np.array([0, 3, 1], I32)}),
    (ValueError, {"indices": np.array([0, -1, 1], I32)}),
    (ValueError, {"indices": np.array([-1, 0, 1], I32)}),
    (ValueError, {"indices": np.array([2, 0, 1], I32)}),
    (ValueError, {"indices": np.array([1, 1, 1], I32)}),
    (TypeError, {"indptr": np.array([0, 2, 3])}),
    (ValueError, {"indptr": np.array([], I32)}),
    (ValueError, {"indptr": np.array([1, 2, 3], I32)}),
    (ValueError, {"indptr": np.array([0, 2, 4], I32)}),
    (ValueError, {"indptr": np.array([0, 4, 3], I32)}),
    (ValueError, {"indptr": np.array([0, -1, 3], I32)}),
    (ValueError, {"columns": 2}),
    (ValueError, {"columns": -1}),
    (ValueError, {"scale": normal(2)}),
    (ValueError, {"kind": "i8", "data": np.ones(3, np.int8)}),
    (ValueError, {"kind": "i8", "data": np.ones(3, np.int8), "scale": normal(3)}),
    (ValueError, {"kind": "code16", "data": np.ones(3, np.uint8)}),
    (ValueError, {"kind": "code16", "data": np.full(3, 16, np.uint8), "book": BOOK}),
    (ValueError, {"kind": "code256", "data": np.ones(3, np.uint8), "book": BOOK}),
    (TypeError, {"kind": "code16", "data": np.ones(3, np.uint8), "book": BOOK.astype("d")}),
]


@pytest.mark.parametrize(("error", "change"), BAD_CSR)
def test_what_is_no_matrix_is_refused(error: type[Exception], change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {}
    arguments.update(CSR | change)
    assert pack(**CSR).rows == 2
    with pytest.raises(error):
        pack(**arguments)


def test_the_packing_does_not_need_its_arrays() -> None:
    arrays: dict[str, Any] = {
        name: value.copy() if isinstance(value, np.ndarray) else value for name, value in CSR.items()
    }
    packed = pack(**arrays)
    before = spmv(packed, np.ones(3, np.float32))
    for name in ("data", "indices", "indptr"):
        arrays[name][:] = 99
    assert_same_bits(spmv(packed, np.ones(3, np.float32)), before)
