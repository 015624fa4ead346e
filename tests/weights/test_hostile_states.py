"""States of sparse weights out of damaged files: refused as FormatError, or a weight that holds together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accel.errors import FormatError
from accel.weights import NM, Bsr, Csr, CsrCodebook, Weight
from accel.weights.base import weight_kinds

State = tuple[dict[str, np.ndarray], dict[str, Any]]
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


def _elements(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some elements changed: a bit, a neighbour's value, or a number at the edge."""
    changed = array.copy()
    flat = changed.reshape(-1).view(np.uint8)
    if not flat.size:
        return changed
    at = int(rng.integers(flat.size))
    choice = int(rng.integers(3))
    if choice == 0:
        flat[at] ^= 1 << int(rng.integers(8))
    elif choice == 1:
        flat[at] = (0, 1, 127, 128, 254, 255)[int(rng.integers(6))]
    else:
        elements, whom = changed.reshape(-1), rng.integers(changed.size, size=2)
        elements[whom[0]] = elements[whom[1]]
    return changed


def _length(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    choice = int(rng.integers(4))
    if choice == 0:
        return np.ascontiguousarray(array[:-1])
    if choice == 1:
        return np.concatenate([array, array[:1]])
    return array[:0] if choice == 2 else array.reshape(-1)[np.newaxis]


def _dtype(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kinds = (np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64, np.uint16, np.bool_)
    with np.errstate(all="ignore"):
        return array.astype(kinds[int(rng.integers(len(kinds)))])


NASTY = (None, True, -1, 0, 1, 3, 4, 2**31 - 1, 2**31, 2**62, 2**70, 1.5, float("nan"), "4", [], [4], {}, [2, 1])


def _field(meta: dict[str, Any], rng: np.random.Generator) -> None:
    name = list(meta)[int(rng.integers(len(meta)))]
    value = NASTY[int(rng.integers(len(NASTY)))]
    if isinstance(meta[name], list) and meta[name] and rng.random() < 0.8:
        meta[name] = [*meta[name]]
        meta[name][int(rng.integers(len(meta[name])))] = value
    else:
        meta[name] = value


ARRAY_CHANGES: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (
    _elements, _elements, _elements, _elements, _length, _dtype
)  # fmt: skip


def corrupted(state: State, rng: np.random.Generator) -> State:
    arrays, meta = dict(state[0]), dict(state[1])
    for _ in range(1 + int(rng.random() < 0.3)):
        choice = int(rng.integers(len(ARRAY_CHANGES) + 2))
        name = list(arrays)[int(rng.integers(len(arrays)))]
        if choice < len(ARRAY_CHANGES):
            arrays[name] = ARRAY_CHANGES[choice](arrays[name], rng)
        elif choice == len(ARRAY_CHANGES) or len(arrays) == 1:
            _field(meta, rng)
        else:
            other = list(arrays)[int(rng.integers(len(arrays)))]
            arrays[name] = arrays[other]
    return arrays, meta


@pytest.mark.parametrize("name", STATES)
def test_random_corruptions(name: str) -> None:
    """Only FormatError comes out, and what is accepted holds together (every 16th of them is looked at)."""
    kind, state = STATES[name]
    make, rng = weight_kinds()[kind].from_state, np.random.default_rng(0)
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
