"""Which weights have enough zeros to be worth leaving them out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accel.weights import NM, Bsr, Codebook, Csr, CsrCodebook, Dense
from accel.weights.zeros import MOST_DENSE, few_values, sparse_arrays, stored_rows


def pruned(*shape: int, share: float, seed: int = 0) -> np.ndarray:
    """A `share` of zeros, at random but exactly so many."""
    rng = np.random.default_rng(seed)
    w = rng.random(shape, np.float32) + np.float32(0.5)
    w.reshape(-1)[rng.permutation(w.size)[: round(share * w.size)]] = 0
    return w


def dense_of(arrays: Any, shape: tuple[int, ...]) -> np.ndarray:
    values = arrays.values
    if arrays.kind == "bf16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    elif arrays.kind == "i8":
        values = values * np.repeat(arrays.scale, np.diff(arrays.indptr))
    elif arrays.book is not None:
        values = arrays.book[values]
    w = np.zeros((shape[0], int(np.prod(shape[1:]))), np.float32)
    w[np.repeat(np.arange(shape[0]), np.diff(arrays.indptr)), arrays.indices] = values
    return w.reshape(shape)


def test_the_share_decides() -> None:
    for shape in ((40, 50), (300, 700), (16, 8, 3, 3)):
        for share, few in ((0.0, False), (0.25, False), (1 - MOST_DENSE + 0.02, True), (0.9, True), (1.0, True)):
            w = pruned(*shape, share=share)
            arrays = sparse_arrays(w)
            assert (arrays is not None) is few, (shape, share)
            assert few_values(w) == (None if arrays is None else arrays.values.size)
            if arrays is not None:
                np.testing.assert_array_equal(dense_of(arrays, shape), w)


@pytest.mark.parametrize("period", [2, 4, 64, 128, 512])
def test_zeros_in_a_pattern_are_seen(period: int) -> None:
    """Whole columns of zeros, which a sample at equal distances could miss."""
    for kept in (0, 1, period - 1):
        w = np.zeros((1024, 512), np.float32)
        w[:, kept::period] = 1
        arrays = sparse_arrays(w)
        assert arrays is not None and arrays.values.size == np.count_nonzero(w)


@pytest.mark.parametrize(
    "w",
    [
        np.zeros(100, np.float32), np.zeros((10, 10)), np.zeros((10, 10), np.int8), np.zeros((0, 10), np.float32),
        np.zeros((10, 0), np.float32), Dense(np.zeros((10, 10), np.float32)),
    ],
    ids=["one axis", "float64", "int8", "no rows", "no columns", "a dense weight"],
)  # fmt: skip
def test_nothing_to_leave_out(w: Any) -> None:
    assert sparse_arrays(w) is None


def test_any_strides() -> None:
    w = pruned(60, 80, share=0.8)
    arrays = sparse_arrays(w.T)
    assert arrays is not None
    np.testing.assert_array_equal(dense_of(arrays, (80, 60)), w.T)


MAKE: dict[str, Any] = {
    "csr": Csr.from_dense, "bfloat16": lambda w: Csr.from_dense(w, "bfloat16"),
    "int8": lambda w: Csr.from_dense(w, "int8"), "csr codebook": lambda w: CsrCodebook.fit(w, 4),
    "wide codebook": lambda w: CsrCodebook.fit(w, 6), "bsr": lambda w: Bsr.from_dense(w, (2, 1)),
    "codebook": lambda w: Codebook.fit(w, 4),
}  # fmt: skip


@pytest.mark.parametrize("kind", MAKE)
def test_weights_of_every_kind(kind: str) -> None:
    weight = MAKE[kind](pruned(24, 40, share=0.85))
    arrays = sparse_arrays(weight)
    assert arrays is not None
    np.testing.assert_array_equal(dense_of(arrays, weight.shape), weight.dense())
    assert few_values(weight) == arrays.values.size
    rows = stored_rows(weight)
    assert rows is not None and rows.kind == arrays.kind and rows.deltas.dtype == np.uint8
    full = MAKE[kind](pruned(24, 40, share=0.1))
    assert sparse_arrays(full) is few_values(full) is stored_rows(full) is None


def test_n_of_m() -> None:
    w = np.where(np.arange(24 * 40).reshape(24, 40) % 4 < 2, 1, 0).astype(np.float32)
    arrays = sparse_arrays(NM.from_dense(w, 2, 4))
    assert arrays is not None
    np.testing.assert_array_equal(dense_of(arrays, w.shape), w)


@pytest.mark.parametrize("values", [2, 16, 17, 256])
@pytest.mark.parametrize("zeros", [(1,), (0,), (0, 1)])
@pytest.mark.parametrize("shape", [(3, 5), (7, 64), (2, 65), (5, 3, 3, 3), (0, 4), (4, 0)])
def test_codes_become_rows_without_those_of_zero(values: int, zeros: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Of one code of 0.0 straight, of several by CsrCodebook."""
    rng = np.random.default_rng(values)
    codes = rng.integers(0, values, shape).astype(np.uint8)
    codes[rng.random(shape) < 0.8] = zeros[-1]
    book = rng.uniform(1, 2, values).astype(np.float32)
    book[list(zeros)] = 0
    weight = Codebook(codes, book)
    arrays = sparse_arrays(weight)
    assert (arrays is None) == (few_values(weight) is None)
    if arrays is not None:
        assert arrays.indptr.dtype == arrays.indices.dtype == np.int32 and arrays.values.dtype == np.uint8
        np.testing.assert_array_equal(dense_of(arrays, shape), weight.dense())
        assert (dense_of(arrays, shape) != 0).sum() == arrays.indices.size
