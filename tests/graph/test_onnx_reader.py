from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph.builders import cnn_model, feeds, model, random, run
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from accel.errors import FormatError, MissingExtraError, ModelError, UnsupportedError
from accel.graph.limits import Limits
from accel.graph.onnx_reader import read_onnx
from accel.layers.operators import registry

node = helper.make_node
LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def test_a_small_network_is_read_and_runs_as_onnx_says() -> None:
    proto = cnn_model()
    net = read_onnx(proto.SerializeToString())
    assert [n.op for n in net.nodes] == [n.op_type for n in proto.graph.node]
    assert net.inputs[0].shape == ("N", 3, 6, 6) and net.inputs[0].dtype == np.float32
    assert net.nodes[0].attributes == {"pads": (1, 1, 1, 1), "strides": (1, 1)}
    feed = feeds(net)
    expected = ReferenceEvaluator(proto).run(None, feed)[0]
    np.testing.assert_allclose(run(net, feed)[0], expected, rtol=1e-5, atol=1e-5)


def test_the_callers_model_is_left_as_it_was() -> None:
    for proto in (cnn_model(), model([node("Add", ["a", "a"], ["y"])], {"a": [2]}, ["y"], opset=6)):
        before = proto.SerializeToString(deterministic=True)
        read_onnx(proto)
        assert proto.SerializeToString(deterministic=True) == before


def test_constants_are_read_only_and_of_every_kind() -> None:
    proto = model(
        [
            node("Constant", [], ["f"], value_float=2.5),
            node("Constant", [], ["i"], value_ints=[1, 2]),
            node("Constant", [], ["t"], value=numpy_helper.from_array(np.arange(4.0, dtype=np.float32))),
            node("Add", ["x", "t"], ["u"]),
            node("Mul", ["u", "f"], ["y"]),
        ],
        {"x": [4], "w": [2]},
        ["y"],
        {"w": np.ones(2, np.float32)},
    )
    net = read_onnx(proto)
    assert [v.name for v in net.inputs] == ["x"], "an initializer that is an input too is a constant"
    assert net.constants["f"] == np.float32(2.5) and net.constants["i"].tolist() == [1, 2]
    assert not any(array.flags.writeable for array in net.constants.values())


def test_nodes_are_put_in_order() -> None:
    proto = model([node("Relu", ["b"], ["y"]), node("Neg", ["x"], ["b"])], {"x": [1]}, ["y"])
    assert [n.op for n in read_onnx(proto).nodes] == ["Neg", "Relu"]


def test_metadata_and_symbols_are_kept() -> None:
    proto = cnn_model()
    helper.set_model_props(proto, {"author": "someone"})
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = -1
    net = read_onnx(proto)
    assert net.metadata == {"author": "someone"} and net.inputs[0].shape == ("N", 3, None, 6)


def test_every_unsupported_operator_is_named_with_what_is_supported() -> None:
    proto = model(
        [
            node("StringConcat", ["x", "x"], ["a"], name="first"),
            node("Gru", ["a"], ["b"], domain="com.other"),
            node("Relu", ["b"], ["y"]),
        ],
        {"x": [1]},
        ["y"],
        imports=[helper.make_opsetid("com.other", 1)],
    )
    with pytest.raises(UnsupportedError) as caught:
        read_onnx(proto)
    text = str(caught.value)
    assert "StringConcat node 'first'" in text and "com.other.Gru node with output 'b'" in text
    assert text.endswith(", ".join(sorted(registry()))) and "Relu node" not in text


BODY = helper.make_graph([node("Relu", ["x"], ["q"])], "body", [], [helper.make_tensor_value_info("q", 1, None)])


def sequence_model() -> onnx.ModelProto:
    proto = cnn_model()
    proto.graph.input.append(helper.make_tensor_sequence_value_info("s", 1, None))
    return proto


def training_model() -> onnx.ModelProto:
    proto = cnn_model()
    proto.training_info.add()
    return proto


def sparse(values: np.ndarray, indices: np.ndarray, dims: list[int]) -> onnx.ModelProto:
    proto = model([node("Add", ["x", "s"], ["y"])], {"x": [2, 3]}, ["y"])
    tensor = helper.make_sparse_tensor(
        numpy_helper.from_array(values, "s"), numpy_helper.from_array(indices, "i"), dims
    )
    proto.graph.sparse_initializer.append(tensor)
    return proto


def test_sparse_initializers_become_dense() -> None:
    values = np.array([1, 2], np.float32)
    for indices in (np.array([1, 5]), np.array([[0, 1], [1, 2]])):
        net = read_onnx(sparse(values, indices, [2, 3]))
        assert net.constants["s"].tolist() == [[0, 1, 0], [0, 0, 2]]


