"""Random damage to the arrays and fields that a weight is made of."""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # a number from it costs a tenth of one from NumPy's
from typing import Any

import numpy as np

State = tuple[dict[str, np.ndarray], dict[str, Any]]
EDGES = (-(2**31), -1, 0, 1, 2, 11, 12, 13, 255, 2**31 - 1)
KINDS = tuple(map(np.dtype, ("float32", "float64", "int8", "uint8", "int32", "int64", "uint16", "bool")))
NASTY = (None, True, -1, 0, 1, 3, 4, 2**31 - 1, 2**31, 2**62, 2**70, 1.5, float("nan"), "4", [], [4], {}, [2, 1])


def _elements(array: np.ndarray, rng: Random) -> np.ndarray:
    """Some elements changed: a bit, a byte, a neighbour's value, two exchanged, or a number at the edge."""
    if not array.size:
        return array
    changed = array.copy()
    flat, choice = changed.reshape(-1), rng.randrange(5)
    i, j = rng.randrange(flat.size), rng.randrange(flat.size)
    if choice == 0:
        flat.view(np.uint8)[i] ^= 1 << rng.randrange(8)
    elif choice == 1:
        flat.view(np.uint8)[j] = (0, 1, 127, 128, 254, 255)[rng.randrange(6)]
    elif choice == 2:
        flat[i] = flat[j]
    elif choice == 3:
        flat[i], flat[j] = flat[j], flat[i]
    else:
        edge = EDGES[rng.randrange(len(EDGES))]
        flat[i] = np.nan if array.dtype.kind == "f" else np.int64(edge).astype(array.dtype)
    return changed


def _length(array: np.ndarray, rng: Random) -> np.ndarray:
    choice = rng.randrange(4)
    if choice == 0:
        return np.ascontiguousarray(array[:-1])
    if choice == 1:
        return np.concatenate([array, array[:1]])
    return array[:0] if choice == 2 else array.reshape(-1)[np.newaxis]


def _dtype(array: np.ndarray, rng: Random) -> np.ndarray:
    with np.errstate(all="ignore"):
        return array.astype(KINDS[rng.randrange(len(KINDS))])


def _field(meta: dict[str, Any], rng: Random) -> None:
    name, value = rng.choice(list(meta)), rng.choice(NASTY)
    if isinstance(meta[name], (list, tuple)) and meta[name] and rng.random() < 0.8:
        meta[name] = [*meta[name]]
        meta[name][rng.randrange(len(meta[name]))] = value
    else:
        meta[name] = value


_CHANGES: tuple[Callable[[np.ndarray, Random], np.ndarray], ...] = (*[_elements] * 4, _length, _dtype)


def corrupted(state: State, rng: Random) -> State:
    """A copy with one change, sometimes two, to an element, a length, a dtype, a field, or an array for another."""
    arrays, meta = dict(state[0]), dict(state[1])
    for _ in range(1 + (rng.random() < 0.3)):
        choice, name = rng.randrange(len(_CHANGES) + 2), rng.choice(list(arrays))
        if choice < len(_CHANGES):
            arrays[name] = _CHANGES[choice](arrays[name], rng)
        elif meta and (choice == len(_CHANGES) or len(arrays) == 1):
            _field(meta, rng)
        else:
            arrays[name] = arrays[rng.choice(list(arrays))]
    return arrays, meta
