"""The reader of the original Deep Compression artefact."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.errors import FormatError
from accel.formats import container, deep_compression
from accel.graph.network import Network, Node, Value
from accel.weights import Codebook

MODEL = "models/squeezenet10_dc"
SHAPES = ((3, 2, 3, 3), (4, 3, 1, 1))


def network(bias: bool = True) -> Network:
    """Two Conv layers of SHAPES."""
    constants: dict[str, np.ndarray] = {}
    nodes = []
    for at, shape in enumerate(SHAPES):
        constants[f"w{at}"] = np.zeros(shape, np.float32)
        constants[f"b{at}"] = np.zeros(shape[0], np.float32)
        inputs = [f"x{at}", f"w{at}", f"b{at}"] if bias else [f"x{at}", f"w{at}"]
        nodes.append(Node("Conv", inputs, [f"x{at + 1}"]))
    float32 = np.dtype(np.float32)
    return Network("two", [Value("x0", float32, None)], [Value("x2", float32, None)], nodes, constants)


def layer(positions: list[int], codes: list[int], bias: list[float], seed: int) -> tuple[int, bytes]:
    """(entries, bytes) of one layer, fillers where a gap is over 15: written after the format's description."""
    entries: list[tuple[int, int]] = []
    last = -1
    for position, code in zip(positions, codes, strict=True):
        gap = position - last - 1
        while gap > 15:
            entries.append((0, 15))
            gap -= 16
        entries.append((code, gap))
        last = position
    book = np.random.default_rng(seed).standard_normal(256).astype("<f4")
    book[0] = 0
    gaps = [gap for _, gap in entries] + [0]
    packed = bytes(gaps[at] | gaps[at + 1] << 4 for at in range(0, len(entries), 2))
    data = book.tobytes() + np.array(bias, "<f4").tobytes() + bytes(code for code, _ in entries) + packed
    return len(entries), data


def artefact() -> bytes:
    layers = [
        layer([0, 5, 53], [3, 255, 7], [1, 2, 3], 0),
        layer([11], [9], [4, 5, 6, 7], 1),
    ]
    return np.array([count for count, _ in layers], "<u4").tobytes() + b"".join(data for _, data in layers)


def test_a_small_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "two.net"
    path.write_bytes(artefact())
    for source in (path, artefact()):
        found = deep_compression.read(source, network())
        first, second = found.constants["w0"], found.constants["w1"]
        assert isinstance(first, Codebook) and isinstance(second, Codebook)
        assert np.flatnonzero(first.codes).tolist() == [0, 5, 53]
        assert first.codes.reshape(-1)[[0, 5, 53]].tolist() == [3, 255, 7] and first.shape == SHAPES[0]
        assert np.flatnonzero(second.codes).tolist() == [11]
        assert found.constants["b1"].tolist() == [4, 5, 6, 7]


def test_the_network_given_does_not_change() -> None:
    before = network()
    deep_compression.read(artefact(), before)
    assert isinstance(before.constants["w0"], np.ndarray)


def changed(at: int, value: bytes) -> bytes:
    data = artefact()
    return data[:at] + value + data[at + len(value) :]


FIRST = 8  # the first layer's codebook
CODES = FIRST + 1024 + 12  # the first layer's codes: 0 -> 3, 5 -> 255, two fillers, 53 -> 7
GAPS = CODES + 5


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "truncated: entry counts needs 8 bytes, 0 are left"),
        (artefact()[:-1], "truncated: gaps of w1"),
        (artefact() + b"\0", "trailing bytes: 1 after the last layer"),
        (changed(0, b"\xff\xff\xff\xff"), "truncated: codes of w0 needs 4294967295 bytes"),
        (changed(FIRST, np.float32(1).tobytes()), "w0: expected finite numbers and 0.0 as entry 0"),
        (changed(FIRST + 4, np.float32(np.nan).tobytes()), "w0: expected finite numbers"),
        (changed(FIRST + 1024, np.float32(np.inf).tobytes()), "w0: expected finite numbers"),
        (changed(GAPS, b"\xff"), r"w0 of shape \(3, 2, 3, 3\): gaps: entry"),
        (changed(GAPS + 2, b"\xff"), "w0: the unused last half byte"),
    ],
)
def test_hostile_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        deep_compression.read(data, network())


def test_networks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(FormatError, match="the format has a bias for every layer"):
        deep_compression.read(artefact(), network(bias=False))
    three = network()
    three.constants["w2"], three.constants["b2"] = np.zeros((1, 4, 1, 1), np.float32), np.zeros(1, np.float32)
    three.nodes.append(Node("Conv", ["x2", "w2", "b2"], ["x3"]))
    with pytest.raises(FormatError):
        deep_compression.read(artefact(), three)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(artefact()) - 1), st.integers(0, 255), st.integers(0, 40))
def test_mutated_files_are_a_network_or_a_format_error(at: int, value: int, cut: int) -> None:
    data = changed(at, bytes([value]))
    try:
        found = deep_compression.read(data[: len(data) - cut] if cut > 30 else data, network())
    except FormatError:
        return
    assert all(np.isfinite(weight.dense()).all() for _, _, weight in found.weights())


# --- the real artefact ---


@pytest.fixture(scope="module")
def squeezenet(shared_data: Path) -> tuple[Network, Network]:
    pytest.importorskip("onnx")
    dense = accel.load(shared_data / f"{MODEL}.onnx")
    return dense, deep_compression.read(shared_data / f"{MODEL}.net", dense)


def test_the_artefact_equals_its_parsed_form(shared_data: Path, squeezenet: tuple[Network, Network]) -> None:
    raw = np.load(shared_data / f"{MODEL}_raw.npz", allow_pickle=False)
    _, found = squeezenet
    names = [str(name).replace("/", ".") for name in raw["layer_names"]]
    layers = list(found.weights())
    assert len(layers) == len(names) == 26
    for name, (node, _, weight) in zip(names, layers, strict=True):
        assert isinstance(weight, Codebook) and weight.shape == tuple(raw[f"{name}.shape"])
        codes = np.zeros(weight.codes.size, np.uint8)
        codes[raw[f"{name}.pos"]] = raw[f"{name}.code"]
        np.testing.assert_array_equal(weight.codes.reshape(-1), codes)
        np.testing.assert_array_equal(weight.codebook, raw[f"{name}.codebook"])
        np.testing.assert_array_equal(found.constants[node.inputs[2]], raw[f"{name}.bias"])


def test_the_artefact_equals_the_dense_network(squeezenet: tuple[Network, Network]) -> None:
    dense, found = squeezenet
    for (_, name, weight), (_, _, array) in zip(found.weights(), dense.weights(), strict=True):
        np.testing.assert_array_equal(weight.dense(), array, err_msg=name)


def test_the_accel_file_is_smaller_than_the_artefact_and_loads_fast(
    squeezenet: tuple[Network, Network], tmp_path: Path
) -> None:
    """545,000 bytes against 675,763; 50 ms of processor time at best of ten, the graph's JSON included."""
    path = tmp_path / "squeezenet.accel"
    squeezenet[1].save(path)
    assert path.stat().st_size <= 545_000
    assert container.verify(path) == []
    times = []
    for _ in range(10):
        start = time.process_time()
        again = accel.load(path)
        times.append(time.process_time() - start)
    if accel.isa_info()["backend"] == "native":
        assert min(times) <= 0.050
    for (_, name, left), (_, _, right) in zip(again.weights(), squeezenet[1].weights(), strict=True):
        np.testing.assert_array_equal(left.codes, right.codes, err_msg=name)
        np.testing.assert_array_equal(left.codebook, right.codebook, err_msg=name)