def changed(change) -> onnx.ModelProto:
    proto = cnn_model()
    change(proto)
    return proto


def resized(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[0] = 2**31


def set_attribute(position: int, attribute: onnx.AttributeProto):
    return lambda proto: proto.graph.node[position].attribute.append(attribute)


TWO = np.array([1, 2], np.float32)
FAULTS = [
    (
        lambda: model([node("If", ["x"], ["y"], then_branch=BODY)], {"x": [1]}, ["y"]),
        UnsupportedError,
        "'then_branch' holds a subgraph",
    ),
    (
        lambda: changed(lambda p: p.graph.initializer[0].dims.extend([0, 2**62])),
        ModelError,
        r"initializer 'w1': .* bytes exceed Limits.max_tensor_bytes",
    ),
    (sequence_model, UnsupportedError, "value 's' is a sequence, accel runs tensors only"),
    (training_model, UnsupportedError, "training information"),
    (lambda: changed(resized), ModelError, r"initializer 'w1': .* bytes exceed Limits.max_tensor_bytes"),
    (
        lambda: changed(lambda p: p.graph.initializer[0].dims.append(3)),
        ModelError,
        "initializer 'w1': shape .* needs 1296 bytes, got 432",
    ),
    (lambda: changed(lambda p: p.graph.initializer[0].dims.append(-3)), ModelError, "is not a shape"),
    (
        lambda: changed(lambda p: setattr(p.graph.initializer[0], "data_type", 16)),
        UnsupportedError,
        "initializer 'w1': element type BFLOAT16 is not supported",
    ),
    (
        lambda: changed(lambda p: setattr(p.graph.initializer[0], "data_type", 99)),
        UnsupportedError,
        "element type number 99",
    ),
    (
        lambda: changed(lambda p: setattr(p.graph.initializer[1], "name", "w1")),
        ModelError,
        "initializer 'w1': the name is empty or defined twice",
    ),
    (
        lambda: changed(lambda p: p.graph.node[2].input.__setitem__(0, "no")),
        ModelError,
        "Relu node 'relu1': input 'no' is not defined",
    ),
    (
        lambda: changed(lambda p: p.graph.node[2].output.__setitem__(0, "c1")),
        ModelError,
        "Relu node 'relu1': output 'c1' is defined twice",
    ),
    (
        lambda: changed(lambda p: p.graph.node[1].input.__setitem__(0, "r1")),
        ModelError,
        "BatchNormalization node 'norm1': is part of a cycle",
    ),
    (lambda: changed(lambda p: setattr(p.graph.output[0], "name", "no")), ModelError, "output 'no'"),
    (
        lambda: changed(lambda p: setattr(p.graph.input[0].type.tensor_type, "elem_type", 8)),
        UnsupportedError,
        "input 'x': element type STRING",
    ),
    (
        lambda: changed(lambda p: p.graph.node[0].attribute.append(p.graph.node[0].attribute[0])),
        ModelError,
        "Conv node 'conv1': attribute 'pads' is given twice",
    ),
    (lambda: changed(set_attribute(2, helper.make_attribute("no", 1))), ModelError, "Relu node 'relu1': .*no"),
    (
        lambda: changed(lambda p: p.graph.node[5].ClearField("attribute")),
        ModelError,
        "MaxPool node 'pool1': .*kernel_shape",
    ),
    (lambda: changed(lambda p: p.graph.node[2].input.append("x")), ModelError, "Relu node 'relu1'"),
    (lambda: changed(lambda p: setattr(p.opset_import[0], "version", 999)), UnsupportedError, "imports opset .999."),
    (lambda: changed(lambda p: setattr(p.opset_import[0], "version", -3)), UnsupportedError, "imports opset .-3."),
    (
        lambda: model([node("GRUUnit", ["x", "x"], ["y"])], {"x": [1]}, ["y"], opset=6),
        UnsupportedError,
        "older than opset 7",
    ),
    (lambda: sparse(TWO, np.array([1, 6]), [2, 3]), ModelError, "initializer 's': an index lies outside the shape"),
    (lambda: sparse(TWO, np.array([-1, 1]), [2, 3]), ModelError, "an index lies outside"),
    (lambda: sparse(TWO, np.array([[0, 1], [2, 0]]), [2, 3]), ModelError, "an index lies outside"),
    (lambda: sparse(TWO, np.array([[0, 1, 2]]), [2, 3]), ModelError, "indices have shape"),
    (lambda: sparse(TWO, np.array([0, 1]), [2**31, 2**31]), ModelError, "bytes exceed Limits.max_tensor_bytes"),
]


@pytest.mark.parametrize(("build", "error", "message"), FAULTS, ids=[message[:40] for _, _, message in FAULTS])
def test_a_fault_is_named(build, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        read_onnx(build())


@pytest.mark.parametrize("data", [b"", b"\x00", b"hello world, this is not a model", b"\x89PNG\r\n\x1a\n" * 40])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"neither an \.accel file nor an ONNX model"):
        read_onnx(data)


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="source: expected the bytes of a model"):
        read_onnx(3)  # type: ignore[arg-type]


