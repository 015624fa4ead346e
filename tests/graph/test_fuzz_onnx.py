"""Damaged models: whatever the bytes say, only errors of accel come out, and a network that comes out is valid."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from graph.builders import cnn_model, model
from onnx import helper

from accel.errors import AccelError
from accel.graph import Limits, load, passes
from accel.graph.serialize import network_to_dict

LIMITS = Limits(max_tensor_bytes=1 << 24, max_total_bytes=1 << 26)
EXTREMES = [0, 1, -1, 2, 3, 7, 255, 2**31 - 1, -(2**31), 2**31, 2**32, 2**62, 2**63 - 1, -(2**63), 10**6, -2]
SLOWEST = 5.0


def outcome(source: bytes | onnx.ModelProto) -> str:
    """Load, simplify, fuse, describe and serialise; the name of the error that came."""
    start = time.process_time()
    try:
        net = load(source, limits=LIMITS)
        net.validate()
        passes.fuse(net).validate()
        network_to_dict(net)
        net.summary()
        result = "read"
    except AccelError as error:
        assert len(str(error)) < 20_000
        result = type(error).__name__
    assert time.process_time() - start < SLOWEST
    return result


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes set, parts cut out, doubled or swapped."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        kind, at = rng.randrange(6), rng.randrange(len(out))
        end = min(len(out), at + rng.choice((1, 2, 8, 64)))
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            del out[at:end]
        elif kind == 3:
            out[at:at] = out[at:end]
        elif kind == 4:
            other = rng.randrange(len(out))
            out[at], out[other] = out[other], out[at]
        else:
            del out[at:]
        if not out:
            break
    return bytes(out)


def other_model() -> onnx.ModelProto:
    """The operators that read shapes, axes and sizes from constants, in an old opset."""
    node = helper.make_node
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n"], ["n1"], axes=[0]),
        node("Concat", ["n1", "minus"], ["t"], axis=0),
        node("Pad", ["x"], ["p"], pads=[0, 0, 1, 1, 0, 0, 1, 1]),
        node("Conv", ["p", "w"], ["c"], kernel_shape=[3, 3], group=1),
        node("Clip", ["c"], ["k"], min=0.0, max=6.0),
        node("Upsample", ["k", "sc"], ["u"], mode="nearest"),
        node("Slice", ["u"], ["l"], starts=[0, 0], ends=[4, 4], axes=[2, 3]),
        node("Split", ["l"], ["l1", "l2"], axis=1, split=[1, 1]),
        node("Concat", ["l1", "l2"], ["j"], axis=1),
        node("Transpose", ["j"], ["tr"], perm=[0, 2, 3, 1]),
        node("Softmax", ["tr"], ["so"], axis=1),
        node("ReduceMean", ["so"], ["r"], axes=[1], keepdims=0),
        node("Reshape", ["r", "t"], ["y"]),
        node("ConstantOfShape", ["t0"], ["f"]),
        node("Expand", ["f", "t0"], ["e"]),
        node("Tile", ["e", "t0"], ["z"]),
    ]
    constants = {
        "zero": np.int64(0),
        "minus": np.array([-1]),
        "sc": np.array([1, 1, 2, 2], np.float32),
        "t0": np.array([2, 2]),
        "w": np.ones((2, 3, 3, 3), np.float32),
    }
    return model(nodes, {"x": [1, 3, 4, 4]}, ["y", "z"], constants, opset=9)


MODELS = {"cnn": cnn_model, "old": other_model}


def extreme_numbers(proto: onnx.ModelProto, rng: random.Random) -> None:
    """An extreme number for an attribute, a dim of a tensor, its content, a dim of an input, the opset."""
    graph = proto.graph
    kind = rng.randrange(6)
    if kind == 0:
        attributes = [a for n in graph.node for a in n.attribute]
        attribute = rng.choice(attributes)
        if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(EXTREMES)
        elif attribute.floats:
            attribute.floats[rng.randrange(len(attribute.floats))] = rng.choice(
                (0.0, -1.0, 1e30, float("nan"), float("inf"))
            )
        else:
            attribute.i = rng.choice(EXTREMES)
    elif kind == 1:
        tensor = rng.choice(graph.initializer)
        if tensor.dims and rng.random() < 0.7:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(EXTREMES)
        else:
            tensor.dims.extend([rng.choice(EXTREMES)])
    elif kind == 2:
        tensor = rng.choice([t for t in graph.initializer if t.data_type == 7] or list(graph.initializer))
        number = rng.choice(EXTREMES).to_bytes(8, "little", signed=True)
        tensor.raw_data = (number * len(tensor.raw_data))[: len(tensor.raw_data)]
    elif kind == 3:
        dims = graph.input[0].type.tensor_type.shape.dim
        dims[rng.randrange(len(dims))].dim_value = rng.choice(EXTREMES)
    elif kind == 4:
        proto.opset_import[0].version = rng.choice((*range(1, 29), *EXTREMES))
    else:
        rng.choice(graph.initializer).data_type = rng.randrange(26)


def other_structure(proto: onnx.ModelProto, rng: random.Random) -> None:
    """Nodes rewired, of another operator, without an input, output or attribute, doubled or out of order."""
    graph, kind = proto.graph, rng.randrange(7)
    node = rng.choice(graph.node)
    names = [name for n in graph.node for name in (*n.input, *n.output)] + ["", "new"]
    if kind == 0:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif kind == 1:
        node.output[rng.randrange(len(node.output))] = rng.choice(names)
    elif kind == 2:
        node.op_type = rng.choice(OPERATORS)
    elif kind == 3:
        part = rng.choice([p for p in (node.input, node.output, node.attribute) if len(p)])
        del part[rng.randrange(len(part))]
    elif kind == 4:
        graph.node.append(node)
    elif kind == 5:
        graph.node.insert(0, graph.node.pop())
    else:
        node.input.append(rng.choice(names))


OPERATORS = sorted({s.name for s in onnx.defs.get_all_schemas() if s.domain == ""})


def mutants(count: int, seed: int) -> Iterator[onnx.ModelProto]:
    rng = random.Random(seed)
    for _ in range(count):
        proto = rng.choice(list(MODELS.values()))()
        for _ in range(rng.choice((1, 1, 2, 3))):
            try:
                rng.choice((extreme_numbers, other_structure))(proto, rng)
            except (IndexError, ValueError):
                continue  # nothing left to change, or a number that the field cannot hold
        yield proto


@pytest.mark.parametrize("name", MODELS)
def test_mutated_bytes(name: str) -> None:
    data, rng = MODELS[name]().SerializeToString(), random.Random(1)
    seen = Counter(outcome(mutated_bytes(data, rng)) for _ in range(1000))
    assert seen["read"] > 50 and seen["ModelError"] + seen["FormatError"] > 100


def test_mutated_structure() -> None:
    seen = Counter(outcome(proto) for proto in mutants(1000, seed=2))
    assert seen["read"] > 50 and seen["ModelError"] > 100 and seen["UnsupportedError"] > 10


def test_every_truncation_of_a_small_model() -> None:
    data = model([helper.make_node("Relu", ["x"], ["y"])], {"x": [1]}, ["y"]).SerializeToString()
    for cut in range(len(data)):
        outcome(data[:cut])


def test_every_bit_of_a_small_model() -> None:
    data = model([helper.make_node("Flatten", ["x"], ["y"], axis=1)], {"x": [1, 2, 3]}, ["y"]).SerializeToString()
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        outcome(bytes(flipped))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_many_mutants(seed: int) -> None:
    rng = random.Random(1000 + seed)
    data = [build().SerializeToString() for build in MODELS.values()]
    for _ in range(25_000):
        outcome(mutated_bytes(rng.choice(data), rng))
    for proto in mutants(25_000, seed):
        outcome(proto)
