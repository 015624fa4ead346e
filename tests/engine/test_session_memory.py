"""A session that loaded its model itself holds each weight once: as its kernel reads it."""

from __future__ import annotations

import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from engine.sketch import Sketch, assert_close, convolving, expected, normal
from onnx import helper, numpy_helper

import accel
from accel.engine.interpreter import Interpreter
from accel.engine.packed import PackedDense
from accel.graph import Network
from accel.kernels import runtime
from accel.weights import Codebook
from accel.weights.base import weight_kinds

pytestmark = pytest.mark.skipif(runtime.core is None, reason="only native kernels read packed weights")


def layers() -> Network:
    """Every way in which weights are packed: N x 24 x H x W to 5 scores."""
    s = Sketch()
    x = s.input("N", 24, "H", "W", name="image")
    y = s.conv(x, 24, 40)  # blocks, the last one not full
    y = s.conv(y, 40, 40, group=40)  # depthwise
    y = s.conv(y, 40, 64, 1)
    y = s.conv(y, 64, 64, group=2)  # grouped blocks
    y = s.conv(y, 64, 24, group=4)  # groups with gaps between them
    y = s.conv(y, 24, 3, 5)
    y = s.conv(y, 3, 33, 1)  # planes
    y = s.add("Flatten", s.add("GlobalAveragePool", y))
    y = s.add("Gemm", y, s.weights(20, 33), s.weights(20), transB=1)
    y = s.add("Gemm", y, s.weights(20, 31))
    y = s.add("MatMul", y, s.weights(31, 7))
    return s.network(s.add("Gemm", y, s.weights(7, 5), s.weights(5), alpha=0.5))


