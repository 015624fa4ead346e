from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graph.builders import cnn_model, feeds, network, random, value

import accel
from accel.errors import MissingExtraError, ModelError, SaveError, UnsupportedError
from accel.graph import passes
from accel.graph.network import Network, Node
from accel.graph.onnx_reader import read_onnx
from accel.graph.onnx_writer import to_onnx
from accel.weights import Csr

SYMBOLS = {"batch": 1, "N": 1, "height": 96, "width": 128}


def ort_run(model: bytes, feed: dict[str, np.ndarray]) -> list[Any]:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return list(ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, feed))


def assert_agrees(original: bytes, net: Network) -> None:
    """onnxruntime gives the same for what was read and for what is written, 1e-4 relative to the largest output."""
    feed = feeds(net, **SYMBOLS)
    written = to_onnx(net).SerializeToString()
    for expected, got in zip(ort_run(original, feed), ort_run(written, feed), strict=True):
        assert got.shape == expected.shape and got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * max(np.abs(expected).max(), 1e-30))


NAMES = """bnn_lfcW1A1_mnist_sign mlperftiny_kws_dscnn mlperftiny_kws_dscnn_int8_qdq mlperftiny_resnet8_cifar10
    mlperftiny_resnet8_cifar10_int8_qdq mnist_cntk resnet20_cifar10_bn resnet20_cifar10_folded squeezenet10_dc
    ultraface_rfb320 yunet_n_dynamic""".split()  # noqa: SIM905  a literal list would take a line per name


@pytest.mark.parametrize("name", NAMES)
def test_round_trip_of_the_shared_networks(name: str, shared_data: Path) -> None:
    original = (shared_data / "models" / f"{name}.onnx").read_bytes()
    net = read_onnx(original)
    assert_agrees(original, net)
    assert_agrees(original, passes.simplify(net))


def test_round_trip_of_the_text_of_a_network() -> None:
    net = read_onnx(cnn_model())
    again = read_onnx(to_onnx(net))
    assert [vars_of(n) for n in again.nodes] == [vars_of(n) for n in net.nodes]
    assert again.inputs == net.inputs and list(again.constants) == list(net.constants)
    for name, array in net.constants.items():
        np.testing.assert_array_equal(again.constants[name], array)


def vars_of(node: Node) -> tuple[Any, ...]:
    return node.op, node.inputs, node.outputs, node.attributes, node.name


def test_the_producer_and_metadata_are_written() -> None:
    model = to_onnx(read_onnx(cnn_model()).replace(metadata={"accel.compression": "{}"}))
    assert (model.producer_name, model.producer_version) == ("accel", accel.__version__)
    assert {p.key: p.value for p in model.metadata_props} == {"accel.compression": "{}"}
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 21)] and model.ir_version == 10


def test_a_compressed_weight_is_written_dense() -> None:
    array = random(0, 4, 3, 1, 1) * (random(1, 4, 3, 1, 1) > 0)
    net = network([Node("Conv", ["x", "w"], ["y"])], {"w": array}, [value("x", 1, 3, 2, 2)], ["y"])
    net = net.with_constants({"w": Csr.from_dense(array)})
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(to_onnx(net).graph.initializer[0]), array)


def test_newer_operators_raise_the_opset() -> None:
    net = network([Node("Swish", ["x"], ["y"])], {}, [value("x", 2)], ["y"])
    assert to_onnx(net).opset_import[0].version == 24


def test_attributes_of_every_kind() -> None:
    nodes = [
        Node("ConstantOfShape", ["s"], ["a"], {"value": np.array([2], np.float32)}),
        Node("Resize", ["a", "", "scales"], ["b"], {"mode": "nearest", "cubic_coeff_a": -0.5}),
        Node("Transpose", ["b"], ["y"], {"perm": (1, 0)}),
    ]
    constants = {"s": np.array([1, 2]), "scales": np.array([1, 2], np.float32)}
    again = read_onnx(to_onnx(network(nodes, constants, [], ["y"])))
    assert [n.attributes for n in again.nodes][1:] == [n.attributes for n in nodes][1:]
    assert again.nodes[0].attributes["value"].tolist() == [2]


def test_an_empty_list_keeps_its_type() -> None:
    net = network([Node("Upsample", ["x"], ["y"], {"scales": ()})], {}, [value("x", 2)], ["y"])
    from accel.graph.onnx_writer import node_proto

    assert node_proto(net.nodes[0], 7).attribute[0].type == onnx.AttributeProto.FLOATS


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda n: n.nodes[0].attributes.update(activation="Relu"), UnsupportedError, "Conv node 'conv1': ONNX has no"),
        (lambda n: n.nodes[0].inputs.extend(["", "x"]), UnsupportedError, "ONNX has no operator with these inputs"),
        (lambda n: n.nodes[8].attributes.update(alpha="a"), ModelError, "not a valid ONNX model"),
        (lambda n: n.nodes.pop(0), ModelError, "input 'c1' is not defined"),
        (lambda n: n.constants.update(w3=random(0, 4)), ModelError, "not a valid ONNX model"),
        (lambda n: n.constants.update(w1=np.array(["a"])), UnsupportedError, "constant 'w1': element type"),
    ],
)
def test_what_onnx_cannot_say_is_refused(change, error: type, message: str) -> None:
    net = read_onnx(cnn_model())
    change(net)
    with pytest.raises(error, match=message):
        to_onnx(net)


def test_saving_replaces_whole_files_only(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    net = read_onnx(cnn_model())
    model = net.to_onnx(path)
    assert path.read_bytes() == model.SerializeToString() and os.listdir(tmp_path) == ["m.onnx"]
    net.nodes.pop(0)
    with pytest.raises(ModelError):
        net.to_onnx(path)
    assert path.read_bytes() == model.SerializeToString()
    with pytest.raises(SaveError):
        read_onnx(cnn_model()).to_onnx(tmp_path / "none" / "m.onnx")


def test_without_onnx_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    net = read_onnx(cnn_model())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'accel\[onnx\]'"):
        to_onnx(net)
