"""Short calls of operators for the tests."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from accel.errors import ModelError
from accel.layers.operators import registry


def run(name: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
    """The result of one operator, the tuple of them when more than one is asked for."""
    arrays = [np.asarray(x) if x is not None else None for x in inputs]
    results = registry()[name](arrays, attributes, outputs)
    return results[:outputs] if outputs > 1 else results[0]


@contextlib.contextmanager
def refused(message: str) -> Iterator[None]:
    """The block raises a ModelError whose text begins with `message`."""
    with pytest.raises(ModelError, match="^" + re.escape(message)):
        yield


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Normal numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)
