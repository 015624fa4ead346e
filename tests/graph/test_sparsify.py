"""Zeros found when a network is loaded: which weights become sparse, and that the function stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from graph.builders import assert_same, cnn_model, feeds, network, random, value

import accel
from accel.graph import Network, Node, load
from accel.graph.sparsify import SAMPLE, sparsify
from accel.weights import Codebook, Csr, CsrCodebook, Dense, Weight

IMAGE = value("x", 1, 8, 5, 5)


def pruned(seed: int, zeros: float, *shape: int) -> np.ndarray:
    """With exactly this share of zeros, rounded down."""
    w = random(seed, *shape)
    w[w == 0] = 1
    flat = w.reshape(-1)
    flat[np.random.default_rng(seed).permutation(flat.size)[: int(flat.size * zeros)]] = 0
    return w


def conv(weight: np.ndarray | Weight) -> Network:
    net = network([Node("Conv", ["x", "w"], ["y"])], {"w": np.zeros(0, np.float32)}, [IMAGE], ["y"])
    return net.with_constants({"w": weight})


@pytest.mark.parametrize("outputs", [4, SAMPLE // 16, SAMPLE])  # counted, sampled and counted, sampled
@pytest.mark.parametrize(("zeros", "sparse"), [(0.0, False), (0.4, False), (0.49, False), (0.5, True), (0.9, True)])
def test_half_zeros_make_a_weight_sparse(outputs: int, zeros: float, sparse: bool) -> None:
    before = conv(pruned(0, zeros, outputs, 8, 1, 1))
    after = sparsify(before)
    assert isinstance(after.constants["w"], Csr) == sparse
    if sparse:
        np.testing.assert_array_equal(after.constants["w"].dense(), before.constants["w"])  # type: ignore[union-attr]
        assert_same(before, after, 0)
    else:
        assert after is before


def test_codebooks_of_many_zeros() -> None:
    for zeros, kind in ((0.3, Codebook), (0.7, CsrCodebook)):
        before = conv(Codebook.fit(pruned(0, zeros, 300, 8, 3, 3), 4))
        after = sparsify(before)
        assert type(after.constants["w"]) is kind
        assert_same(before, after, 0)


def test_other_weights_stay() -> None:
    for weight in (
        pruned(0, 0.9, 4, 8, 1, 1).astype(np.float64),
        Dense(pruned(0, 0.9, 4, 8, 1, 1)),
        np.zeros((0, 8, 1, 1), np.float32),
    ):
        net = conv(weight)
        assert sparsify(net) is net


def test_only_weights_with_the_outputs_first_are_taken() -> None:
    w = pruned(0, 0.8, 8, 8)
    nodes = [
        Node("MatMul", ["x", "matmul"], ["a"]),
        Node("Gemm", ["a", "columns"], ["b"]),
        Node("Gemm", ["b", "rows"], ["c"], {"transB": 1}),
        Node("Gemm", ["c", "both"], ["d"], {"transB": 1}),
        Node("Gemm", ["d", "both"], ["e"]),
        Node("Gemm", ["e", "added", "added"], ["f"], {"transB": 1}),
        Node("Gemm", ["f", "given"], ["y"], {"transB": 1}),
    ]
    names = ("matmul", "columns", "rows", "both", "added", "given")
    before = network(nodes, dict.fromkeys(names, w), [value("x", 8, 8)], ["y", "given"])
    after = sparsify(before)
    assert [name for name, constant in after.constants.items() if isinstance(constant, Csr)] == ["rows"]
    assert_same(before, after, 0)


def test_what_is_not_a_number_stays() -> None:
    w = pruned(0, 0.9, 4, 8, 1, 1)
    w[0, 0] = np.nan
    found = sparsify(conv(w)).constants["w"]
    assert isinstance(found, Csr)
    np.testing.assert_array_equal(found.dense(), w)


def pruned_model() -> onnx.ModelProto:
    model = cnn_model()
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.ndim == 4:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array * (np.abs(array) > 0.9), tensor.name))
    return model


def test_load_finds_zeros_when_asked(tmp_path: Path) -> None:
    onnx.save(pruned_model(), tmp_path / "m.onnx")
    kept, found = load(tmp_path / "m.onnx"), load(tmp_path / "m.onnx", sparse="auto")
    assert not any(isinstance(c, Weight) for c in kept.constants.values())
    sparse = [name for name, c in found.constants.items() if isinstance(c, Csr)]
    assert len(sparse) >= 2
    assert_same(kept, found, 0)
    outputs = [accel.InferenceSession(net).run(None, feeds(kept)) for net in (kept, found)]
    for left, right in zip(*outputs, strict=True):
        np.testing.assert_array_equal(left, right)
    found.save(tmp_path / "m.accel")
    again = load(tmp_path / "m.accel")
    assert [name for name, c in again.constants.items() if isinstance(c, Csr)] == sparse
    kept.save(tmp_path / "kept.accel")
    for source in (tmp_path / "kept.accel", kept):
        assert isinstance(load(source, sparse="auto").constants[sparse[0]], Csr)


def test_the_option_is_checked() -> None:
    with pytest.raises(ValueError, match="sparse: expected auto or keep, got 'always'"):
        load(cnn_model(), sparse="always")
