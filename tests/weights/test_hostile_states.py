"""States of sparse weights out of damaged files: refused as FormatError, or a weight that holds together."""

from __future__ import annotations

import random

import numpy as np
import pytest
from weights.corruption import State, corrupted

from accel.errors import FormatError
from accel.weights import NM, Bsr, Csr, CsrCodebook, Weight
from accel.weights.base import weight_kinds

ROUNDS = 20_000
"""Corruptions of each of the states below: over 100,000 together."""


def weights() -> dict[str, Weight]:
    rng = np.random.default_rng(7)
    w = np.where(rng.random((4, 12)) < 0.3, rng.standard_normal((4, 12)), 0).astype(np.float32)
    wide = np.zeros((3, 2, 20, 20), np.float32)
    wide[0, 0, 0, 0] = wide[0, 1, 19, 19] = wide[2, 1, 0, 5] = 1
    return {
        "float32": Csr.from_dense(w),
        "bfloat16": Csr.from_dense(w, "bfloat16"),
        "int8": Csr.from_dense(w, "int8"),
        "wide": Csr.from_dense(wide),
        "codes": CsrCodebook.fit(w, 4),
        "blocks": Bsr.from_dense(w, (2, 1)),
        "2:4": NM.from_dense(w, 2, 4, prune=True),
    }


def plain_state(weight: Csr) -> State:
    """As accel wrote it before there were deltas."""
    return {"data": weight.data, "indices": weight.indices, "indptr": weight.indptr}, weight.state()[1]


STATES: dict[str, tuple[str, State]] = {name: (weight.kind, weight.state()) for name, weight in weights().items()}
STATES["plain"] = "csr", plain_state(weights()["float32"])  # type: ignore[arg-type]


def consistent(weight: Weight) -> None:
    """What every kernel relies on."""
    if weight.size < 10**6:  # the container bounds what a weight may stand for
        assert weight.dense().shape == weight.shape and weight.dense().dtype == np.float32
    row_wise = weight if isinstance(weight, (Csr, CsrCodebook)) else weight.csr()  # type: ignore[attr-defined]
    arrays = row_wise.kernel_arrays()
    rows, columns = weight.shape[0], int(np.prod(weight.shape[1:]))
    assert arrays.indptr.size == rows + 1 and arrays.indptr[0] == 0 and (np.diff(arrays.indptr) >= 0).all()
    assert arrays.indptr[-1] == arrays.values.size == arrays.indices.size
    assert arrays.indices.size == 0 or 0 <= arrays.indices.min() <= arrays.indices.max() < columns
    if arrays.book is not None:
        assert arrays.values.max(initial=0) < arrays.book.size


@pytest.mark.parametrize("name", STATES)
def test_a_state_comes_back_bit_by_bit(name: str) -> None:
    kind, (arrays, meta) = STATES[name]
    weight = weight_kinds()[kind].from_state(arrays, meta)
    consistent(weight)
    if name != "plain":
        again, fields = weight.state()
        assert fields == meta and again.keys() == arrays.keys()
        assert all(again[key].tobytes() == arrays[key].tobytes() for key in arrays)
        assert all(again[key].dtype == arrays[key].dtype for key in arrays)


@pytest.mark.parametrize("name", STATES)
def test_random_corruptions(name: str) -> None:
    """Only FormatError comes out, and what is accepted holds together (every 16th of them is looked at)."""
    kind, state = STATES[name]
    make, rng = weight_kinds()[kind].from_state, random.Random(0)
    refused = accepted = 0
    for _ in range(ROUNDS):
        arrays, meta = corrupted(state, rng)
        try:
            weight = make(arrays, meta)
        except FormatError:
            refused += 1
            continue
        accepted += 1
        if accepted % 16 == 0:
            consistent(weight)
    assert refused > ROUNDS // 10 and accepted > 0


@pytest.mark.parametrize("name", STATES)
def test_every_part_and_field_is_needed_and_nothing_else(name: str) -> None:
    kind, (arrays, meta) = STATES[name]
    make = weight_kinds()[kind].from_state
    for part in arrays:
        with pytest.raises(FormatError):
            make({key: value for key, value in arrays.items() if key != part}, meta)
    for field in meta:
        with pytest.raises(FormatError):
            make(arrays, {key: value for key, value in meta.items() if key != field})
    with pytest.raises(FormatError, match="expected the arrays"):
        make({**arrays, "more": np.zeros(1, np.float32)}, meta)
    with pytest.raises(FormatError, match="expected the fields"):
        make(arrays, {**meta, "more": 1})


def test_shapes_that_overflow_are_refused() -> None:
    for name in ("float32", "codes", "blocks", "plain"):
        kind, (arrays, meta) = STATES[name]
        for shape in ([4, 2**63], [4, 2**31, 2**31], [4, 0, 2**70], [2**62, 12], [4, 2**32]):
            with pytest.raises(FormatError):
                weight_kinds()[kind].from_state(arrays, {**meta, "shape": shape})
