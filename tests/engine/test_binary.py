"""Binary layers in a session: the results of the same network of floats, on bits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, expected, normal

import accel
from accel.engine.interpreter import Interpreter
from accel.graph import Network, passes
from accel.weights import Binary


class BinarySketch(Sketch):
    """With the layers of binary networks."""

    def signs(self, x: str, how: str = "where") -> str:
        if how == "sign":
            return self.add("Sign", x)
        condition = self.add("GreaterOrEqual", x, self.constant(np.float32(0)))
        return self.add("Where", condition, self.constant(np.float32(1)), self.constant(np.float32(-1)))

    def binary_weights(self, *shape: int, scaled: bool = False) -> str:
        w = self.rng.choice(np.array([-1, 1], np.float32), shape)
        alpha = self.rng.random((shape[0], *(1,) * (len(shape) - 1))).astype(np.float32) + np.float32(0.1)
        return self.constant(w * alpha if scaled else w)

    def norm(self, x: str, channels: int, terms: int) -> str:
        gamma, beta, mean = (self.rng.standard_normal(channels).astype(np.float32) for _ in range(3))
        spread = np.full(channels, terms, np.float32)
        parts = (gamma, beta, mean * np.float32(np.sqrt(terms)), spread)
        return self.add("BatchNormalization", x, *map(self.constant, parts))

    def binary_conv(
        self, x: str, channels: int, out: int, kernel: int = 3, scaled: bool = False, group: int = 1, **attributes: Any
    ) -> str:
        w = self.binary_weights(out, channels // group, kernel, kernel, scaled=scaled)
        return self.add("Conv", x, w, kernel_shape=(kernel, kernel), group=group, **attributes)


def kernels(network: Network, *shapes: Sequence[int]) -> list[str]:
    session = accel.InferenceSession(network, threads=1)
    feeds = {v.name: normal(*s) for v, s in zip(network.inputs, shapes, strict=True)}
    return [step["kernel"] for step in session.explain(feeds)]


def check_bits(network: Network, *shapes: Sequence[int], exact: bool = True, seed: int = 0) -> None:
    """Equal to the interpreter on each instruction set and for 1 and 2 threads; images alone give the same bits."""
    feeds = {v.name: normal(*s, seed=seed + i) for i, (v, s) in enumerate(zip(network.inputs, shapes, strict=True))}
    wanted = expected(network, feeds)
    for isa in accel.isa_info()["supported"]:
        with accel.using(isa=isa):
            first = accel.InferenceSession(network, threads=1).run(None, feeds)
            second = accel.InferenceSession(network, threads=2).run(None, feeds)
            alone = accel.InferenceSession(network, threads=1).run(None, {n: x[:1] for n, x in feeds.items()})
        for y, again, one, e in zip(first, second, alone, wanted, strict=True):
            assert y.tobytes() == again.tobytes() and y[:1].tobytes() == one.tobytes(), isa
            if exact:
                np.testing.assert_array_equal(y, e, err_msg=isa)
            else:
                np.testing.assert_allclose(y, e, rtol=0, atol=2e-5 * np.abs(e).max(), err_msg=isa)


def mlp(widths: Sequence[int], how: str, last_scaled: bool = False) -> Network:
    s = BinarySketch()
    x = s.signs(s.input("N", widths[0]))
    for before, after in itertools.pairwise(widths[:-1]):
        y = s.add("Gemm", x, s.binary_weights(after, before), transB=1)
        if how == "sign":
            x = s.signs(s.add("Sub", y, s.constant(s.rng.integers(-9, 9, after).astype(np.float32) + 0.5)), how)
        else:
            x = s.signs(s.norm(y, after, before))
    w = s.binary_weights(widths[-1], widths[-2], scaled=last_scaled)
    return s.network(s.add("Gemm", x, w, transB=1))


@pytest.mark.parametrize("widths", [(5, 3, 2), (64, 64, 64, 10), (130, 65, 33, 7), (784, 100, 10)])
@pytest.mark.parametrize("how", ["where", "sign"])
def test_multilayer_perceptrons_are_exact(widths: Sequence[int], how: str) -> None:
    network = passes.simplify(mlp(widths, how))
    check_bits(network, (4, widths[0]))
    steps = kernels(network, (4, widths[0]))
    assert steps == ["pack bits", *["binary 1x1 to bits"] * (len(widths) - 2), "binary 1x1 to floats"]


def test_a_network_that_was_not_simplified_runs_on_bits_as_well() -> None:
    network = mlp((70, 40, 10), "where")
    assert "binary 1x1 to bits" in kernels(network, (3, 70))
    check_bits(network, (3, 70))


def test_weights_stored_by_inputs() -> None:
    s = BinarySketch()
    x = s.signs(s.input("N", 70))
    y = s.signs(s.norm(s.add("MatMul", x, s.binary_weights(70, 33)), 33, 70))
    network = s.network(s.add("Gemm", y, s.binary_weights(33, 5)))
    check_bits(passes.simplify(network), (3, 70))
    check_bits(network, (3, 70))


CONVOLUTIONS = [
    {},
    {"pads": (1, 1, 1, 1)},
    {"pads": (0, 1, 2, 0), "strides": (2, 1)},
    {"pads": (2, 2, 2, 2), "dilations": (2, 2)},
    {"auto_pad": "SAME_UPPER", "strides": (2, 2)},
]


@pytest.mark.parametrize("attributes", CONVOLUTIONS)
@pytest.mark.parametrize(("channels", "out", "group"), [(3, 5, 1), (64, 32, 1), (70, 20, 2), (128, 64, 4)])
def test_convolutions_stay_on_bits(channels: int, out: int, group: int, attributes: dict[str, Any]) -> None:
    s = BinarySketch()
    x = s.signs(s.input("N", channels, 9, 8))
    y = s.signs(s.norm(s.binary_conv(x, channels, out, group=group, **attributes), out, 9 * channels // group))
    z = s.binary_conv(y, out, 6, 1, scaled=True)
    network = passes.simplify(s.network(s.norm(z, 6, out)))
    check_bits(network, (2, channels, 9, 8), exact=False)
    steps = kernels(network, (2, channels, 9, 8))
    assert steps[:3] == ["pack bits", "binary 3x3 to bits", "binary 1x1 to floats"]


def test_groups_of_few_filters_give_floats_too() -> None:
    s = BinarySketch()
    y = s.binary_conv(s.signs(s.input("N", 12, 6, 6)), 12, 9, group=3, pads=(1, 1, 1, 1))
    network = s.network(s.add("Relu", y))
    check_bits(network, (2, 12, 6, 6))
    assert kernels(network, (2, 12, 6, 6)) == ["pack bits", "binary 3x3 to floats", "transpose"]


def test_groups_of_few_filters_add_a_residual() -> None:
    s = BinarySketch()
    x = s.input("N", 12, 6, 6)
    y = s.binary_conv(s.signs(x), 12, 12, group=3, scaled=True, pads=(1, 1, 1, 1))
    network = passes.simplify(s.network(s.add("Add", s.norm(y, 12, 36), x)))
    check_bits(network, (2, 12, 6, 6), exact=False)
    steps = kernels(network, (2, 12, 6, 6))
    assert steps == ["pack bits", "transpose", "binary 3x3 to floats", "transpose"]


@pytest.mark.parametrize("value", [-1, 1])
def test_padding_by_signs(value: int) -> None:
    s = BinarySketch()
    x = s.signs(s.input("N", 40, 7, 7))
    pads = s.constant(np.array([0, 0, 1, 2, 0, 0, 1, 0]))
    y = s.binary_conv(s.add("Pad", x, pads, s.constant(np.float32(value))), 40, 8)
    network = passes.simplify(s.network(y))
    check_bits(network, (2, 40, 7, 7))
    assert kernels(network, (2, 40, 7, 7))[:2] == ["pack bits", "binary 3x3 to floats"]


def test_pooling_and_flattening_of_bits() -> None:
    s = BinarySketch()
    x = s.signs(s.input("N", 40, 12, 12))
    y = s.signs(s.norm(s.binary_conv(x, 40, 70, pads=(1, 1, 1, 1)), 70, 360))
    y = s.add("MaxPool", y, kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    y = s.add("MaxPool", y, kernel_shape=(2, 2), strides=(2, 2))
    z = s.add("Gemm", s.add("Flatten", y), s.binary_weights(10, 70 * 9), transB=1)
    network = passes.simplify(s.network(z))
    check_bits(network, (2, 40, 12, 12))
    assert kernels(network, (2, 40, 12, 12)) == [
        "pack bits", "binary 3x3 to bits", "pool bits", "pool bits", "binary 3x3 to floats",
    ]  # fmt: skip


def bireal_block(s: BinarySketch, x: str, channels: int) -> str:
    y = s.binary_conv(s.signs(x), channels, channels, scaled=True, pads=(1, 1, 1, 1))
    return s.add("Add", s.norm(y, channels, 9 * channels), x)


@pytest.mark.parametrize("channels", [16, 40, 64])
def test_residual_blocks_with_real_sums_and_real_first_and_last_layers(channels: int) -> None:
    s = BinarySketch()
    x = s.conv(s.input("N", 3, 16, 16), 3, channels, strides=(2, 2))
    for _ in range(2):
        x = bireal_block(s, x, channels)
    x = s.conv(s.add("Relu", x), channels, 24)
    z = s.add("Gemm", s.add("Flatten", s.add("GlobalAveragePool", x)), s.weights(7, 24), transB=1)
    network = passes.simplify(s.network(z))
    check_bits(network, (2, 3, 16, 16), exact=False)
    steps = kernels(network, (2, 3, 16, 16))
    made = [step for step in steps if "binary" in step or "bits" in step]
    assert made == ["pack bits", "binary 3x3 to floats and bits", "binary 3x3 to floats"]


def test_xnor_nets_order_of_layers() -> None:
    """Batch norm, sign, convolution, pooling; batch norm of real values is a threshold where they are packed."""
    s = BinarySketch()
    x = s.input("N", 40, 12, 12)
    for _ in range(2):
        y = s.signs(s.norm(x, 40, 4))
        x = s.add("MaxPool", s.binary_conv(y, 40, 40, scaled=True), kernel_shape=(2, 2), strides=(2, 2))
    network = passes.simplify(s.network(x))
    check_bits(network, (2, 40, 12, 12), exact=False)
    steps = kernels(network, (2, 40, 12, 12))
    assert "numpy" not in steps and steps.count("pack bits") == 2


def test_xnor_nets_scale_map_multiplies_what_bits_give() -> None:
    s = BinarySketch()
    x = s.input("N", 40, 9, 9)
    mean = s.add("ReduceMean", s.add("Abs", x), s.constant(np.array([1])), keepdims=1)
    box = s.constant(np.full((1, 1, 3, 3), 1 / 9, np.float32))
    scale = s.add("Conv", mean, box, kernel_shape=(3, 3), pads=(1, 1, 1, 1))
    y = s.binary_conv(s.signs(x), 40, 24, scaled=True, pads=(1, 1, 1, 1))
    network = passes.simplify(s.network(s.add("Mul", y, scale)))
    check_bits(network, (2, 40, 9, 9), exact=False)
    assert "binary 3x3 to floats" in kernels(network, (2, 40, 9, 9))


def test_bits_that_others_want_as_floats() -> None:
    s = BinarySketch()
    x = s.signs(s.input("N", 20, 6, 6))
    y = s.signs(s.norm(s.binary_conv(x, 20, 36), 36, 180))
    z = s.binary_conv(y, 36, 8, 1)
    network = passes.simplify(s.network(y, z, s.add("AveragePool", y, kernel_shape=(2, 2)), s.add("Flatten", x)))
    check_bits(network, (3, 20, 6, 6), exact=False)


def test_empty_batches_and_images_of_one_axis() -> None:
    network = passes.simplify(mlp((70, 40, 10), "where"))
    assert accel.InferenceSession(network).run(None, {"x0": normal(0, 70)})[0].shape == (0, 10)
    s = BinarySketch()
    x = s.signs(s.input("N", 8, 12))
    y = s.add("Conv", x, s.binary_weights(6, 8, 3), kernel_shape=(3,), pads=(1, 1))
    network = passes.simplify(s.network(s.signs(s.norm(y, 6, 24))))
    check_bits(network, (2, 8, 12))


def test_signs_and_sums_that_are_outputs_themselves() -> None:
    s = BinarySketch()
    x = s.signs(s.input("N", 20, 6, 6))
    y = s.binary_conv(x, 20, 16, scaled=True, pads=(1, 1, 1, 1))
    z = s.signs(y)
    network = passes.simplify(s.network(y, z, s.binary_conv(z, 16, 16, 1), x))
    check_bits(network, (2, 20, 6, 6), exact=False)


def test_a_sign_that_can_be_0_is_computed_on_floats() -> None:
    s = BinarySketch()
    x = s.signs(s.input("N", 30), "sign")
    network = s.network(s.add("Gemm", x, s.binary_weights(6, 30), transB=1))
    feed = np.array([[0, 1, -1] * 10], np.float32)
    (got,) = accel.InferenceSession(network).run(None, {"x0": feed})
    np.testing.assert_array_equal(got, expected(network, {"x0": feed})[0])
    assert "pack bits" not in kernels(network, (1, 30))


def test_zeros_and_nan_count_as_where_says() -> None:
    s = BinarySketch()
    x = s.signs(s.input("N", 4, 2, 2))
    network = s.network(s.binary_conv(x, 4, 3, 1))
    feed = np.array([0, -0.0, np.nan, np.inf, -np.inf, 1, -1, 0] * 2, np.float32).reshape(1, 4, 2, 2)
    (got,) = accel.InferenceSession(network).run(None, {"x0": feed})
    np.testing.assert_array_equal(got, expected(network, {"x0": feed})[0])


def test_inputs_of_signs_are_seen_at_each_run() -> None:
    s = BinarySketch()
    y = s.add(
        "Gemm", s.input("N", 70), s.binary_weights(9, 70), s.constant(np.arange(9, dtype=np.float32) + 0.5), transB=1
    )
    network = s.network(s.add("Gemm", s.signs(y, "sign"), s.binary_weights(4, 9), transB=1))
    session = accel.InferenceSession(network, threads=1)
    rng = np.random.default_rng(0)
    for round_ in range(4):
        x = rng.choice(np.array([-1, 1], np.float32), (3, 70))
        if round_ % 2:
            x[1, 5] = 0.25
        np.testing.assert_array_equal(session.run(None, {"x0": x})[0], expected(network, {"x0": x})[0])
        steps = [step["kernel"] for step in session.explain({"x0": x})]
        assert ("pack bits" in steps) == (round_ % 2 == 0)


def test_weights_are_held_as_bits_and_come_back() -> None:
    network = passes.simplify(mlp((256, 512, 512, 10), "sign"))
    data = network.to_onnx().SerializeToString()
    session = accel.InferenceSession(data, threads=1)
    session.run(None, {"x0": normal(1, 256)})
    held = [c for c in session._network.constants.values() if c.ndim == 2]
    assert all(isinstance(c, Binary) for c in held)
    assert session.resident_bytes < sum(4 * c.size for c in held) / 8
    for name, array in session.network.constants.items():
        np.testing.assert_array_equal(array, network.constants[name])


def test_the_numpy_and_numba_back_ends_agree(backend: str) -> None:
    network = passes.simplify(mlp((70, 40, 10), "where"))
    feeds = {"x0": normal(3, 70)}
    with accel.using(backend=backend):
        (got,) = accel.InferenceSession(network).run(None, feeds)
    np.testing.assert_array_equal(got, Interpreter(network).run(feeds)[0])


def test_the_trained_mnist_network_has_its_scores_bit_for_bit(shared_data: Path) -> None:
    with np.load(shared_data / "images" / "mnist_test.npz") as data:
        images, labels = data["images"].reshape(-1, 784), data["labels"]
    with np.load(shared_data / "models" / "bnn_lfcW1A1_mnist_scores.npz") as data:
        scores = data["scores"]
    x = np.where(images >= 128, np.float32(1), np.float32(-1))
    session = accel.InferenceSession(shared_data / "models" / "bnn_lfcW1A1_mnist_sign.onnx", threads=1)
    found = np.concatenate([session.run(None, {"input": x[i : i + 2000]})[0] for i in range(0, 10_000, 2000)])
    np.testing.assert_array_equal(found, scores)
    assert (found.argmax(1) == labels).mean() == 0.9834
