"""NM: N values in every M inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.weights import NM


def pruned(w: np.ndarray, n: int, m: int) -> np.ndarray:
    """By the definition, group by group."""
    out = np.zeros_like(w)
    for row in range(w.shape[0]):
        for start in range(0, w.shape[1], m):
            for tap in np.ndindex(w.shape[2:]):
                group = w[(row, slice(start, start + m), *tap)]
                keep = sorted(range(m), key=lambda i: (-abs(group[i]), i))[:n]
                for i in keep:
                    out[(row, start + i, *tap)] = group[i]
    return out


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 4),
    st.integers(0, 3),
    st.sampled_from([(), (3, 3), (1, 1)]),
    st.sampled_from([(2, 4), (1, 4), (1, 1), (4, 4), (3, 8), (1, 16), (2, 3)]),
)
def test_pruning_keeps_the_largest_and_is_then_exact(
    seed: int, rows: int, groups: int, taps: tuple[int, ...], nm: tuple[int, int]
) -> None:
    n, m = nm
    w = np.random.default_rng(seed).integers(-3, 4, (rows, groups * m, *taps)).astype(np.float32)
    weight = NM.from_dense(w, n, m, prune=True)
    expected = pruned(w, n, m)
    np.testing.assert_array_equal(weight.dense(), expected)
    assert weight.shape == w.shape and weight.values.shape == (rows, *taps, groups, n)
    assert weight.parameters == weight.values.size and weight.nbytes == 5 * weight.values.size
    again = NM.from_dense(expected, n, m)
    np.testing.assert_array_equal(again.dense(), expected)
    exact = weight.csr()
    np.testing.assert_array_equal(exact.dense(), expected)
    assert exact.parameters == np.count_nonzero(expected)


def test_what_is_not_n_of_m_is_refused_by_its_place() -> None:
    w = np.zeros((3, 8), np.float32)
    w[1, 4:7] = 1
    w[2, 0:4] = 1
    message = r"at most 2 values in every 4 inputs, got 3 in row 1, columns 4\.\.7; prune=True keeps the largest"
    with pytest.raises(ValueError, match=message):
        NM.from_dense(w)
    with pytest.raises(ValueError, match=r"got 3 in row 1, columns 4\.\.7 at \(0, 1\); prune=True"):
        NM.from_dense(np.ascontiguousarray(np.stack([0 * w, w], axis=-1)[:, :, np.newaxis]))


def test_what_is_not_a_number_is_kept_first() -> None:
    w = np.array([[9, 8, np.nan, 7], [0, 0, np.nan, 0]], np.float32)
    weight = NM.from_dense(w, 2, 4, prune=True)
    np.testing.assert_array_equal(weight.dense(), [[9, 0, np.nan, 0], [0, 0, np.nan, 0]])
    assert weight.csr().parameters == 3


GOOD = {
    "values": np.ones((2, 3, 2), np.float32),
    "positions": np.tile(np.array([0, 3], np.uint8), (2, 3, 1)),
    "m": 4,
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"values": np.ones((2, 3, 2))}, TypeError, "values: expected float32"),
        ({"values": np.ones((2, 3, 4), np.float32)[..., ::2]}, ValueError, "values: expected a C-contiguous"),
        ({"values": np.ones((6, 2), np.float32)}, ValueError, r"values: expected \(out, in/m, n\)"),
        ({"values": np.ones((2, 3, 5), np.float32)}, ValueError, r"values: expected 1\.\.4 values in a group, got 5"),
        ({"values": np.ones((2, 3, 0), np.float32)}, ValueError, r"values: expected 1\.\.4 values in a group, got 0"),
        ({"values": np.ones((2, 4, 2), np.float32)}, ValueError, r"positions: expected shape \(2, 4, 2\)"),
        ({"positions": np.zeros((2, 3, 2), np.int64)}, TypeError, "positions: expected uint8"),
        ({"positions": np.zeros((2, 3, 2), np.uint8)}, ValueError, "positions: expected ascending values below 4"),
        ({"positions": GOOD["positions"] + np.uint8(1)}, ValueError, "positions: expected ascending values below 4"),
        ({"m": 257}, ValueError, "m: expected an integer"),
        ({"m": 1}, ValueError, r"values: expected 1\.\.1 values"),
        ({"m": 4.0}, TypeError, "m: expected an integer"),
    ],
)
def test_every_argument_is_checked(change: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        NM(**{**GOOD, **change})  # type: ignore[arg-type]


def test_dense_arrays_are_checked() -> None:
    with pytest.raises(ValueError, match="w: expected a multiple of m = 4 as second axis, got float32 array of shape"):
        NM.from_dense(np.zeros((2, 6), np.float32))
    with pytest.raises(TypeError, match="w: expected float32"):
        NM.from_dense(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"n: expected an integer in 1\.\.4, got 5"):
        NM.from_dense(np.zeros((2, 4), np.float32), 5, 4)
