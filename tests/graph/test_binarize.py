"""Binary weights found when a network is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graph.builders import network, value

from accel.graph import load
from accel.graph.binarize import binarize
from accel.graph.network import Network, Node
from accel.weights import Binary


def given() -> Network:
    rng = np.random.default_rng(0)
    signs = rng.choice(np.array([-1, 1], np.float32), (8, 4, 3, 3))
    constants = {
        "w": signs * np.linspace(0.1, 2, 8, dtype=np.float32).reshape(-1, 1, 1, 1),
        "real": rng.random((5, 8)).astype(np.float32),
        "columns": rng.choice(np.array([-1, 1], np.float32), (5, 70)),
    }  # fmt: skip
    nodes = [
        Node("Conv", ["x", "w"], ["c"]), Node("GlobalAveragePool", ["c"], ["p"]), Node("Flatten", ["p"], ["f"]),
        Node("Gemm", ["f", "real"], ["g"], {"transB": 1}), Node("MatMul", ["g", "columns"], ["y"]),
    ]  # fmt: skip
    return network(nodes, constants, [value("x", 1, 4, 6, 6)], ["y"])


def test_weights_of_one_magnitude_an_output_become_binary() -> None:
    before = given()
    after = binarize(before)
    kinds = {name for name, c in after.constants.items() if isinstance(c, Binary)}
    assert kinds == {"w"}  # rows of `columns` are inputs
    np.testing.assert_array_equal(after.constants["w"].dense(), before.constants["w"])  # type: ignore[union-attr]


def test_load_does_so_when_told(tmp_path: Path) -> None:
    given().to_onnx(tmp_path / "m.onnx")
    assert not any(isinstance(c, Binary) for c in load(tmp_path / "m.onnx").constants.values())
    found = load(tmp_path / "m.onnx", binary="auto")
    assert sum(isinstance(c, Binary) for c in found.constants.values()) == 1
    found.save(tmp_path / "m.accel")
    assert sum(isinstance(c, Binary) for c in load(tmp_path / "m.accel").constants.values()) == 1
    with pytest.raises(ValueError, match=r"binary: expected auto or keep, got 'yes'"):
        load(tmp_path / "m.onnx", binary="yes")


def test_the_mnist_network_takes_a_30th(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "models" / "bnn_lfcW1A1_mnist_sign.onnx"
    load(source, binary="auto").save(tmp_path / "m.accel")
    assert (tmp_path / "m.accel").stat().st_size * 30 <= source.stat().st_size
