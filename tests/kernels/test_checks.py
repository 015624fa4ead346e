"""What all kernels say of arguments that are not what they should be."""

from __future__ import annotations

import pytest
from kernels.floats import normal

from accel.kernels import checks, max_pool2d

HUGE = 10**5000
"""Python writes no integers of more than 4300 digits."""


@pytest.mark.parametrize("size", [HUGE, -HUGE], ids=["large", "small"])
def test_integers_too_large_to_be_shown(size: int) -> None:
    with pytest.raises(ValueError, match=r"kernel: expected an integer in 1\.\.\d+, got <too many digits to be shown>"):
        max_pool2d(normal(1, 1, 4, 4), size)
    assert checks.describe((1, size)) == "tuple <too many digits to be shown>"
    with pytest.raises(ValueError, match="x: expected a finite number, got <too many"):
        checks.number("x", size)
