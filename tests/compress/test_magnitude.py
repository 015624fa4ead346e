"""Pruning by magnitude."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.compress.magnitude import keep_mask, prune


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.floats(0, 1))
def test_exactly_the_smallest_go(seed: int, size: int, sparsity: float) -> None:
    w = np.random.default_rng(seed).standard_normal((1, size)).astype(np.float32)
    keep = keep_mask(w, sparsity=sparsity)
    assert np.count_nonzero(~keep) == round(sparsity * size)
    if keep.any() and not keep.all():
        assert np.abs(w[~keep]).max() <= np.abs(w[keep]).min()
    np.testing.assert_array_equal(prune(w, sparsity=sparsity), np.where(keep, w, 0))


def test_zeros_that_are_there_count_and_never_stay() -> None:
    w = np.float32([[0, 1, 0, 2, 3, 0]])
    assert keep_mask(w, sparsity=0.0).tolist() == [[False, True, False, True, True, False]]
    assert keep_mask(w, sparsity=0.5).tolist() == [[False, True, False, True, True, False]]
    assert keep_mask(w, sparsity=4 / 6).tolist() == [[False, False, False, True, True, False]]


def test_equal_magnitudes_go_together_or_stay_together() -> None:
    w = np.float32([[1, -1, 1, 0.5]])
    assert keep_mask(w, sparsity=0.5).tolist() == [[True, True, True, False]]
    assert keep_mask(w[:, :3].copy(), sparsity=0.6).all()
    assert not keep_mask(w, sparsity=1.0).any()


def test_quality_is_a_multiple_of_the_standard_deviation() -> None:
    w = np.random.default_rng(0).standard_normal((40, 50)).astype(np.float32)
    for quality in (0.0, 0.5, 1.0):
        np.testing.assert_array_equal(keep_mask(w, quality=quality), np.abs(w) >= quality * w.astype(np.float64).std())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either sparsity or quality"),
        ({"sparsity": 0.5, "quality": 1.0}, "either sparsity or quality"),
        ({"sparsity": 1.5}, "sparsity: expected a share in 0..1, got 1.5"),
        ({"sparsity": float("nan")}, "sparsity: expected a share"),
        ({"quality": -1.0}, "quality: expected a number >= 0"),
    ],
)
def test_wrong_options_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        keep_mask(np.ones((2, 2), np.float32), **options)


def test_wrong_weights_are_named() -> None:
    with pytest.raises(TypeError, match="w: expected float32"):
        keep_mask(np.ones((2, 2)), sparsity=0.5)
    with pytest.raises(ValueError, match="w: expected finite values"):
        keep_mask(np.full((2, 2), np.nan, np.float32), sparsity=0.5)