def test_the_total_of_all_tensors_is_bounded() -> None:
    with pytest.raises(ModelError, match=r"more than Limits\.max_total_bytes = 600"):
        read_onnx(cnn_model(), Limits(max_total_bytes=600))


def test_a_million_nodes_are_refused_at_once() -> None:
    data = cnn_model().SerializeToString()
    extra = onnx.GraphProto()
    extra.node.extend([node("Relu", ["x"], ["z"])])
    many = onnx.ModelProto()
    many.ParseFromString(data)
    many.graph.node.extend([extra.node[0]] * 1_000_000)
    start = time.process_time()
    with pytest.raises(ModelError, match=r"1,000,009 nodes, more than Limits\.max_nodes"):
        read_onnx(many)
    assert time.process_time() - start < 1


def test_without_onnx_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = cnn_model().SerializeToString()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'accel\[onnx\]'"):
        read_onnx(data)


@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda p: p.stem)
def test_the_networks_of_the_official_suite_are_read(path: Path) -> None:
    proto = onnx.load(path)
    net = read_onnx(path.read_bytes())
    assert Counter(n.op for n in net.nodes) == Counter(n.op_type for n in proto.graph.node)


def test_every_network_of_the_shared_data_is_read(shared_data: Path) -> None:
    paths = sorted((shared_data / "models").glob("*.onnx"))
    assert len(paths) >= 11
    for path in paths:
        net = read_onnx(path.read_bytes())
        constants = [n for n in onnx.load(path).graph.node if n.op_type == "Constant"]
        assert len(net.nodes) + len(constants) == len(onnx.load(path).graph.node)


def test_an_old_model_is_converted() -> None:
    """Opset 6: the second operand of Add stands at the axis it says."""
    add = node("Add", ["x", "b"], ["y"], axis=0, broadcast=1)
    net = read_onnx(model([add], {"x": [3, 3]}, ["y"], {"b": random(0, 3)}, opset=6))
    x = random(1, 3, 3)
    np.testing.assert_array_equal(run(net, {"x": x})[0], x + random(0, 3)[:, None])


def test_slopes_of_an_old_prelu_are_per_channel() -> None:
    proto = model([node("PRelu", ["x", "s"], ["y"])], {"x": [2, 3, 4]}, ["y"], {"s": random(2, 3)}, opset=6)
    x = random(1, 2, 3, 4)
    expected = np.where(x < 0, x * random(2, 3)[:, None], x)
    np.testing.assert_array_equal(run(read_onnx(proto), {"x": x})[0], expected)


def test_large_tensors_of_an_old_model_go_around_the_converter() -> None:
    weight = random(0, 64, 40)
    proto = model([node("MatMul", ["x", "w"], ["y"])], {"x": [2, 64], "w": [64, 40]}, ["y"], {"w": weight}, opset=6)
    net = read_onnx(proto)
    np.testing.assert_array_equal(net.constants["w"], weight)
    assert [v.name for v in net.inputs] == ["x"]


def test_float16_and_typed_fields_are_read() -> None:
    cases = {
        "h": helper.make_tensor("h", TensorProto.FLOAT16, [3], [1.0, -2.5, 0.25]),
        "b": helper.make_tensor("b", TensorProto.BOOL, [2], [True, False]),
        "u": helper.make_tensor("u", TensorProto.UINT64, [1], [2**64 - 1]),
        "c": helper.make_tensor("c", TensorProto.INT8, [2], [-128, 127]),
        "d": helper.make_tensor("d", TensorProto.DOUBLE, [0], []),
    }
    proto = model([node("Relu", ["x"], ["y"])], {"x": [1]}, ["y"])
    proto.graph.initializer.extend(cases.values())
    net = read_onnx(proto)
    for name, tensor in cases.items():
        expected = numpy_helper.to_array(tensor)
        assert net.constants[name].dtype == expected.dtype
        np.testing.assert_array_equal(net.constants[name], expected)


def test_a_number_that_does_not_fit_its_type_is_refused() -> None:
    proto = model([node("Relu", ["x"], ["y"])], {"x": [1]}, ["y"])
    proto.graph.initializer.append(TensorProto(name="c", data_type=TensorProto.INT8, dims=[1], int32_data=[300]))
    with pytest.raises(ModelError, match="initializer 'c': a number does not fit into int8"):
        read_onnx(proto)
