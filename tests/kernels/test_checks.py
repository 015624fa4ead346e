"""What all kernels say of arguments that are not what they should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernels.floats import assert_same_bits, normal

from accel.kernels import checks, conv2d, fwht, linear, max_pool2d
from accel.weights import Bsr

HUGE = 10**5000
"""Python writes no integers of more than 4300 digits."""


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of np.matrix
@pytest.mark.parametrize("other", [np.asmatrix, np.ma.masked_array])
def test_arrays_with_their_own_arithmetic(backend: str, other: Callable[[np.ndarray], Any]) -> None:
    """Some back ends failed inside, others ignored the mask."""
    x, w = normal(3, 5), normal(4, 5)
    name = type(other(x)).__name__
    with pytest.raises(TypeError, match=rf"x: expected a plain NumPy array, got {name}; use np.asarray\(x\)"):
        linear(other(x), w)
    with pytest.raises(TypeError, match="out: expected a plain NumPy array"):
        checks.output("out", other(x), np.float32, x.shape)


def test_mapped_files_are_plain(backend: str, tmp_path: Path) -> None:
    x, w = normal(3, 5), normal(4, 5)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    mapped[:] = x
    assert_same_bits(linear(mapped, w), linear(x, w))


@pytest.mark.parametrize("size", [HUGE, -HUGE], ids=["large", "small"])
def test_integers_too_large_to_be_shown(size: int) -> None:
    with pytest.raises(ValueError, match=r"kernel: expected an integer in 1\.\.\d+, got <too many digits to be shown>"):
        max_pool2d(normal(1, 1, 4, 4), size)
    assert checks.describe((1, size)) == "tuple <too many digits to be shown>"
    with pytest.raises(ValueError, match="x: expected a finite number, got <too many"):
        checks.number("x", size)
    with pytest.raises(ValueError, match="and group <too many" if size > 0 else "group: expected an integer >= 1"):
        conv2d(normal(1, 4, 8, 8), normal(4, 4, 3, 3), group=size)
    wrong: Any = size
    with pytest.raises(ValueError, match=r"algorithm: expected one of .*, got <too many"):
        conv2d(normal(1, 4, 8, 8), normal(4, 4, 3, 3), algorithm=wrong)
    with pytest.raises(ValueError, match="norm: expected None or 'ortho', got <too many"):
        fwht(normal(4), norm=wrong)
    with pytest.raises(ValueError, match=r"block: expected .*, got <too many"):
        Bsr.from_dense(normal(8, 8), (size, 1))
