from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accel.cli import inputs
from accel.graph.network import Network, Value


def network(*values: Value) -> Network:
    return Network("test", list(values), [], [], {})


IMAGE = Value("x", np.dtype(np.float32), ("N", 3, None, "W"))


def test_random_inputs_have_the_declared_types_and_the_sizes_asked_for() -> None:
    net = network(IMAGE, Value("ids", np.dtype(np.int64), (None, 4)), Value("flag", np.dtype(bool), ()))
    feeds = inputs.random_inputs(net, 2, {"x.2": 5, "W": 6}, seed=0)
    assert feeds["x"].shape == (2, 3, 5, 6) and feeds["x"].dtype == np.float32
    assert feeds["ids"].shape == (2, 4) and feeds["ids"].dtype == np.int64
    assert feeds["flag"].shape == () and feeds["flag"].dtype == bool


def test_random_inputs_depend_on_the_seed_alone() -> None:
    first, again, other = (inputs.random_inputs(network(IMAGE), 1, {"x.2": 2, "W": 2}, s)["x"] for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_free_dimension_without_a_size_is_named() -> None:
    with pytest.raises(ValueError, match=r"input x: axis 2 of N x 3 x \? x W is free; give --size x\.2=SIZE"):
        inputs.random_inputs(network(IMAGE), 1, {}, 0)
    with pytest.raises(ValueError, match=r"axis 3 of N x 3 x \? x W is free; give --size W=SIZE"):
        inputs.random_inputs(network(IMAGE), 1, {"x.2": 2}, 0)
    with pytest.raises(ValueError, match="input y: its rank is unknown"):
        inputs.random_inputs(network(Value("y", np.dtype(np.float32), None)), 1, {}, 0)


def test_sizes_are_read_from_options() -> None:
    assert inputs.parse_sizes(["H=3", "x.3=4"]) == {"H": 3, "x.3": 4}


@pytest.mark.parametrize("option", ["H", "H=", "=3", "H=0", "H=-1", "H=1.5", "H=99999999999", "H=" + "9" * 5000])
def test_sizes_that_are_no_sizes_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match="--size: expected NAME=SIZE with a positive integer, got"):
        inputs.parse_sizes([option])


def test_an_unnamed_array_does_not_go_to_one_of_several_inputs(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 4), np.int64))
    net = network(Value("a", np.dtype(np.int64), (1, 4)), Value("b", np.dtype(np.int64), (1, 4)))
    with pytest.raises(ValueError, match="expected arrays for the inputs a, b, got one unnamed array"):
        inputs.read_inputs(net, tmp_path / "x.npy")


def test_columns_in_memory_order_are_made_contiguous(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)))
    feeds = inputs.read_inputs(network(Value("a", np.dtype(np.int64), ("N", 3))), tmp_path / "x.npy")
    assert feeds["a"].flags.c_contiguous and feeds["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
