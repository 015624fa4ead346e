"""Codebook: weights that share values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.errors import FormatError
from accel.weights import Codebook, CsrCodebook, weight_kinds
from accel.weights.zeros import few_values


def pruned(seed: int, size: int = 600, share: float = 0.5) -> np.ndarray:
    w = np.random.default_rng(seed).standard_normal((size // 6, 6)).astype(np.float32)
    w[np.abs(w) < np.quantile(np.abs(w), share)] = 0
    return w


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_fit_keeps_zeros_and_only_zeros(bits: int) -> None:
    w = pruned(bits)
    weight = Codebook.fit(w, bits)
    assert weight.codebook[0] == 0 and weight.codebook.size <= 2**bits
    np.testing.assert_array_equal(weight.dense() == 0, w == 0)
    np.testing.assert_array_equal(weight.codes == 0, w == 0)


def test_fit_is_the_best_of_all_clusterings() -> None:
    """Against every way to cut 9 sorted values into 3 runs: 1-D k-means has no better clusters than runs."""
    w = np.random.default_rng(5).standard_normal((3, 3)).astype(np.float32)
    ordered = np.sort(w.astype(np.float64), axis=None)
    best = min(
        sum(((run - run.mean()) ** 2).sum() for run in np.split(ordered, [a, b]))
        for a in range(1, 8)
        for b in range(a + 1, 9)
    )
    error = np.square(Codebook.fit_values(w, 3).dense().astype(np.float64) - w).sum()
    assert error == pytest.approx(best, rel=1e-5)


def test_as_many_values_as_there_are_make_no_error() -> None:
    w = np.random.default_rng(1).choice(np.float32([-2, 0, 0.5, 7]), (20, 5)).astype(np.float32)
    np.testing.assert_array_equal(Codebook.fit(w, 2).dense(), w)


@pytest.mark.parametrize("fill", [0.0, -0.0, 3.0])
@pytest.mark.parametrize("bits", [1, 4])
def test_constant_weights(fill: float, bits: int) -> None:
    w = np.full((4, 4), fill, np.float32)
    np.testing.assert_array_equal(Codebook.fit(w, bits).dense(), w)


def test_without_keep_zeros_the_error_is_no_larger() -> None:
    w = pruned(3, share=0.05)
    free = np.square(Codebook.fit(w, 3, keep_zeros=False).dense() - w).sum()
    assert free <= np.square(Codebook.fit(w, 3).dense() - w).sum()


def test_parameters_are_the_weights_that_are_left_and_the_codebook() -> None:
    w = pruned(0)
    weight = Codebook.fit(w, 4)
    assert weight.parameters == np.count_nonzero(w) + 16
    assert weight.nbytes == w.size + 64


def test_state_round_trip_and_kind() -> None:
    weight = Codebook.fit(pruned(2), 4)
    again = Codebook.from_state(*weight.state())
    np.testing.assert_array_equal(again.codes, weight.codes)
    np.testing.assert_array_equal(again.codebook, weight.codebook)
    assert weight_kinds()["codebook"] is Codebook
    assert not again.codes.flags.writeable and not again.codebook.flags.writeable


CODES = np.zeros((2, 2), np.uint8)
BOOK = np.zeros(1, np.float32)


@pytest.mark.parametrize(
    ("codes", "codebook", "message"),
    [
        (CODES.astype(np.int8), BOOK, "codes as uint8"),
        (CODES, BOOK.astype(np.float64), "codebook as float32"),
        (CODES + np.uint8(1), BOOK, "codes below 1, the size of the codebook, got 1"),
        (CODES[0], BOOK, r"codes: expected \(out, in\)"),
        (CODES, BOOK[:0], "1..256 values, got 0"),
        (CODES, np.zeros(257, np.float32), "1..256 values, got 257"),
        (CODES, np.full(1, np.nan, np.float32), "finite"),
        (CODES, np.full(1, np.inf, np.float32), "finite"),
        (CODES, BOOK.reshape(1, 1, 1), r"codebook: expected shape \(k,\) or \(groups, k\)"),
        (CODES, np.zeros((3, 2), np.float32), "groups that divides 2"),
    ],
)
def test_bad_state_is_refused(codes: np.ndarray, codebook: np.ndarray, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Codebook.from_state({"codes": codes, "codebook": codebook}, {})


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 300))
def test_any_state_is_a_weight_or_a_format_error(data: bytes, size: int) -> None:
    codes = np.frombuffer(data, np.uint8).reshape(1, -1)
    try:
        weight = Codebook.from_state({"codes": codes, "codebook": np.zeros(size, np.float32)}, {})
    except FormatError:
        return
    assert weight.dense().shape == codes.shape


def test_wrong_arguments_are_named() -> None:
    w = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match=r"bits: expected an integer in 1\.\.8, got 9"):
        Codebook.fit(w, 9)
    with pytest.raises(ValueError, match=r"values: expected an integer in 1\.\.256"):
        Codebook.fit_values(w, 0)
    with pytest.raises(ValueError, match="at least 2 where zeros are kept"):
        Codebook.fit_values(np.float32([[0, 1]]), 1)
    with pytest.raises(ValueError, match="finite"):
        Codebook.fit(np.full((2, 2), np.nan, np.float32))
    with pytest.raises(TypeError, match="w: expected float32"):
        Codebook.fit(w.astype(np.float64))


def test_a_codebook_for_every_group_of_outputs() -> None:
    w = np.random.default_rng(4).standard_normal((12, 50), np.float32) * np.repeat(np.float32([1, 10, 100]), 4)[:, None]
    one, three = Codebook.fit(w, 3), Codebook.fit(w, 3, groups=3)
    assert three.codebook.shape == (3, 8) and three.shape == w.shape
    for group, rows in enumerate(np.split(w, 3)):
        np.testing.assert_array_equal(Codebook.fit(rows, 3).dense(), np.split(three.dense(), 3)[group])
    small = slice(0, 4)
    assert np.square(three.dense() - w)[small].sum() < np.square(one.dense() - w)[small].sum() / 4
    again = Codebook.from_state(*three.state())
    np.testing.assert_array_equal(again.dense(), three.dense())
    assert three.parameters == w.size + 24 and three.nbytes == w.size + 96
    with pytest.raises(ValueError, match="groups: expected to divide the outputs"):
        Codebook.fit(w, 3, groups=5)


def test_groups_with_zeros_stay_codebooks() -> None:
    w = pruned(1, share=0.8)
    weight = Codebook.fit(w, 4, groups=4)
    np.testing.assert_array_equal(weight.dense() == 0, w == 0)
    assert few_values(weight) is None and few_values(Codebook.fit(w, 4)) == np.count_nonzero(w)
    with pytest.raises(ValueError, match="weight: expected one codebook"):
        CsrCodebook.from_codebook(weight)
    layer = accel.Linear(weight)
    np.testing.assert_allclose(layer(np.ones((1, 6), np.float32))[0], weight.dense().sum(1), atol=1e-5)


def test_values_rounded_to_bfloat16() -> None:
    w = np.random.default_rng(4).standard_normal((12, 50), np.float32)
    book = Codebook.fit(w, 4, values="bfloat16").codebook
    assert (book.view(np.uint32) & 0xFFFF == 0).all()
    np.testing.assert_allclose(book, Codebook.fit(w, 4).codebook, rtol=2**-8)
    with pytest.raises(ValueError, match="values: expected one of float32, bfloat16"):
        Codebook.fit(w, 4, values="float16")
    with pytest.raises(ValueError, match="w: expected values that bfloat16 holds"):
        Codebook.fit(np.full((1, 1), np.finfo(np.float32).max), 1, values="bfloat16")
