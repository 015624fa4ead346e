"""Models that ask for far more than they hold: each is refused in under a second, little memory, and a named limit."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import pytest
from graph.builders import model, ops
from onnx import TensorProto, helper

from accel.errors import AccelError, ModelError
from accel.graph import Limits, load

node = helper.make_node


@contextmanager
def cheap(seconds: float = 5.0, megabytes: float = 200) -> Iterator[None]:
    tracemalloc.start()
    start = time.process_time()
    try:
        yield
        assert time.process_time() - start < seconds
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
    finally:
        tracemalloc.stop()


def filled(*sizes: int) -> onnx.ModelProto:
    return model([node("ConstantOfShape", ["s"], ["y"])], {}, ["y"], {"s": np.array(sizes, np.int64)})


def claimed(*sizes: int) -> onnx.ModelProto:
    proto = model([node("Relu", ["w"], ["y"])], {}, ["y"])
    proto.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=sizes, raw_data=b"\0" * 4)
    return proto


def many_filled() -> onnx.ModelProto:
    """Each tensor is within the limit of one, all are not within the limit of all."""
    nodes = [node("ConstantOfShape", ["s"], [f"y{i}"]) for i in range(2000)]
    return model(nodes, {}, [f"y{i}" for i in range(2000)], {"s": np.array([1 << 23], np.int64)})


REFUSED: list[tuple[str, Callable[[], onnx.ModelProto], str]] = [
    ("256 GiB of a 100-byte file", lambda: filled(1 << 36), "max_tensor_bytes"),
    ("more than 2**64 bytes", lambda: filled(1 << 62, 1 << 62), "max_tensor_bytes"),
    ("dims that overflow 64 bits to zero", lambda: claimed(1 << 32, 1 << 32), "max_tensor_bytes"),
    ("dims of 2**62", lambda: claimed(1 << 62, 4), "max_tensor_bytes"),
]


@pytest.mark.parametrize(("name", "build", "limit"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_a_bomb_is_refused_at_once(name: str, build: Callable[[], onnx.ModelProto], limit: str) -> None:
    data = build().SerializeToString()
    assert len(data) < 200
    with cheap(), pytest.raises(ModelError, match=rf"Limits\.{limit}"):
        load(data)


def chain(op: str, constant: np.ndarray, length: int, **attributes: object) -> onnx.ModelProto:
    nodes = [node(op, [f"v{i}", "c"], [f"v{i + 1}"], **attributes) for i in range(length)]
    return model(nodes, {}, [f"v{length}"], {"v0": np.ones((2, 2), np.float32), "c": constant})


LEFT = [
    (
        "Expand",
        model([node("Expand", ["x", "s"], ["y"])], {}, ["y"], {"x": np.ones(1, np.float32), "s": np.array([1 << 50])}),
    ),
    ("Tile", chain("Tile", np.array([2, 2]), 40)),
    (
        "Pad",
        model([node("Pad", ["x", "p"], ["y"])], {}, ["y"], {"x": np.ones(1, np.float32), "p": np.array([0, 1 << 50])}),
    ),
    (
        "Range",
        model(
            [node("Range", ["a", "b", "c"], ["y"])],
            {},
            ["y"],
            {"a": np.int64(0), "b": np.int64(1 << 60), "c": np.int64(1)},
        ),
    ),
    (
        "Resize",
        model(
            [node("Resize", ["x", "", "s"], ["y"])],
            {},
            ["y"],
            {"x": np.ones((1, 1, 1, 1), np.float32), "s": np.array([1, 1, 1 << 20, 1 << 20], np.float32)},
        ),
    ),
    (
        "Gather",
        model(
            [node("Gather", ["x", "i"], ["y"])],
            {},
            ["y"],
            {"x": np.ones((1, 1 << 16), np.float32), "i": np.zeros(1 << 16, np.int64)},
        ),
    ),
    (
        "Add",
        model(
            [node("Add", ["a", "b"], ["y"])],
            {},
            ["y"],
            {"a": np.ones((1 << 16, 1), np.float32), "b": np.ones((1, 1 << 16), np.float32)},
        ),
    ),
    ("Concat", model([node("Concat", ["a"] * 20_000, ["y"], axis=0)], {}, ["y"], {"a": np.ones(1 << 18, np.float32)})),
]


@pytest.mark.parametrize(("op", "proto"), LEFT, ids=[op for op, _ in LEFT])
def test_growth_is_left_for_the_run_to_refuse(op: str, proto: onnx.ModelProto) -> None:
    """Loading computes none of it: the node is still there, or what was computed is small."""
    with cheap():
        net = load(proto)
    assert op in ops(net)


def test_the_sum_of_many_is_bounded() -> None:
    with cheap(), pytest.raises(ModelError, match=r"Limits\.max_total_bytes"):
        load(many_filled(), limits=Limits(max_total_bytes=100 << 20))


def test_long_names_and_wide_nodes_cost_what_they_are() -> None:
    long = "n" * 5_000_000
    nodes = [node("Relu", ["x"], [long], name=long), node("Identity", [long], ["y"])]
    nodes += [node("Identity", ["x"], [f"i{i}"]) for i in range(5000)]
    nodes += [node("Sum", [f"i{i}" for i in range(5000)], ["z"])]
    with cheap(5):
        assert ops(load(model(nodes, {"x": [1]}, ["y", "z"]))) == ["Relu", "Sum"]


def test_a_deep_chain_is_read_simplified_and_written() -> None:
    nodes = [node("Identity" if i % 2 else "Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(6000)]
    with cheap(20):
        net = load(model(nodes, {"v0": [1]}, ["v6000"]))
    assert len(net.nodes) == 3000


def test_deeply_nested_messages_are_refused() -> None:
    data = b""
    for _ in range(20_000):
        # A graph in an attribute (field 6) of a node (field 1) of a graph, as deep as it goes.
        data = b"\x32" + length(data) + data
        data = b"\x2a" + length(data) + data
        data = b"\x0a" + length(data) + data
        if len(data) > 200_000:
            break
    with pytest.raises(AccelError):
        load(b"\x08\x08\x42\x02\x10\x15" + b"\x3a" + length(data) + data)


def length(data: bytes) -> bytes:
    """The length of a protobuf field, seven bits a byte."""
    size, out = len(data), b""
    while size > 127:
        out += bytes([size & 127 | 128])
        size >>= 7
    return out + bytes([size])
