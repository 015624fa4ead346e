"""Damaged CSR arrays: the products refuse them by TypeError or ValueError, or multiply what they say."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from weights.corruption import corrupted

import accel
from accel.kernels import csr_canonical, csr_matmul, program, runtime
from accel.kernels.sparse import SparseArrays, SparseWeights, sparse_linear
from accel.kernels.spmv import pack_spmv, spmv

ROUNDS = {"native": 100_000, "numba": 5_000, "numpy": 5_000}
COLUMNS = 12


def arrays_of(dtype: type, pointers: type) -> dict[str, np.ndarray]:
    """Rows of four, none, two and three values."""
    return {
        "data": np.arange(1, 10).astype(dtype),
        "indices": np.array([0, 3, 7, 11, 2, 5, 1, 6, 10], np.int32),
        "indptr": np.array([0, 4, 4, 6, 9], pointers),
        "x": np.random.default_rng(0).standard_normal((3, COLUMNS)).astype(dtype),
    }


def product(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, x: np.ndarray) -> np.ndarray:
    """In float64 by the definition, one value after the other."""
    y = np.zeros((x.shape[0], indptr.size - 1))
    for row in range(indptr.size - 1):
        for p in range(indptr[row], indptr[row + 1]):
            y[:, row] += np.float64(data[p]) * x[:, indices[p]].astype(np.float64)
    return y


@pytest.mark.parametrize("pointers", [np.int32, np.int64])
def test_products_at_random(backend: str, pointers: type) -> None:
    """What is accepted is right (every 16th of them is looked at); canonical arrays are accepted or not alike."""
    state, rng = (arrays_of(np.float32, pointers), {}), random.Random(2)
    refused = accepted = 0
    for _ in range(ROUNDS[backend] // 2):
        a: dict[str, Any] = corrupted(state, rng)[0]
        try:
            y = csr_matmul(**a)
        except (TypeError, ValueError):
            refused += 1
            continue
        accepted += 1
        if accepted % 16 == 0 and a["x"].ndim == 2 and a["data"].dtype == np.float32:
            with np.errstate(over="ignore", invalid="ignore"):
                wanted, scale = product(**a), product(np.abs(a["data"]), a["indices"], a["indptr"], np.abs(a["x"]))
                again = csr_canonical(a["data"], a["indices"], a["indptr"], a["x"].shape[1])
                for found in (y, csr_matmul(*again, a["x"])):
                    close = np.abs(found - wanted) <= 1e-6 * scale + 1e-30
                    assert close[scale < 1e38].all()
    assert refused > ROUNDS[backend] // 20 and accepted > ROUNDS[backend] // 20


@pytest.mark.parametrize("dtype", [np.float64, np.int32])
def test_other_dtypes_at_random(backend: str, dtype: type) -> None:
    state, rng = (arrays_of(dtype, np.int64), {}), random.Random(3)
    for _ in range(ROUNDS[backend] // 8):
        a: dict[str, Any] = corrupted(state, rng)[0]
        try:
            y = csr_matmul(**a)
        except (TypeError, ValueError):
            continue
        assert y.dtype == a["data"].dtype and y.shape == (*a["x"].shape[:-1], a["indptr"].size - 1)


@pytest.mark.parametrize("kind", ["f32", "i8", "code16"])
def test_native_packing_at_random(kind: str) -> None:
    """Both forms refuse the same arrays or none, and multiply alike."""
    if not program.native():
        pytest.skip("native kernels only")
    values = {"f32": np.float32, "i8": np.int8, "code16": np.uint8}[kind]
    arrays, rng = arrays_of(values, np.int32), random.Random(4)
    arrays |= {"scale": np.ones(4, np.float32)} if kind == "i8" else {}
    arrays |= {"book": np.arange(16, dtype=np.float32)} if kind == "code16" else {}
    x = arrays.pop("x").astype(np.float32)
    arrays["values"] = arrays.pop("data")
    refused = 0
    for turn in range(10_000):
        a: dict[str, Any] = corrupted((arrays, {}), rng)[0]
        stored = SparseArrays(**a, kind=kind)
        results = []
        for pack, multiply in ((pack_spmv, spmv), (SparseWeights, sparse_linear)):
            try:
                packed = pack(stored, COLUMNS)
                if packed.rows and turn % 8 == 0:
                    results.append(multiply(packed, x))
            except (TypeError, ValueError):
                results.append(None)
        if any(y is None for y in results):
            refused += 1
            assert len(results) == 2 and all(y is None for y in results)
        elif results:
            finite = np.isfinite(results[0])
            np.testing.assert_array_equal(finite, np.isfinite(results[1]))
            np.testing.assert_allclose(results[0][finite], results[1][finite], rtol=1e-5, atol=1e-30 + 1e-5)
    assert refused > 1000


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (3, 5)])
def test_nothing_to_multiply(backend: str, shape: tuple[int, int]) -> None:
    rows, columns = shape
    empty = np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(rows + 1, np.int64)
    for lead in ((), (0,), (2,), (3, 0), (2, 2)):
        y = csr_matmul(*empty, np.ones((*lead, columns), np.float32))
        np.testing.assert_array_equal(y, np.zeros((*lead, rows), np.float32), strict=True)
    for isa in runtime.isa_info()["supported"]:
        with accel.using(backend="native", isa=isa):
            assert not csr_matmul(*empty, np.ones((9, columns), np.float32)).any()
