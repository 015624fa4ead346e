"""Networks with pruned weights: the same results as dense, by whatever the planner chooses, and lying where it says."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, assert_close, check, expected, normal
from engine.test_random_networks import grow

import accel
from accel.engine import tuning, tuning_cache
from accel.engine.lowering import matrix
from accel.engine.packed import PackedCsr
from accel.graph import Network
from accel.graph.onnx_writer import to_onnx
from accel.kernels import runtime
from accel.kernels.sparse import SparseArrays
from accel.weights import NM, Bsr, Codebook, Csr, CsrCodebook

if runtime.core is None:
    pytest.skip("only native kernels leave zeros out", allow_module_level=True)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """No times, neither on disk nor in the process."""
    monkeypatch.setenv("ACCEL_CACHE_DIR", "")
    monkeypatch.setattr(tuning_cache, "_times", {})


@pytest.fixture
def sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be computed without zeros is."""
    stopwatch(monkeypatch, 1e-9)
    monkeypatch.setattr(matrix, "linear_cycles", lambda *_: (2.0, 1.0))


def stopwatch(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let sparse methods take these seconds, and all others 1 ms."""
    monkeypatch.setattr(tuning, "_measure", lambda _, methods: [1e-3] * len(methods))
    monkeypatch.setattr(tuning, "_least", lambda trials: [seconds] * len(trials))


def prune(network: Network, share: float = 0.9, seed: int = 0) -> Network:
    """Zeros at random in every weight of two axes or more."""
    rng = np.random.default_rng(seed)
    for name, w in network.constants.items():
        if isinstance(w, np.ndarray) and w.dtype == np.float32 and w.ndim > 1:
            network.constants[name] = w * (rng.random(w.shape) >= share).astype(np.float32)
    return network


def kernels(session: accel.InferenceSession, feeds: dict[str, np.ndarray]) -> list[str]:
    return [step["kernel"] for step in session.explain(feeds)]


def chain(images: int = 2) -> tuple[Network, dict[str, np.ndarray]]:
    """Sparse, Relu, Add, Clip, pool, depthwise, Concat, mean, Gemm."""
    s = Sketch()
    x = s.input(images, 24, 12, 12)
    a = s.add("Relu", s.conv(x, 24, 32, 1))
    b = s.conv(a, 32, 32, 3)
    y = s.add("Add", a, b)
    y = s.add("Clip", y, s.constant(np.float32(-1)), s.constant(np.float32(2)))
    y = s.add("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    y = s.add("HardSwish", s.conv(y, 32, 32, 3, group=32))
    y = s.add("Concat", y, s.conv(y, 32, 20, 1), axis=1)
    y = s.add("Flatten", s.add("GlobalAveragePool", y))
    y = s.add("Gemm", y, s.weights(40, 52), s.weights(40), transB=1)
    y = s.add("MatMul", y, s.weights(40, 30))
    network = prune(s.network(y))
    for node in network.nodes:  # not the depthwise one: it has no zeros to speak of
        if node.attributes.get("group", 1) > 1:
            network.constants[node.inputs[1]] = s.rng.standard_normal((32, 1, 3, 3)).astype(np.float32)
    return network, {"x0": normal(images, 24, 12, 12)}


# -- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [1, 3, 16])
def test_a_chain_stays_in_planes(sparse: None, isa: str, images: int) -> None:
    network, feeds = chain(images)
    session = check(network, feeds)
    steps = kernels(session, feeds)
    assert [k for k in steps if k.startswith(("conv", "pool", "linear"))] == [
        "conv sparse planes", "conv sparse planes", "pool planes", "conv direct planes", "conv sparse planes",
        "linear sparse", "linear sparse",
    ]  # fmt: skip
    moved = [k for k in steps[: steps.index("global average")] if k in ("import", "export", "copy")]
    assert moved == ["import"], "for the mean alone"


@pytest.mark.parametrize("images", [1, 3, 16])
def test_threads_do_not_change_a_bit(sparse: None, isa: str, images: int) -> None:
    network, feeds = chain(images)
    one, two, five = (accel.InferenceSession(network, threads=t).run(None, feeds) for t in (1, 2, 5))
    assert one[0].tobytes() == two[0].tobytes() == five[0].tobytes()


def test_images_alone_have_the_bits_of_convolutions_in_a_batch(sparse: None) -> None:
    s = Sketch()
    x = s.input("N", 8, 9, 7)
    network = prune(s.network(s.conv(s.conv(x, 8, 30), 30, 17, strides=(2, 2))), 0.7)
    session, x16 = accel.InferenceSession(network), normal(16, 8, 9, 7)
    (batch,) = session.run(None, {"x0": x16})
    for i in (0, 7, 15):
        assert session.run(None, {"x0": x16[i : i + 1]})[0].tobytes() == batch[i : i + 1].tobytes()


def test_onnxruntime_agrees(sparse: None, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    network, feeds = chain(3)
    to_onnx(network, tmp_path / "m.onnx")
    peer = ort.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert_close(accel.InferenceSession(network).run(None, feeds), peer.run(None, feeds))


@pytest.mark.parametrize("seed", range(60))
def test_random_networks(sparse: None, seed: int) -> None:
    network, feeds = grow(4000 + seed, 4 + seed % 14)
    prune(network, [0.5, 0.7, 0.9, 1.0][seed % 4], seed)
    check(network, feeds, threads=1 + seed % 3)


@pytest.mark.parametrize("seed", range(60))
def test_random_networks_of_both_kinds(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Every other weight has zeros: values change between planes and blocks."""
    stopwatch(monkeypatch, 1e-9)
    network, feeds = grow(7000 + seed, 4 + seed % 14)
    dense = dict(network.constants)
    prune(network, 0.8, seed)
    for name in list(dense)[::2]:
        network.constants[name] = dense[name]
    check(network, feeds, threads=1 + seed % 3)


def test_an_output_that_a_sparse_convolution_makes(sparse: None) -> None:
    s = Sketch()
    x = s.input(2, 8, 6, 5)
    y = s.conv(x, 8, 12)
    network = prune(s.network(y, s.conv(y, 12, 9)), 0.6)
    check(network, {"x0": normal(2, 8, 6, 5)})


@pytest.mark.parametrize("blocks_first", [True, False])
def test_a_residual_in_the_other_layout(sparse: None, blocks_first: bool) -> None:
    """Dense branch, sparse sum, and the reverse."""
    s = Sketch()
    x = s.input(2, 16, 7, 6)
    a, b = s.conv(x, 16, 32), s.conv(x, 16, 32, 1)
    network = s.network(s.conv(s.add("Relu", s.add("Add", a, b)), 32, 8))
    weights = [node.inputs[1] for node in network.nodes if node.op == "Conv"]
    name = weights[1 if blocks_first else 0]
    network.constants[name] = network.constants[name] * (np.random.default_rng(1).random((32, 1, 1, 1)) > 0.7)
    network.constants[name] = np.ascontiguousarray(network.constants[name], np.float32)
    session = check(network, {"x0": normal(2, 16, 7, 6)})
    assert kernels(session, {"x0": normal(2, 16, 7, 6)}).count("conv sparse planes") == 1


@pytest.mark.parametrize("group", [2, 3, 4])
def test_groups(sparse: None, group: int) -> None:
    s = Sketch()
    x = s.input(2, 24, 7, 6)
    network = prune(s.network(s.conv(x, 24, 36, group=group)), 0.7)
    session = check(network, {"x0": normal(2, 24, 7, 6)})
    assert "conv sparse planes" in kernels(session, {"x0": normal(2, 24, 7, 6)})


def test_weights_without_any_value(sparse: None) -> None:
    network, feeds = chain()
    check(prune(network, 1.0), feeds)


def test_weights_that_are_not_numbers(sparse: None) -> None:
    """They reach what they are multiplied with, the padding too, as in dense layers."""
    for value in (np.nan, np.inf):
        s = Sketch()
        x = s.input(1, 8, 6, 5)
        network = prune(s.network(s.conv(x, 8, 12)), 0.7)
        network.constants["c0"][3, 2, 0, 0] = value
        feeds = {"x0": np.abs(normal(1, 8, 6, 5))}
        wanted, (y,) = expected(network, feeds)[0], accel.InferenceSession(network).run(None, feeds)
        np.testing.assert_array_equal(np.isnan(y), np.isnan(wanted))
        np.testing.assert_array_equal(np.isinf(y), np.isinf(wanted))
        finite = np.isfinite(wanted)
        np.testing.assert_allclose(y[finite], wanted[finite], atol=1e-5)


def test_zeros_that_are_left_out_meet_no_infinity(sparse: None) -> None:
    """What `accel` promises of sparse layers, where the dense one has 0 x inf = NaN."""
    s = Sketch()
    x = s.input(1, 8, 6, 5)
    network = s.network(s.conv(x, 8, 12, 1))
    network.constants["c0"][:, 3:] = 0
    feeds = {"x0": normal(1, 8, 6, 5)}
    feeds["x0"][0, 5] = np.inf
    assert np.isfinite(accel.InferenceSession(network).run(None, feeds)[0]).all()


# -- what is chosen --------------------------------------------------------------------------------------------------


def one_layer(share: float = 0.9, kernel: int = 3) -> tuple[Network, dict[str, np.ndarray]]:
    s = Sketch()
    x = s.input(1, 64, 14, 14)
    return prune(s.network(s.conv(x, 64, 64, kernel)), share), {"x0": normal(1, 64, 14, 14)}


def choice_of(network: Network, feeds: dict[str, np.ndarray]) -> dict[str, Any]:
    steps = accel.InferenceSession(network).explain(feeds)
    return next(step["choice"] for step in steps if "choice" in step)  # type: ignore[no-any-return]


def test_the_faster_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds, wanted, worth in ((5e-4, True, "81%"), (2e-3, False, "95%")):
        tuning_cache._times.clear()
        stopwatch(monkeypatch, seconds)
        choice = choice_of(*one_layer())
        assert (choice["method"] == "sparse planes") is wanted
        assert choice["reason"].startswith("measured, ") and choice["reason"].endswith(
            f"zeros, break-even near {worth}"
        )
        (candidate,) = [c for c in choice["candidates"] if c["method"] == "sparse planes"]
        assert candidate["seconds"] == seconds and candidate["cycles"] > 0
        assert len(choice["candidates"]) > 1


def test_the_prediction_decides_without_tuning() -> None:
    for share, wanted in ((0.99, True), (0.45, False)):
        with accel.using(tune=False):
            choice = choice_of(*one_layer(share))
        assert (choice["method"] == "sparse planes") is wanted
        assert choice["reason"].startswith("predicted, ") and "% zeros, break-even near " in choice["reason"]
        assert [c["seconds"] for c in choice["candidates"]] == [None] * len(choice["candidates"])
        assert "sparse planes" in [c["method"] for c in choice["candidates"]]


def test_few_zeros_are_no_candidate() -> None:
    with accel.using(tune=False):
        assert "sparse planes" not in [c["method"] for c in choice_of(*one_layer(0.3))["candidates"]]


def test_what_moves_a_value_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lead that is shorter than the copy between layouts is none, unless the input lies in planes already."""
    monkeypatch.setattr(tuning, "_RELAYOUT_SECONDS", 1.0)
    stopwatch(monkeypatch, 9e-4)
    assert choice_of(*one_layer())["method"] == "sparse planes"  # the network's input is in planes
    s = Sketch()
    middle = s.conv(s.input(1, 64, 14, 14), 64, 64)
    network, feeds = s.network(s.conv(middle, 64, 64)), {"x0": normal(1, 64, 14, 14)}
    network.constants[network.nodes[1].inputs[1]] *= normal(64, 64, 3, 3, seed=5) > 1.5
    choices = [step["choice"]["method"] for step in accel.InferenceSession(network).explain(feeds) if "choice" in step]
    assert "sparse planes" not in choices


def test_a_measured_choice_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    stopwatch(monkeypatch, 1e-9)
    network, feeds = one_layer()
    assert choice_of(network, feeds)["method"] == "sparse planes"
    stopwatch(monkeypatch, 1.0)
    assert choice_of(network, feeds)["method"] == "sparse planes"


def test_what_is_measured_runs() -> None:
    """The real stopwatch, once."""
    choice = choice_of(*one_layer(0.95, 1))
    assert all(0 < c["seconds"] < 1 for c in choice["candidates"])


# -- weights of every kind -------------------------------------------------------------------------------------------


def of_every_kind(kind: str) -> tuple[Network, dict[str, np.ndarray]]:
    s = Sketch()
    x = s.input(2, 16, 6, 5)
    y = s.add("Relu", s.conv(x, 16, 24))
    y = s.add("Flatten", s.add("GlobalAveragePool", s.conv(y, 24, 32, 1)))
    network = s.network(s.add("Gemm", y, s.weights(20, 32), s.weights(20), transB=1))
    make = {
        "csr": Csr.from_dense,
        "bfloat16": lambda w: Csr.from_dense(w, "bfloat16"),
        "int8": lambda w: Csr.from_dense(w, "int8"),
        "csr codebook": lambda w: CsrCodebook.fit(w, 4),
        "wide codebook": lambda w: CsrCodebook.fit(w, 6),
        "bsr": lambda w: Bsr.from_dense(w, (4, 1)),
        "nm": lambda w: NM.from_dense(w, 2, 8),
        "codebook": lambda w: Codebook.fit(w, bits=4),
    }[kind]
    for name, w in prune(network, 0.8).constants.items():
        if isinstance(w, np.ndarray) and w.ndim > 1:
            if kind == "nm":
                w = np.where(np.arange(w.size).reshape(w.shape) % 8 < 2, s.constants[name], 0).astype(np.float32)
            network.constants[name] = make(np.ascontiguousarray(w))
    return network, {"x0": normal(2, 16, 6, 5)}


KINDS = ["csr", "bfloat16", "int8", "csr codebook", "wide codebook", "bsr", "nm", "codebook"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_weight(sparse: None, isa: str, kind: str) -> None:
    network, feeds = of_every_kind(kind)
    steps = kernels(check(network, feeds), feeds)
    assert steps.count("conv sparse planes") == 2 and steps.count("linear sparse") == 1


@pytest.mark.parametrize("kind", ["csr", "bfloat16", "int8", "csr codebook"])
def test_a_file_runs_without_dense_weights(
    sparse: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    network, feeds = of_every_kind(kind)
    wanted = expected(network, feeds)
    network.save(tmp_path / "m.accel")

    def refuse(self: object) -> np.ndarray:
        raise AssertionError("made dense")

    for weight in (Csr, CsrCodebook):
        monkeypatch.setattr(weight, "dense", refuse)
    session = accel.InferenceSession(tmp_path / "m.accel")
    assert_close(session.run(None, feeds), wanted)
    assert session.network is session._network


@pytest.mark.parametrize("rows", [1, 3, 5, 40])
@pytest.mark.parametrize("values", ["float32", "bfloat16", "int8"])
def test_weights_whose_rows_are_inputs(sparse: None, rows: int, values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of MatMul and of Gemm without transB: transposed as they are stored."""
    s = Sketch()
    y = s.add("MatMul", s.input(rows, 30), s.weights(30, 50))
    network = prune(s.network(s.add("Gemm", y, s.weights(50, 20), s.weights(20), transB=0, beta=0.5)), 0.7)
    for name, w in network.constants.items():
        if isinstance(w, np.ndarray) and w.ndim > 1:
            network.constants[name] = Csr.from_dense(w, values)
    feeds = {"x0": normal(rows, 30)}
    wanted = expected(network, feeds)
    monkeypatch.setattr(Csr, "dense", lambda _: pytest.fail("made dense"))
    session = accel.InferenceSession(network)
    assert_close(session.run(None, feeds), wanted)
    assert kernels(session, feeds) == ["linear sparse"] * 2


def test_alpha_is_multiplied_into_dense_weights(sparse: None) -> None:
    s = Sketch()
    x = s.input(6, 30)
    network = prune(s.network(s.add("Gemm", x, s.weights(20, 30), s.weights(20), transB=1, alpha=0.5)))
    assert kernels(check(network, {"x0": normal(6, 30)}), {"x0": normal(6, 30)}) == ["linear"]


def test_a_transposed_matrix_is_the_transposed_matrix() -> None:
    w = normal(7, 11) * (normal(7, 11, seed=1) > 0.5)
    for a, wanted in ((w, w.T), (np.zeros((3, 0), np.float32), np.zeros((0, 3)))):
        t = SparseArrays.of(a).transposed(a.shape[1])
        again = np.zeros(wanted.shape, np.float32)
        again[np.repeat(np.arange(t.rows), np.diff(t.indptr)), t.indices] = t.values
        np.testing.assert_array_equal(again, wanted)
        assert t.indptr.dtype == t.indices.dtype == np.int32


# -- what is held ----------------------------------------------------------------------------------------------------


def test_dense_weights_are_let_go(sparse: None, tmp_path: Path) -> None:
    """Of a network that the session loaded; `network` gives them back, but for the signs of zeros."""
    network, feeds = chain()
    network.save(tmp_path / "m.accel")
    session = accel.InferenceSession(tmp_path / "m.accel")
    held = {name: weakref.ref(c) for _, name, c in session._network.weights() if c.shape[1] > 1}
    sizes = {name: ref().nbytes for name, ref in held.items()}  # type: ignore[union-attr]
    assert_close(session.run(None, feeds), expected(network, feeds))
    assert len(held) == 5 and all(ref() is None for ref in held.values())
    for name in held:
        weight = session._network.constants[name]
        assert isinstance(weight, PackedCsr) and weight.nbytes < sizes[name] / 2
    for name, wanted in network.constants.items():
        got = session.network.constants[name]
        assert type(got) is np.ndarray and np.array_equal(got, wanted)


@pytest.mark.parametrize("gains", [True, False])
def test_later_plans_read_what_is_left(
    sparse: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gains: bool
) -> None:
    s = Sketch()
    y = s.conv(s.input("N", 8, "H", "W"), 8, 24)
    y = s.add("Flatten", s.add("GlobalAveragePool", y))
    y = s.add("MatMul", y, s.weights(24, 40))
    network = prune(s.network(s.add("Gemm", y, s.weights(30, 40), s.weights(30), transB=1)), 0.8)
    network.save(tmp_path / "m.accel")
    session = accel.InferenceSession(tmp_path / "m.accel")
    for shape in ((1, 8, 5, 5), (3, 8, 5, 5), (16, 8, 7, 4)):
        assert_close(session.run(None, {"x0": normal(*shape)}), expected(network, {"x0": normal(*shape)}))
        if not gains:  # the first plan's weights are made dense again for the others
            stopwatch(monkeypatch, 1.0)
            tuning_cache._times.clear()
            monkeypatch.setattr(matrix, "linear_cycles", lambda *_: (1.0, 2.0))


def test_a_network_of_the_caller_is_left_as_it_is(sparse: None) -> None:
    network, feeds = chain()
    before = dict(network.constants)
    accel.InferenceSession(network).run(None, feeds)
    assert all(network.constants[name] is before[name] for name in before)


def test_what_was_not_chosen_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    for seconds in (1.0, 1e-9):
        tuning_cache._times.clear()
        stopwatch(monkeypatch, seconds)
        network, feeds = one_layer()
        session = accel.InferenceSession(network)
        session.run(None, feeds)
        assert len(session._packed) == 1
        sizes.append(session.resident_bytes)
    assert sizes[1] < sizes[0]


def test_one_weight_of_a_sparse_and_a_dense_layer(sparse: None, tmp_path: Path) -> None:
    """The dense one, a product of two values, reads what was let go."""
    s = Sketch()
    x, w = s.input(2, 16, 6, 6), s.weights(16, 16, 1, 1)
    y = s.add("Conv", x, w)
    network = prune(s.network(s.add("Add", y, s.add("ReduceSum", w, s.constant(np.int64([0]))))), 0.8)
    network.save(tmp_path / "m")
    session, feeds = accel.InferenceSession(tmp_path / "m"), {"x0": normal(2, 16, 6, 6)}
    wanted = expected(network, feeds)
    for _ in range(2):
        assert_close(session.run(None, feeds), wanted)
