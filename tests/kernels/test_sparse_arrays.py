"""Compressed sparse rows that are none never reach a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernels.floats import normal

from accel.kernels import runtime
from accel.kernels.sparse import SparseArrays, SparseWeights, sparse_linear

if runtime.core is None:
    pytest.skip("native kernels only", allow_module_level=True)


def arguments() -> dict[str, Any]:
    a = SparseArrays.of(normal(5, 8) * (np.random.default_rng(100).random((5, 8)) < 0.5))
    return {"indptr": a.indptr, "indices": a.indices, "values": a.values, "kind": "f32", "scale": None, "book": None}


BAD: list[tuple[str, Any, str]] = [
    ("indptr", np.array([0, 2], np.int32), "indptr does not fit indices"),
    ("indptr", np.array([1, 2, 3, 4, 5, 6], np.int32), "indptr does not fit indices"),
    ("indices", lambda a: a[::-1].copy(), "columns must ascend"),
    ("indices", lambda a: np.full_like(a, 8), "columns must ascend"),
    ("indices", lambda a: a - 1, "columns must ascend"),
    ("values", lambda a: a[:-1].copy(), "values do not fit"),
    ("values", lambda a: a.astype(np.float64), "values: expected float32, got float64"),
    ("kind", "i8", "values: expected int8, got float32"),
    ("kind", "f64", "kind: expected one of f32, bf16, i8, code16, code256, got 'f64'"),
    ("indices", lambda a: a.astype(np.int64), "indices: expected int32"),
    ("indptr", lambda a: a.astype(np.uint8), "indptr: expected int32"),
    ("scale", np.ones(5, np.float32), "scale does not fit"),
    ("book", np.ones(16, np.float32), "book does not fit"),
    ("book", np.ones(16, np.float64), "book: expected float32"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_bad_arrays_are_refused(name: str, value: Any, message: str) -> None:
    arrays = arguments()
    arrays[name] = value(arrays[name]) if callable(value) else value
    with pytest.raises((TypeError, ValueError), match=message):
        SparseWeights(SparseArrays(**arrays), 8)


def test_positions_at_random_are_refused_or_right() -> None:
    """A wrong position never reaches a kernel."""
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(3000):
        a = arguments()
        name = rng.choice(["indptr", "indices"])
        a[name] = a[name].copy()
        a[name][rng.integers(a[name].size)] = rng.choice([-(2**31), -1, 0, 3, 7, 8, 2**31 - 1])
        try:
            weights = SparseWeights(SparseArrays(**a), 8)
        except ValueError:
            refused += 1
        else:
            assert np.isfinite(sparse_linear(weights, normal(3, 8))).all()
    assert refused > 1000
