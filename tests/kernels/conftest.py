"""Every implementation of the float kernels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernels.floats import IMPLEMENTATIONS, using

from accel.kernels import runtime


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each of IMPLEMENTATIONS in turn, in force while the test runs."""
    with using(request.param):
        assert runtime.backend() == request.param.partition("-")[0]
        yield request.param