def feed(*shape: int) -> dict[str, np.ndarray]:
    return {"image": normal(*shape)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    layers().save(tmp_path / "model.accel")
    return tmp_path / "model.accel"


def packed(session: accel.InferenceSession) -> dict[str, PackedDense]:
    return {n: c for n, c in session._network.constants.items() if isinstance(c, PackedDense)}


def run_and_look(path: Path, *algorithms: str) -> tuple[list[str], list[str], accel.InferenceSession]:
    """The names of all weights, and of those that are still held as they were read after a run."""
    session = accel.InferenceSession(path)
    weights = {name: weakref.ref(c) for _, name, c in session._network.weights()}
    with convolving(*algorithms):
        scores = session.run(None, feed(2, 24, 9, 7))
    assert_close(scores, expected(layers(), feed(2, 24, 9, 7)))
    return list(weights), [name for name, ref in weights.items() if ref() is not None], session


def test_packed_weights_are_let_go(path: Path) -> None:
    weights, alive, session = run_and_look(path, "direct")
    assert len(weights) == 11 and alive == weights[-1:], "alpha is multiplied into the last one"
    assert len(packed(session)) == 10


def test_weights_that_winograd_transforms_are_held_beside(path: Path) -> None:
    """The originals cannot be had back from them bit by bit."""
    weights, alive, session = run_and_look(path, "winograd2")
    assert alive == [weights[0], weights[3], weights[-1]]
    assert len(packed(session)) == 8


def test_weights_that_were_transformed_in_vain_are_not_held(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a method whose error is too large nothing stays, neither its weights nor the originals."""
    monkeypatch.setattr("accel.engine.tuning.TOLERANCE", 0.0)
    weights, alive, session = run_and_look(path, "winograd2")
    assert alive == weights[-1:] and len(session._packed) == 11
    assert session.resident_bytes == run_and_look(path, "direct")[2].resident_bytes


def test_the_network_of_the_session_is_equal_bit_by_bit(path: Path, isa: str, tmp_path: Path) -> None:
    session = accel.InferenceSession(path)
    assert session.network is session._network
    session.run(None, feed(1, 24, 5, 5))
    with accel.using(isa=runtime.isa_info()["supported"][0]):
        network = session.network
        network.save(tmp_path / "again.accel")
    for found in (network, accel.load(tmp_path / "again.accel")):
        for name, wanted in layers().constants.items():
            got = found.constants[name]
            assert type(got) is np.ndarray and got.tobytes() == wanted.tobytes() and got.shape == wanted.shape
    assert (tmp_path / "again.accel").read_bytes() == path.read_bytes()
    assert PackedDense not in weight_kinds().values()


def test_any_bits_survive(tmp_path: Path) -> None:
    """Not-a-numbers, denormals and negative zeros too: packing moves them, nothing computes with them."""
    s = Sketch()
    s.input(1, 16, 4, 4, name="image")
    bits = np.random.default_rng(0).integers(0, 1 << 32, (32, 16, 3, 3), np.uint32)
    bits[0, :4, 0, 0] = 0x80000000, 0x7FC00001, 0x7F800001, 1
    y = s.add("Conv", "image", s.constant(bits.view(np.float32)), pads=[1] * 4, kernel_shape=[3, 3])
    s.network(y).save(tmp_path / "m")
    session = accel.InferenceSession(tmp_path / "m")
    session.run(None, feed(1, 16, 4, 4))
    assert len(packed(session)) == 1 and session.network.constants["c0"].tobytes() == bits.tobytes()  # type: ignore


def test_a_network_of_the_caller_is_left_as_it_is() -> None:
    network = layers()
    before = dict(network.constants)
    session = accel.InferenceSession(network)
    session.run(None, feed(1, 24, 5, 5))
    assert session.network is network and all(network.constants[name] is before[name] for name in before)


def test_later_plans_read_what_is_packed(path: Path) -> None:
    session = accel.InferenceSession(path)
    for shape in [(1, 24, 5, 5), (3, 24, 8, 4), (1, 24, 1, 1)]:
        assert_close(session.run(None, feed(*shape)), expected(layers(), feed(*shape)))
    assert_close(Interpreter(session._network).run(feed(2, 24, 5, 5)), expected(layers(), feed(2, 24, 5, 5)))


def test_one_weight_for_two_kernels(tmp_path: Path) -> None:
    """The second packs what it unpacks from the first."""
    s = Sketch()
    x, w = s.input(1, 16, 6, 6, name="image"), s.weights(16, 16, 1, 1)
    y = s.add("Conv", s.add("Conv", x, w), w)
    square = s.weights(16, 16)
    y = s.add("Flatten", s.add("GlobalAveragePool", y))
    y = s.add("Gemm", s.add("Gemm", y, square, transB=1), square)
    network = s.network(s.add("Add", y, s.add("ReduceSum", square, s.constant(np.int64([0])))))
    network.save(tmp_path / "m")
    session = accel.InferenceSession(tmp_path / "m")
    assert_close(session.run(None, feed(1, 16, 6, 6)), expected(network, feed(1, 16, 6, 6)))


def test_a_weight_that_is_smaller_than_its_packed_form_stays(tmp_path: Path) -> None:
    s = Sketch()
    s.input(1, 16, 4, 4, name="image")
    w = s.constant(np.random.default_rng(0).choice(np.float32([-1, 0.5, 2]), (32, 16, 3, 3)))
    s.constants[w] = Codebook.fit(s.constants[w], bits=2)
    network = s.network(s.add("Conv", "image", w, kernel_shape=[3, 3]))
    network.save(tmp_path / "m")
    session = accel.InferenceSession(tmp_path / "m")
    session.run(None, feed(1, 16, 4, 4))
    assert isinstance(session._network.constants[w], Codebook) and session.network is session._network


def test_the_network_is_whole_while_others_run(path: Path) -> None:
    wanted = layers().constants
    session = accel.InferenceSession(path)

    def look(number: int) -> bool:
        if number % 2:
            session.run(None, feed(1 + number % 5, 24, 6, 6))
            return True
        constants = session.network.constants
        return all(constants[name].tobytes() == wanted[name].tobytes() for name in wanted)  # type: ignore[union-attr]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(look, range(24)))


CHILD = """
import sys
import accel, onnx, numpy as np
def status(key):
    return next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith(key + ":"))
accel.load(sys.argv[2])
x = {"x": np.zeros((1, 1024), np.float32)}
resident, peak = status("VmRSS"), status("VmHWM")
session = accel.InferenceSession(sys.argv[1], threads=1)
session.run(None, x)
print(status("VmRSS") - resident, status("VmHWM") - peak)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_a_process_holds_the_weights_once(tmp_path: Path) -> None:
    """Loading and packing peak at the file and one weight, and end at the file: measured by the system."""
    sizes = {}
    for name, count in (("small", 1), ("large", 12)):
        nodes, tensors = [], []
        for i in range(count):
            tensors.append(numpy_helper.from_array(normal(1024, 1024, seed=i), f"w{i}"))
            nodes.append(helper.make_node("MatMul", [f"x{i}" if i else "x", f"w{i}"], [f"x{i + 1}"]))
        value = helper.make_tensor_value_info
        graph = helper.make_graph(nodes, "g", [value("x", 1, [1, 1024])], [value(f"x{count}", 1, None)], tensors)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / name)
        sizes[name] = (tmp_path / name).stat().st_size
    command = [sys.executable, "-c", CHILD, str(tmp_path / "large"), str(tmp_path / "small")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    resident, peak = map(int, done.stdout.split())
    other = 8 << 20  # what is imported and made beside the weights, and transposed of one of them
    assert resident < sizes["large"] + other and peak < sizes["large"] + 2 * sizes["small"] + other
