"""Damaged arrays given to the constructors of sparse weights: refused by TypeError or ValueError, or put in order."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from weights.corruption import State, corrupted
from weights.test_hostile_states import consistent, weights

import accel
from accel.weights import NM, Bsr, Csr, CsrCodebook, Weight

ROUNDS = 15_000
"""Corruptions of each of the weights below: over 100,000 together."""


def arguments(weight: Weight) -> State:
    """What its constructor takes: arrays, and other things."""
    if isinstance(weight, NM):
        return {"values": weight.values, "positions": weight.positions}, {"m": weight.m}
    assert isinstance(weight, (Csr, CsrCodebook, Bsr))
    arrays, meta = {"indices": weight.indices, "indptr": weight.indptr}, {"shape": weight.shape}
    if isinstance(weight, CsrCodebook):
        return arrays | {"codes": weight.codes, "codebook": weight.codebook}, meta
    arrays["data"] = weight.data
    if isinstance(weight, Bsr):
        return arrays, meta | {"block": weight.block}
    return arrays if weight.scale is None else arrays | {"scale": weight.scale}, meta


WEIGHTS = weights()


def definition(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(4, 12): float32 values where they are said to be, those of one place added in their order."""
    out = np.zeros((4, 12), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for row in range(4):
            here = slice(arrays["indptr"][row], arrays["indptr"][row + 1])
            np.add.at(out[row], arrays["indices"][here], arrays["data"][here])
    return out


@pytest.mark.parametrize("name", WEIGHTS)
def test_random_corruptions(name: str) -> None:
    """What is accepted holds together and is what was said (every 16th of them is looked at)."""
    make, state, rng = type(WEIGHTS[name]), arguments(WEIGHTS[name]), random.Random(1)
    refused = accepted = 0
    for _ in range(ROUNDS):
        arrays, meta = corrupted(state, rng)
        try:
            weight = make(**arrays, **meta)
        except (TypeError, ValueError):
            refused += 1
            continue
        accepted += 1
        if accepted % 16 == 0:
            consistent(weight)
            if name == "float32" and arrays["data"].dtype == np.float32 and weight.shape == (4, 12):
                np.testing.assert_array_equal(weight.dense(), definition(arrays))
    assert refused > ROUNDS // 10 and accepted > ROUNDS // 10


EMPTY: list[tuple[Any, ...]] = [(0, 8), (8, 0), (0, 0), (8, 8), (0, 8, 2, 2), (8, 0, 2, 2), (8, 8, 2, 2)]


@pytest.mark.parametrize("shape", EMPTY)
def test_nothing_stored(backend: str, shape: tuple[int, ...]) -> None:
    """Empty rows, no rows and no columns, in every form and through layers."""
    zeros, floats, columns = np.zeros(shape, np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32)
    rows = np.zeros(shape[0] + 1, np.int32)
    made: list[Weight] = [
        Csr(floats, columns, rows, shape),
        Csr(np.zeros(0, np.uint16), columns, rows, shape),
        Csr(np.zeros(0, np.int8), columns, rows, shape, np.ones(shape[0], np.float32)),
        CsrCodebook(np.zeros(0, np.uint8), columns, rows, np.ones(1, np.float32), shape),
        Bsr(np.zeros((0, 2), np.float32), columns, rows[::2].copy(), shape, (2, 1)),
        NM.from_dense(zeros, 2, 4),
    ]
    for weight in made:
        consistent(weight)
        np.testing.assert_array_equal(weight.dense(), zeros, strict=True)
        again = type(weight).from_state(*weight.state())
        np.testing.assert_array_equal(again.dense(), zeros, strict=True)
        if len(shape) == 2:
            y = accel.Linear(weight, np.ones(shape[0], np.float32))(np.ones((3, shape[1]), np.float32))
            np.testing.assert_array_equal(y, np.ones((3, shape[0]), np.float32), strict=True)
        elif 0 not in shape:
            y = accel.Conv2d(weight)(np.ones((1, 8, 3, 3), np.float32))
            np.testing.assert_array_equal(y, np.zeros((1, 8, 2, 2), np.float32), strict=True)
