"""Bsr: pruned weights in blocks of one row or column."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.weights import Bsr

BLOCKS = [(2, 1), (4, 1), (8, 1), (16, 1), (1, 2), (1, 4), (1, 8), (1, 16)]


def blocks(seed: int, rows: int, columns: int, block: tuple[int, int], density: float) -> np.ndarray:
    """A matrix of so many block rows and columns; some values inside the blocks are zero, too."""
    rng = np.random.default_rng(seed)
    kept = np.kron(rng.random((rows, columns)) < density, np.ones(block, bool))
    w = rng.standard_normal(kept.shape).astype(np.float32)
    return np.where(kept & (rng.random(kept.shape) < 0.8), w, np.float32(0))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 5),
    st.integers(0, 5),
    st.sampled_from(BLOCKS),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_from_dense_is_lossless(seed: int, rows: int, columns: int, block: tuple[int, int], density: float) -> None:
    w = blocks(seed, rows, columns, block, density)
    weight = Bsr.from_dense(w, block)
    np.testing.assert_array_equal(weight.dense(), w)
    r, c = block
    kept = sum(bool(w[i : i + r, j : j + c].any()) for i in range(0, rows * r, r) for j in range(0, columns * c, c))
    assert weight.shape == w.shape and weight.parameters == kept * r * c and weight.data.shape == (kept, r * c)
    assert weight.nbytes == 4 * weight.parameters + weight.deltas.size + 4 * (rows + 1)
    exact = weight.csr()
    np.testing.assert_array_equal(exact.dense(), w)
    assert exact.parameters == np.count_nonzero(w) and exact.shape == weight.shape


@pytest.mark.parametrize("block", BLOCKS)
def test_a_convolution(block: tuple[int, int]) -> None:
    w = blocks(1, 32 // block[0], 4 * 3 * 4 * 4 // block[1], block, 0.4).reshape(32, 4 * 3, 4, 4)
    weight = Bsr.from_dense(w, block)
    np.testing.assert_array_equal(weight.dense(), w)
    np.testing.assert_array_equal(weight.csr().dense(), w)


def test_what_is_not_a_number_keeps_its_block() -> None:
    w = np.zeros((4, 3), np.float32)
    w[2, 1] = np.nan
    weight = Bsr.from_dense(w, (2, 1))
    assert weight.parameters == 2
    np.testing.assert_array_equal(weight.csr().dense(), w)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("make", ["bsr_array", "bsr_matrix"])
def test_scipys_matrices(block: tuple[int, int], make: str) -> None:
    scipy_sparse = pytest.importorskip("scipy.sparse")
    w = blocks(2, 3, 5, block, 0.4)
    weight = Bsr.from_scipy(getattr(scipy_sparse, make)(w, blocksize=block))
    np.testing.assert_array_equal(weight.dense(), w)
    assert weight.block == block


def test_scipys_matrices_are_left_alone_and_checked() -> None:
    scipy_sparse = pytest.importorskip("scipy.sparse")
    data = np.arange(6, dtype=np.float32).reshape(3, 2, 1)
    matrix = scipy_sparse.bsr_array((data, np.array([2, 0, 2]), np.array([0, 3])), shape=(2, 3))
    assert Bsr.from_scipy(matrix).dense().tolist() == [[2, 0, 4], [3, 0, 6]]
    assert matrix.indices.tolist() == [2, 0, 2]
    with pytest.raises(TypeError, match="matrix: expected the format bsr, got csr"):
        Bsr.from_scipy(matrix.tocsr())
    with pytest.raises(ValueError, match=r"block: expected \(r, 1\) or \(1, c\) of 2, 4, 8, 16, got \(2, 3\)"):
        Bsr.from_scipy(matrix.tocsr().tobsr(blocksize=(2, 3)))


GOOD = {
    "data": np.array([[1, 2], [3, 4], [5, 6]], np.float32),
    "indices": np.array([2, 0, 1], np.int32),
    "indptr": np.array([0, 2, 3], np.int32),
    "shape": (4, 3),
    "block": (2, 1),
}


def test_rows_are_brought_into_order() -> None:
    weight = Bsr(**GOOD)  # type: ignore[arg-type]
    assert weight.dense().tolist() == [[3, 0, 1], [4, 0, 2], [0, 5, 0], [0, 6, 0]]
    assert weight.indices.tolist() == [0, 2, 1] and not weight.data.flags.writeable


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data": np.zeros((3, 2))}, TypeError, "data: expected float32"),
        ({"data": np.zeros(6, np.float32)}, ValueError, "data: expected 2 axes"),
        ({"data": np.zeros((3, 4), np.float32)}, ValueError, "data: expected blocks of 2 values"),
        ({"data": np.zeros((2, 2), np.float32)}, ValueError, "indices: expected 2 entries as in data, got 3"),
        ({"data": np.zeros((3, 4), np.float32)[:, ::2]}, ValueError, "data: expected a C-contiguous"),
        ({"indices": np.array([0, 0, 1], np.int32)}, ValueError, "indices: expected each column once in a row"),
        ({"indices": np.array([0, 3, 1], np.int32)}, ValueError, r"indices: expected 0\.\.2, got 3"),
        ({"indices": np.array([0, -1, 1], np.int32)}, ValueError, r"indices: expected 0\.\.2, got -1"),
        ({"indices": np.zeros(3, np.int64)}, TypeError, "indices: expected int32"),
        ({"indptr": np.array([0, 3, 2], np.int32)}, ValueError, "indptr: expected ascending"),
        ({"indptr": np.array([0, 1, 2, 2, 3], np.int32)}, ValueError, "indptr: expected 3 entries for 2 rows"),
        ({"shape": (5, 3)}, ValueError, r"block: expected to divide the matrix of 5 x 3, got \(2, 1\)"),
        ({"shape": (4, 2**62)}, ValueError, "shape: expected at most"),
        ({"block": (1, 1)}, ValueError, r"block: expected \(r, 1\) or \(1, c\)"),
        ({"block": (2, 2)}, ValueError, r"block: expected \(r, 1\) or \(1, c\)"),
        ({"block": (3, 1)}, ValueError, r"block: expected \(r, 1\) or \(1, c\)"),
        ({"block": 4}, TypeError, r"block: expected \(r, 1\) or \(1, c\)"),
        ({"block": (2.0, 1)}, TypeError, r"block: expected \(r, 1\) or \(1, c\)"),
    ],
)
def test_every_argument_is_checked(change: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Bsr(**{**GOOD, **change})  # type: ignore[arg-type]


def test_dense_arrays_are_checked() -> None:
    with pytest.raises(ValueError, match=r"block: expected to divide the matrix of 3 x 4, got \(2, 1\)"):
        Bsr.from_dense(np.zeros((3, 4), np.float32), (2, 1))
    with pytest.raises(TypeError, match="w: expected float32"):
        Bsr.from_dense(np.zeros((4, 4)), (2, 1))
