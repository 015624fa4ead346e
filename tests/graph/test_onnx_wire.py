"""Large weights go from the file into their arrays: the same network as protobuf reads, without its copies."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from graph.builders import model, random
from onnx import helper, numpy_helper

from accel.errors import AccelError, ModelError
from accel.formats import pages
from accel.graph import load
from accel.graph.onnx_wire import BytesWire, FileWire, cut

LARGE = (256, 256)
"""Four times what is cut out."""


def chain(*weights: np.ndarray, opset: int = 17) -> onnx.ModelProto:
    """x times one weight after the other."""
    nodes = [
        helper.make_node("MatMul", [f"x{i}" if i else "x", f"w{i}"], [f"x{i + 1}" if i + 1 < len(weights) else "y"])
        for i in range(len(weights))
    ]
    proto = model(nodes, {"x": [1, weights[0].shape[0]]}, ["y"])
    proto.opset_import[0].version = opset
    proto.graph.initializer.extend(numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights))
    return proto


def mixed() -> list[np.ndarray]:
    return [random(0, *LARGE), random(1, 256, 3), random(2, 3, 256), random(3, *LARGE)]


def restored(data: bytes) -> bytes:
    """The model with its weights put back by protobuf."""
    bare, blobs = cut(BytesWire(data))
    proto = onnx.ModelProto.FromString(bare)
    for tensor in proto.graph.initializer:
        if tensor.name in blobs:
            tensor.raw_data = blobs[tensor.name].read().tobytes()
    return proto.SerializeToString(deterministic=True)


def test_only_large_weights_are_cut_out(tmp_path: Path) -> None:
    data = chain(*mixed()).SerializeToString()
    bare, blobs = cut(BytesWire(data))
    assert set(blobs) == {"w0", "w3"} and len(bare) < len(data) - 2 * 4 * 256 * 256 + 100
    (tmp_path / "m").write_bytes(data)
    with open(tmp_path / "m", "rb") as file:
        again, others = cut(FileWire(file, len(data)))
        assert again == bare
        for name, blob in blobs.items():
            np.testing.assert_array_equal(others[name].read(), blob.read())
    assert restored(data) == chain(*mixed()).SerializeToString(deterministic=True)


def test_path_bytes_and_message_give_equal_constants(tmp_path: Path) -> None:
    proto = chain(*mixed())
    onnx.save(proto, tmp_path / "m.onnx")
    for source in (proto, proto.SerializeToString(), tmp_path / "m.onnx"):
        constants = load(source, simplify=False).constants
        for i, wanted in enumerate(mixed()):
            got = constants[f"w{i}"]
            np.testing.assert_array_equal(got, wanted)
            assert got.flags.aligned and not got.flags.writeable  # type: ignore[union-attr]


def test_a_damaged_file_is_read_as_protobuf_reads_it() -> None:
    """Bytes outside the weights changed at random: both refuse them, or both find the same model."""
    data = chain(*mixed()).SerializeToString()
    _, blobs = cut(BytesWire(data))
    inside = sorted((blob.start + 64, blob.end - 64) for blob in blobs.values())
    places = [at for at in range(len(data)) if not any(start <= at < end for start, end in inside)]
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(data)
        for at in rng.choice(places, rng.integers(1, 4)):
            damaged[at] = rng.integers(256)
        try:
            wanted = onnx.ModelProto.FromString(bytes(damaged)).SerializeToString(deterministic=True)
        except DecodeError:
            refused += 1
            with pytest.raises(DecodeError):
                restored(bytes(damaged))
            continue
        assert restored(bytes(damaged)) == wanted
    assert refused > 30


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    data = chain(*mixed()).SerializeToString()
    for end in (0, 1, 10, 200, len(data) // 2, len(data) - 1):
        (tmp_path / "m").write_bytes(data[:end])
        with pytest.raises(AccelError):
            load(tmp_path / "m")


def test_a_weight_given_twice_is_left_to_protobuf_or_refused() -> None:
    proto = chain(random(0, *LARGE))
    twice = onnx.TensorProto(raw_data=random(1, *LARGE).tobytes()).SerializeToString()
    tensor = proto.graph.initializer[0].SerializeToString() + twice  # the last one counts
    data = _with_initializer(proto, tensor)
    np.testing.assert_array_equal(load(data, simplify=False).constants["w0"], random(1, *LARGE))
    proto = chain(random(0, *LARGE))
    proto.graph.initializer.append(proto.graph.initializer[0])
    with pytest.raises(ModelError, match="defined twice"):
        load(proto.SerializeToString())


def _with_initializer(proto: onnx.ModelProto, tensor: bytes) -> bytes:
    """The model with these bytes as its only initializer."""
    del proto.graph.initializer[:]
    rest = proto.SerializeToString()
    # A second `graph` is merged with the first.
    graph = b"\x2a" + _varint(len(tensor)) + tensor
    return rest + b"\x3a" + _varint(len(graph)) + graph


def _varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + _varint(value >> 7) if value > 127 else bytes([value])


@pytest.mark.parametrize("opset", [6, 17])
def test_dims_that_lie_are_refused(opset: int) -> None:
    proto = chain(random(0, *LARGE), opset=opset)
    for dims in ([2], [256, 255], [1 << 40], [-1]):
        del proto.graph.initializer[0].dims[:]
        proto.graph.initializer[0].dims.extend(dims)
        with pytest.raises(AccelError):
            load(proto.SerializeToString())


def test_an_old_model_keeps_its_large_weights() -> None:
    constants = load(chain(*mixed(), opset=6).SerializeToString()).constants
    np.testing.assert_array_equal(constants["w0"], random(0, *LARGE))


def test_loading_a_file_takes_the_memory_of_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch normalisation included: each weight is let go when its successor is there."""
    nodes, tensors = [], []
    for i in range(12):
        tensors.append(numpy_helper.from_array(random(i, 128, 128, 3, 3), f"w{i}"))
        tensors += [numpy_helper.from_array(np.abs(random(j, 128)), f"{n}{i}") for j, n in enumerate("smbv")]
        nodes.append(helper.make_node("Conv", [f"x{i}" if i else "x", f"w{i}"], [f"c{i}"], pads=[1] * 4))
        normal = [f"c{i}", f"s{i}", f"b{i}", f"m{i}", f"v{i}"]
        nodes.append(helper.make_node("BatchNormalization", normal, [f"x{i + 1}" if i < 11 else "y"]))
    proto = model(nodes, {"x": [1, 128, 8, 8]}, ["y"])
    proto.graph.initializer.extend(tensors)
    onnx.save(proto, tmp_path / "m.onnx")
    monkeypatch.setattr(pages, "_LARGE", sys.maxsize)  # all on the heap, where they are counted
    load(tmp_path / "m.onnx")  # imports what it needs
    size = (tmp_path / "m.onnx").stat().st_size
    tracemalloc.start()
    try:
        network = load(tmp_path / "m.onnx")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [node.op for node in network.nodes] == ["Conv"] * 12
    assert size < peak < 1.25 * size
