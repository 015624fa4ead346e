from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from graph.builders import assert_same, cnn_model, feeds, network, ops, random, run, value

from accel.graph import passes
from accel.graph.network import Network, Node
from accel.graph.onnx_reader import read_onnx
from accel.graph.shapes import infer_shapes

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"

# Nodes after simplify and after fuse. onnxruntime 1.32 with extended optimisation leaves 90 of resnet50 and 39 of
# squeezenet (shared measurement); a pass that stops working shows here.
COUNTS = {
    "light_bvlc_alexnet": (22, 15),
    "light_densenet121": (367, 308),
    "light_inception_v1": (142, 85),
    "light_inception_v2": (164, 95),
    "light_resnet50": (123, 58),
    "light_shufflenet": (154, 111),
    "light_squeezenet": (65, 39),
    "light_zfnet512": (22, 15),
}
SHARED = {
    "bnn_lfcW1A1_mnist_sign": (7, 7),
    "mlperftiny_kws_dscnn": (22, 13),
    "mlperftiny_kws_dscnn_int8_qdq": (68, 59),
    "mlperftiny_resnet8_cifar10": (23, 13),
    "mlperftiny_resnet8_cifar10_int8_qdq": (75, 71),
    "mnist_cntk": (8, 6),
    "resnet20_cifar10_bn": (54, 26),
    "resnet20_cifar10_folded": (54, 26),
    "squeezenet10_dc": (66, 40),
    "ultraface_rfb320": (128, 90),
    "yunet_n_dynamic": (163, 145),
}


def counts(net: Network) -> tuple[int, int]:
    simple = passes.simplify(net)
    simple.validate()
    fused = passes.fuse(simple)
    fused.validate()
    return len(simple.nodes), len(fused.nodes)


@pytest.mark.parametrize("name", COUNTS)
def test_node_counts_of_the_official_networks(name: str) -> None:
    simple, fused = counts(read_onnx((LIGHT / f"{name}.onnx").read_bytes()))
    assert (simple, fused) <= COUNTS[name]


@pytest.mark.parametrize("name", SHARED)
def test_node_counts_of_the_shared_networks(name: str, shared_data: Path) -> None:
    assert counts(read_onnx((shared_data / "models" / f"{name}.onnx").read_bytes())) <= SHARED[name]


def test_a_small_network_keeps_its_meaning_and_is_left_alone() -> None:
    net = read_onnx(cnn_model())
    before = repr(net), [str(node) for node in net.nodes], {n: c.tobytes() for n, c in net.constants.items()}
    simple = passes.simplify(net)
    fused = passes.fuse(simple)
    assert ops(simple) == ["Conv", "Relu", "Conv", "Add", "MaxPool", "GlobalAveragePool", "Flatten", "Gemm"]
    assert ops(fused) == ["Conv", "Conv", "MaxPool", "GlobalAveragePool", "Flatten", "Gemm"]
    assert_same(net, simple)
    assert_same(net, fused)
    assert before == (repr(net), [str(node) for node in net.nodes], {n: c.tobytes() for n, c in net.constants.items()})


def test_simplify_twice_is_simplify_once() -> None:
    once = passes.simplify(read_onnx(cnn_model()))
    twice = passes.simplify(once)
    assert ops(once) == ops(twice) and set(once.constants) == set(twice.constants)


def test_one_pass_opens_the_way_for_another() -> None:
    """The Identity hides the batch norm, whose scale is computed; what is left is one convolution."""
    nodes = [
        Node("Mul", ["s", "two"], ["s2"]),
        Node("Conv", ["x", "w"], ["a"]),
        Node("Identity", ["a"], ["b"]),
        Node("BatchNormalization", ["b", "s2", "s", "s", "v"], ["c"]),
        Node("Dropout", ["c"], ["d", "mask"]),
        Node("Sum", ["d", "t"], ["y"]),
    ]
    constants = {"s": random(0, 4), "two": np.float32(2), "v": np.abs(random(1, 4)), "t": random(2, 4, 1, 1)}
    net = network(nodes, {**constants, "w": random(3, 4, 3, 1, 1)}, [value("x", "N", 3, 5, 5)], ["y"])
    after = passes.simplify(net)
    assert ops(after) == ["Conv"] and len(after.constants) == 2
    assert_same(net, after)


@pytest.mark.parametrize(
    "name", ["resnet20_cifar10_bn", "yunet_n_dynamic", "mlperftiny_resnet8_cifar10_int8_qdq", "mnist_cntk"]
)
def test_shared_networks_keep_their_meaning(name: str, shared_data: Path) -> None:
    """At sizes that our own operators run in a moment; test_onnx_writer compares all of them by onnxruntime."""
    net = read_onnx((shared_data / "models" / f"{name}.onnx").read_bytes())
    simple = passes.simplify(net)
    assert_same(net, simple, 1e-5, batch=1, N=1, height=32, width=64)
    assert_same(net, passes.fuse(simple), 1e-5, batch=1, N=1, height=32, width=64)


def test_golden_outputs(shared_data: Path) -> None:
    """The simplified network against onnxruntime without optimisation."""
    golden = np.load(shared_data / "golden" / "resnet20_cifar10_bn.npz", allow_pickle=False)
    net = passes.simplify(read_onnx((shared_data / "models" / "resnet20_cifar10_bn.onnx").read_bytes()))
    got = run(net, {"input": golden["case0.in.input"][:2]})[0]
    expected = golden["case0.out.logits"][:2]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_specialised_to_a_size_a_network_has_no_shape_arithmetic(shared_data: Path) -> None:
    net = read_onnx((shared_data / "models" / "yunet_n_dynamic.onnx").read_bytes())
    small = passes.specialize(net, {"input": (1, 3, 32, 64)})
    assert not {"Shape", "Gather", "Unsqueeze"} & set(ops(small))
    shapes = infer_shapes(small)
    assert all(shapes[name] is not None and None not in shapes[name] for node in small.nodes for name in node.outputs)
    feed = feeds(small)
    for expected, got in zip(run(net, feed), run(small, feed), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
