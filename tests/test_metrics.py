"""Metrics by the survey's names, checked by hand on LeNet-300-100."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest

import accel
from accel.compress._size import file_bytes
from accel.graph.network import Network, Node, Value
from accel.metrics import Delta, Metrics, count_macs, count_parameters, measure_delta, metrics, stage_bytes
from accel.weights import Codebook, Csr, CsrCodebook

FLOAT = np.dtype(np.float32)
LENET = (784, 300, 100, 10)
PARAMETERS = 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10


def lenet(seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    constants: dict[str, np.ndarray] = {"shape": np.array([-1, 784], np.int64)}
    nodes = [Node("Reshape", ["x", "shape"], ["v0"])]
    for at, (inputs, outputs) in enumerate(itertools.pairwise(LENET)):
        constants[f"w{at}"] = rng.standard_normal((outputs, inputs)).astype(np.float32)
        constants[f"b{at}"] = np.ones(outputs, np.float32)
        nodes.append(Node("Gemm", [f"v{at}", f"w{at}", f"b{at}"], [f"u{at}"], {"transB": 1}))
        nodes.append(Node("Relu", [f"u{at}"], [f"v{at + 1}"]))
    return Network("lenet", [Value("x", FLOAT, ("N", 784))], [Value("v3", FLOAT, None)], nodes, constants)


def pruned(network: Network, keep: int) -> Network:
    """Every weight as a codebook of 0 and 1.5, `keep` ones in each."""
    changed = {}
    for _, name, weight in network.weights():
        codes = np.zeros(weight.shape, np.uint8)
        codes.reshape(-1)[:keep] = 1
        changed[name] = Codebook(codes, np.float32([0, 1.5]))
    return network.with_constants(changed)


def test_lenet_300_100_by_hand(tmp_path: Path) -> None:
    network = lenet()
    small = pruned(network, 500)
    small.save(tmp_path / "small.accel")
    found = accel.metrics(network, small)
    after = 3 * (500 + 2) + 410
    assert PARAMETERS == 266_610 and found.parameters == (266_610, after)
    assert found.alpha == 266_610 / after
    assert found.beta == found.space_saving == 1 - after / 266_610 and 0 < found.beta < 1
    assert found.beta_survey == pytest.approx((266_610 - after) / after) and found.beta_survey > 1
    size = (tmp_path / "small.accel").stat().st_size
    assert found.file_bytes == (4 * 266_610 + 16, size)
    assert found.alpha_bytes == (4 * 266_610 + 16) / size
    assert found.macs == 784 * 300 + 300 * 100 + 100 * 10
    assert found.resident_bytes is not None and found.alpha_resident is not None
    assert found.resident_bytes[0] >= 4 * 266_610


def test_files_are_counted_when_given(tmp_path: Path) -> None:
    for name, size in (("a", 1000), ("b", 10)):
        (tmp_path / name).write_bytes(bytes(size))
    network = lenet()
    found = metrics(network, network, original_path=tmp_path / "a", compressed_path=tmp_path / "b")
    assert found.file_bytes == (1000, 10) and found.alpha_bytes == 100


def test_unknown_shapes_leave_the_bytes_in_memory_open() -> None:
    network = lenet()
    network.inputs[0] = Value("x", FLOAT, ("N", "features"))
    found = metrics(network, network)
    assert found.resident_bytes is None and found.alpha_resident is None and "resident" not in str(found)
    sample = {"x": np.zeros((2, 784), np.float32)}
    assert metrics(network, network, sample=sample).alpha_resident == pytest.approx(1)


def test_parameters_of_every_kind() -> None:
    constants = {
        "w": Csr.from_dense(np.eye(4, dtype=np.float32)),
        "f": np.zeros((2, 3), np.float16),
        "scalar": np.array(1.0, np.float32),
        "shape": np.zeros(4, np.int64),
        "q": np.zeros((5, 5), np.int8),
        "other": np.zeros(7, np.int8),
    }
    nodes = [Node("DequantizeLinear", ["q", "scalar"], ["d"])]
    assert count_parameters(Network("n", [], [], nodes, constants)) == 4 + 6 + 25


def test_macs_of_convolutions() -> None:
    """7x7 stride 2 on 3x16x16, padded by 3: 8x8 places; two groups halve the weight, not the places."""
    constants = {"w": np.zeros((8, 3, 7, 7), np.float32), "g": np.zeros((8, 4, 3, 3), np.float32)}
    nodes = [
        Node("Conv", ["x", "w"], ["y"], {"strides": (2, 2), "pads": (3, 3, 3, 3)}),
        Node("Conv", ["y", "g"], ["z"], {"group": 2, "pads": (1, 1, 1, 1)}),
    ]
    network = Network("n", [Value("x", FLOAT, ("N", 3, 16, 16))], [Value("z", FLOAT, None)], nodes, constants)
    assert count_macs(network) == 64 * 8 * 3 * 49 + 64 * 8 * 4 * 9
    network.inputs[0] = Value("x", FLOAT, ("N", 3, "H", "W"))
    assert count_macs(network) is None
    network.inputs[0] = Value("x", FLOAT, None)
    assert count_macs(network) is None


def test_macs_of_a_quantized_layer_are_those_of_the_layer() -> None:
    constants = {"q": np.zeros((5, 7), np.int8), "scale": np.float32(0.5)}
    nodes = [Node("DequantizeLinear", ["q", "scale"], ["w"]), Node("Gemm", ["x", "w"], ["y"], {"transB": 1})]
    network = Network("n", [Value("x", FLOAT, ("N", 7))], [Value("y", FLOAT, None)], nodes, constants)
    assert count_macs(network) == 5 * 7


def test_a_loss_of_nothing_is_not_printed_as_less_than_nothing() -> None:
    assert "-0.00" not in str(Metrics((38_282, 38_378), (2, 1), None, None))


def test_text_and_json() -> None:
    delta = Delta(2.0, 1.9, 2.1, 0.05, 9, 0.2, 0.1, 1, 4, "avx2", "native")
    found = Metrics((100, 25), (400, 40), (400, 200), 1000, delta)
    text = str(found)
    for part in (
        "4.00",
        "10.00",
        "2.00",
        "0.75",
        "3.00",
        "quartiles 1.90..2.10",
        "batch 4, avx2",
        "1,000 multiply-adds",
    ):
        assert part in text
    data = json.loads(json.dumps(found.as_dict()))
    assert data["alpha"] == 4 and data["beta_survey"] == 3 and data["delta"]["median"] == 2 and data["macs"] == 1000


def test_delta_of_a_known_ratio() -> None:
    """A call that sleeps 6 ms against one of 2 ms: sleeping overshoots a little on both sides."""
    found = measure_delta(lambda: time.sleep(0.006), lambda: time.sleep(0.002), batch=3, seconds=0.3)
    assert 1.8 < found.median < 3.2 and found.low <= found.high and found.mad >= 0
    assert found.rounds >= 5 and found.batch == 3
    assert found.threads == accel.isa_info()["threads"] and found.isa == accel.isa_info()["isa"]
    assert found.original_seconds / found.compressed_seconds == pytest.approx(found.median)


def test_delta_runs_both_in_turn() -> None:
    calls: list[str] = []
    found = measure_delta(lambda: calls.append("a"), lambda: calls.append("b"), seconds=0)
    assert found.rounds == 5 and calls[4:] == list("abbaabbaab")


def test_bytes_of_every_stage_by_hand() -> None:
    """1,000 weights, 100 of them left in a row at the start: 4-bit gaps, no fillers. One bit codes two values."""
    codes = np.zeros((10, 100), np.uint8)
    codes[0] = 1
    weight = Codebook(codes, np.float32([0, 2]))
    nodes = [Node("Gemm", ["x", "w"], ["y"], {"transB": 1})]
    inputs, outputs = [Value("x", FLOAT, ("N", 100))], [Value("y", FLOAT, ("N", 10))]
    original = Network("n", inputs, outputs, nodes, {"w": weight.dense()})
    small = original.with_constants({"w": weight})
    assert stage_bytes(original, small) == {
        "float32": 4000,
        "pruned": 100 * (32 + 4) // 8,
        "shared": 100 * (1 + 4) // 8 + 1 + 8,
        "coded": file_bytes(small),
    }
    csr = original.with_constants({"w": Csr.from_dense(weight.dense())})
    assert stage_bytes(original, csr)["pruned"] == stage_bytes(original, csr)["shared"] == 450
    shared = stage_bytes(original, original.with_constants({"w": CsrCodebook.from_codebook(weight)}))
    assert shared["pruned"] == 450 and shared["shared"] == 100 * (1 + 4) // 8 + 1 + 4


def test_stages_only_shrink_on_a_real_recipe() -> None:
    network = lenet()
    stages = list(stage_bytes(network, accel.compress(network, bits=4, sparsity=0.8, progress=False)).values())
    assert stages == sorted(stages, reverse=True) and len(set(stages)) == 4


def test_other_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="compressed: expected a Network, got str 'x'"):
        metrics(lenet(), "x")  # type: ignore[arg-type]
