"""The stages of Deep Compression on one layer."""

from __future__ import annotations

import numpy as np
import pytest

from accel.compress.deep_compression import mask, share
from accel.compress.recipe import Recipe
from accel.compress.targets import Layer
from accel.weights import Codebook


def layer(*shape: int, last: bool = False, seed: int = 0) -> Layer:
    return Layer("w", np.random.default_rng(seed).standard_normal(shape).astype(np.float32), last)


@pytest.mark.parametrize("rounding", ["nearest", "sums"])
@pytest.mark.parametrize(("shape", "last"), [((20, 30), False), ((20, 30), True), ((8, 6, 3, 3), False)])
def test_pruned_weights_are_zero_and_values_are_shared(rounding: str, shape: tuple[int, ...], last: bool) -> None:
    one = layer(*shape, last=last)
    keep = mask(one, Recipe(bits=4, sparsity=0.3))
    weight = share(one, keep, 16, rounding)
    dense = weight.dense()
    assert dense.shape == shape and (dense[~keep] == 0).all()
    assert len(np.unique(dense)) <= 16 == weight.codebook.size
    step = np.diff(np.sort(weight.codebook)).max()
    inside = (one.weight > weight.codebook.min()) & (one.weight < weight.codebook.max()) & keep
    assert np.abs(dense - one.weight)[inside].max() <= step


def test_nearest_is_the_plain_codebook() -> None:
    one = layer(20, 30)
    keep = np.ones((20, 30), np.bool_)
    np.testing.assert_array_equal(share(one, keep, 8, "nearest").dense(), Codebook.fit(one.weight, 3).dense())


def test_sums_of_a_row_are_kept() -> None:
    one = layer(30, 16, 3, 3)
    keep = mask(one, Recipe(bits=4, sparsity=0.2))
    errors = {}
    for rounding in ("nearest", "sums"):
        error = share(one, keep, 16, rounding).dense().astype(np.float64) - one.weight
        errors[rounding] = np.abs(error.sum(axis=(1, 2, 3))).mean()
    assert errors["sums"] < 0.1 * errors["nearest"]


def test_transposed_weights_give_the_transposed_result() -> None:
    plain = layer(20, 30)
    turned = Layer("w", np.ascontiguousarray(plain.weight.T), True)
    keep = np.abs(plain.weight) > 0.2
    found = share(turned, np.ascontiguousarray(keep.T), 8).dense()
    np.testing.assert_array_equal(found.T, share(plain, keep, 8).dense())


def test_the_mask_follows_the_recipe() -> None:
    one = layer(40, 50)
    assert mask(one, Recipe(bits=4)).all()
    assert np.count_nonzero(~mask(one, Recipe(bits=4, sparsity={"w": 0.25}))) == 500
    assert mask(one, Recipe(bits=4, sparsity={"v": 0.25})).all()
    assert mask(one, Recipe(bits=4, quality=0.5)).mean() == pytest.approx(0.617, abs=0.03)


@pytest.mark.parametrize("levels", [2, 256])
def test_ends_of_the_range(levels: int) -> None:
    one = layer(20, 30)
    keep = mask(one, Recipe(bits=4, sparsity=0.5))
    assert share(one, keep, levels).codebook.size <= levels
    nothing = share(one, np.zeros((20, 30), np.bool_), levels)
    assert not nothing.dense().any()
