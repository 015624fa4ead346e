from __future__ import annotations

import pytest

from accel.graph.limits import Limits, available_bytes


def test_the_total_is_bounded_by_the_memory_there_is() -> None:
    assert 0 < Limits().max_total_bytes == available_bytes() < 2**60


@pytest.mark.parametrize("value", [-1, 1.5, True, "1", pytest.param(-(10**5000), id="huge")])
def test_a_limit_is_a_count(value: object) -> None:
    with pytest.raises(ValueError, match=r"Limits\.max_nodes: expected an integer >= 0"):
        Limits(max_nodes=value)  # type: ignore[arg-type]
