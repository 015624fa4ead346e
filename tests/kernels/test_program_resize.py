"""The resampling of blocked maps has the bits of the operator, which makes a pass per axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.board import Board, halo_of
from kernels.floats import assert_same_bits, normal

from accel.kernels import program, runtime
from accel.layers.operators import registry
from accel.layers.operators.resize import samplings

if runtime.core is None:
    pytest.skip("the native kernels are not built", allow_module_level=True)


def resized(x: np.ndarray, sizes: tuple[int, int], halos: tuple[int, int] = (0, 0), **attributes: Any) -> np.ndarray:
    """As the engine's lowering does it."""
    board, shape = Board(), (*x.shape[:2], *sizes)
    found = samplings("Resize", x.shape, (None, None, np.array(shape)), attributes)
    assert found is not None
    axes: dict[int, tuple[list[int], list[float]]] = {
        2: (list(range(x.shape[2])), []),
        3: (list(range(x.shape[3])), []),
    }
    for s in found:
        weights = [] if s.weights is None else s.weights.astype(np.float32).ravel().tolist()
        axes[s.axis] = s.cells.ravel().tolist(), weights
    source, target = program.blocked_map(x.shape, halos[0]), program.blocked_map(shape, halos[1])
    place, (to, slot) = board.put(source, x), board.room(target)
    board.program.resize(source, place, target, to, *axes[2], *axes[3])
    y = board.get(target, to, shape)
    assert (halo_of(target, board.arrays[slot], shape) == 0).all()
    return y


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.integers(1, 2), st.integers(1, 35), st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 19), st.integers(1, 19)),
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_bits_of_the_operator(
    shape: tuple[int, ...], sizes: tuple[int, int], mode: str, coordinates: str, halos: tuple[int, int]
) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    x, wanted = normal(*shape), np.array((*shape[:2], *sizes))
    (expected,) = registry()["Resize"]([x, None, None, wanted], attributes)
    assert_same_bits(resized(x, sizes, halos, **attributes), expected)


@pytest.mark.parametrize("attributes", [{"antialias": 1, "mode": "linear"}, {"exclude_outside": 1, "mode": "cubic"}])
def test_more_cells(isa: str, attributes: dict[str, Any]) -> None:
    x = normal(1, 17, 12, 9)
    (expected,) = registry()["Resize"]([x, None, None, np.array((1, 17, 5, 4))], attributes)
    assert_same_bits(resized(x, (5, 4), **attributes), expected)


def test_nan_and_infinity_stay_where_they_are(isa: str) -> None:
    x = normal(1, 3, 4, 4)
    x[0, 0, 1, 1], x[0, 1, 2, 2], x[0, 2, 3, 3] = np.nan, np.inf, -np.inf
    (expected,) = registry()["Resize"]([x, None, None, np.array((1, 3, 8, 4))], {"mode": "linear"})
    np.testing.assert_array_equal(resized(x, (8, 4), mode="linear"), expected)


BAD = [
    ("maps do not fit", {"target": program.blocked_map((1, 17, 8, 4)) if runtime.core else None}),
    ("maps do not fit", {"source": program.plain_map((1, 16, 4, 4)) if runtime.core else None}),
    ("tables do not fit", {"cells": [0] * 7}),
    ("tables do not fit", {"cells": [0] * 9}),
    ("tables do not fit", {"cells": [0] * 7 + [4]}),
    ("tables do not fit", {"cells": [-1] + [0] * 7}),
    ("tables do not fit", {"weights": [1.0] * 7}),
    ("tables do not fit", {"weights": [1.0] * 8}),
    ("tables do not fit", {"cells": [], "weights": [1.0]}),
]


@pytest.mark.parametrize(("message", "changes"), BAD)
def test_tables_that_do_not_fit_are_refused(message: str, changes: dict[str, Any]) -> None:
    a, b, at = program.blocked_map((1, 16, 4, 4)), program.blocked_map((1, 16, 8, 4)), program.place(0)
    given = {"source": a, "target": b, "cells": [0] * 8, "weights": [], **changes}
    with pytest.raises(ValueError, match=message):
        program.new_program().resize(
            given["source"], at, given["target"], at, given["cells"], given["weights"], [0, 1, 2, 3], []
        )
