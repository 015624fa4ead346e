"""Fixtures that every test may use: real data when it is there, instruction sets, back ends, and awkward sizes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import accel
from accel.kernels import runtime

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Measured times of convolutions go to a temporary folder, never into the user's."""
    before = os.environ.get("ACCEL_CACHE_DIR")
    os.environ["ACCEL_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["ACCEL_CACHE_DIR"]
    else:
        os.environ["ACCEL_CACHE_DIR"] = before


@pytest.fixture(autouse=True)
def _x87_stack_is_empty() -> Iterator[None]:
    """A kernel that leaves MMX registers in use spoils the next x87 operation, in anybody's code."""
    yield
    assert np.longdouble(7) * np.longdouble(3) == 21


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real networks and images (ACCEL_DATA, or ../shared/data beside the repository), or a skip."""
    folder = Path(os.environ.get("ACCEL_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real networks and images at {folder}; set ACCEL_DATA to their folder")
    return folder


def _isas() -> list[str]:
    """What the native kernels can run here; one entry that skips when there are none."""
    return list(runtime.isa_info()["supported"]) or ["none"]


@pytest.fixture(params=_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of the native kernels in turn, in force while the test runs."""
    if request.param == "none":
        pytest.skip("the native kernels are not built")
    with accel.using(backend="native", isa=request.param):
        assert runtime.isa() == request.param
        yield request.param


@pytest.fixture(params=["native", "numba", "numpy"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each installed back end in turn, in force while the test runs."""
    if request.param not in runtime.isa_info()["backends"]:
        pytest.skip(f"the back end {request.param} is not installed")
    with accel.using(backend=request.param):
        yield request.param


def awkward_sizes(lanes: int = 16, unroll: int = 4) -> list[int]:
    """Sizes at which loops over vectors go wrong: 1, around one vector, primes, an unrolled body plus a tail."""
    around = [n for m in (1, lanes // 2, lanes, 2 * lanes, unroll * lanes) for n in (m - 1, m, m + 1)]
    return sorted({n for n in (*around, 7, 13, 31, 97, unroll * lanes + lanes + 3) if n > 0})


@pytest.fixture(name="awkward_sizes")
def _awkward_sizes() -> list[int]:
    """`awkward_sizes()` for tests that loop; parametrised tests say `from conftest import awkward_sizes`."""
    return awkward_sizes()
