"""Limits name what was exceeded."""

from __future__ import annotations

import pytest

from accel.errors import FormatError
from accel.formats.limits import RATIO_FREE, Limits, check, check_ratio


def test_at_the_limit_is_fine_and_above_is_not() -> None:
    check("thing", 10, 10, "max_thing")
    with pytest.raises(FormatError, match="thing: 11 exceeds the limit max_thing=10"):
        check("thing", 11, 10, "max_thing")


def test_small_parts_may_expand_freely() -> None:
    limits = Limits(max_ratio=10)
    check_ratio("part", RATIO_FREE, 0, limits)
    check_ratio("part", 10 * RATIO_FREE, RATIO_FREE, limits)
    with pytest.raises(FormatError, match="part: 65537 bytes from 0 exceed the limit max_ratio=10"):
        check_ratio("part", RATIO_FREE + 1, 0, limits)
