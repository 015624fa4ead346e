"""InferenceSession: what it accepts, what it says, and what it gives to many shapes, threads and back ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, assert_close, check, convolving, expected, normal

import accel
from accel.engine.interpreter import Interpreter
from accel.engine.session import _PLANS
from accel.graph import Network
from accel.kernels import runtime


def small(size: tuple[Any, Any] = ("H", "W")) -> Network:
    """Convolutions, a joined concatenation, a residual, pooling and a product: N x 3 x H x W to 10 scores."""
    s = Sketch()
    x = s.input("N", 3, *size, name="image")
    y = s.add("Relu", s.conv(x, 3, 24))
    parts = [s.add("Relu", s.conv(y, 24, 16, k)) for k in (1, 3)]
    y = s.add("Concat", *parts, axis=1)
    y = s.add("Relu", s.add("Add", s.conv(y, 32, 32), y))
    y = s.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    y = s.add("Flatten", s.add("GlobalAveragePool", y))
    return s.network(s.add("Gemm", y, s.weights(10, 32), s.weights(10), transB=1))


def feed(*shape: int, seed: int = 0) -> dict[str, np.ndarray]:
    return {"image": normal(*shape, seed=seed)}


# -- shapes --------------------------------------------------------------------------------------------------------


def test_one_session_serves_many_shapes(backend: str) -> None:
    network = small()
    session = accel.InferenceSession(network)
    shapes = [(1, 3, 8, 8), (3, 3, 8, 8), (1, 3, 5, 9), (2, 3, 1, 1), (1, 3, 8, 8), (4, 3, 16, 3)]
    for shape in shapes:
        assert_close(session.run(None, feed(*shape)), expected(network, feed(*shape)))


def test_old_plans_are_dropped_and_made_again() -> None:
    session = accel.InferenceSession(small())
    first = session.run(None, feed(1, 3, 8, 8))[0]
    for n in range(2, _PLANS + 5):
        session.run(None, feed(n, 3, 8, 8))
        assert len(session._plans) <= _PLANS
    assert ((1, 3, 8, 8),) not in session._plans
    assert session.run(None, feed(1, 3, 8, 8))[0].tobytes() == first.tobytes()
    recent = session._plans[((1, 3, 8, 8),)]
    for n in range(20, 19 + _PLANS):
        session.run(None, feed(n, 3, 8, 8))
        session.run(None, feed(1, 3, 8, 8))
    assert session._plans[((1, 3, 8, 8),)] is recent, "the plan used last is kept"


@pytest.mark.skipif(runtime.core is None, reason="plans are made of native kernels")
@pytest.mark.parametrize("algorithm", ["direct", "winograd4"])
def test_weights_are_packed_once_for_all_shapes(algorithm: str) -> None:
    """Once for each method, that is: where another shape wants another one, it is packed for that too."""
    session = accel.InferenceSession(small())
    with convolving(algorithm):
        session.run(None, feed(1, 3, 8, 8))
        packed = {key: id(value) for key, value in session._packed.items()}
        before = session.resident_bytes
        session.run(None, feed(2, 3, 9, 9))
        session.run(None, feed(1, 3, 8, 8))
    assert {key: id(value) for key, value in session._packed.items()} == packed
    assert session.resident_bytes > before > sum(c.nbytes for c in session.network.constants.values())


def test_an_empty_batch_gives_empty_results(backend: str) -> None:
    """As a loop over no images would."""
    session = accel.InferenceSession(small())
    (scores,) = session.run(None, feed(0, 3, 8, 8))
    assert scores.shape == (0, 10) and scores.dtype == np.float32
    assert session.run(None, feed(2, 3, 8, 8))[0].shape == (2, 10)


def test_an_image_without_pixels_is_refused_or_empty(backend: str) -> None:
    session = accel.InferenceSession(small())
    with pytest.raises(accel.ModelError):
        session.run(None, feed(1, 3, 0, 8))


def test_the_image_alone_has_the_bits_it_has_in_a_batch() -> None:
    session = accel.InferenceSession(small())
    x = normal(17, 3, 9, 7)
    whole = session.run(None, {"image": x})[0]
    for n in range(1, 17):
        assert session.run(None, {"image": x[:n].copy()})[0].tobytes() == whole[:n].tobytes()
    for i in range(17):
        assert session.run(None, {"image": x[i : i + 1].copy()})[0].tobytes() == whole[i : i + 1].tobytes()


def test_a_feed_of_known_shapes_is_still_checked() -> None:
    """The short way for feeds that ran before must see everything that the long one does."""
    session = accel.InferenceSession(small())
    (wanted,) = session.run(None, feed(2, 3, 8, 8))
    x = feed(2, 3, 8, 8)["image"]
    bad: list[tuple[type[Exception], Any]] = [
        (TypeError, {"image": x.astype(np.float64)}),
        (TypeError, {"image": x.astype(">f4")}),
        (TypeError, {"image": x.tolist()}),
        (ValueError, {"image": np.asfortranarray(x)}),
        (ValueError, {"image": x, "other": x}),
        (ValueError, {"other": x}),
        (ValueError, {}),
        (TypeError, [("image", x)]),
    ]
    for error, given in bad:
        with pytest.raises(error, match=r"image|input_feed"):
            session.run(None, given)
    for other in (MappingProxyType({"image": x}), {"image": x.view(np.memmap)}, OrderedDict(image=x)):
        assert session.run(None, other)[0].tobytes() == wanted.tobytes()


# -- threads -------------------------------------------------------------------------------------------------------


def test_thread_count_does_not_change_a_bit(isa: str) -> None:
    network, x = small(), feed(3, 3, 40, 40)
    results = {accel.InferenceSession(network, threads=t).run(None, x)[0].tobytes() for t in (1, 2, 3, 8)}
    assert len(results) == 1


def test_eight_threads_share_a_session_and_get_equal_bits() -> None:
    session = accel.InferenceSession(small(), threads=2)
    shapes = [(1, 3, 8, 8), (2, 3, 24, 24), (1, 3, 17, 9)]
    wanted = [accel.InferenceSession(small(), threads=1).run(None, feed(*s, seed=i)) for i, s in enumerate(shapes)]
    barrier = threading.Barrier(8)

    def work(start: int) -> None:
        barrier.wait()
        for k in range(start, start + 40):
            i = k % len(shapes)
            got = session.run(None, feed(*shapes[i], seed=i))
            assert got[0].tobytes() == wanted[i][0].tobytes()

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, i) for i in range(8)]:
            future.result(timeout=120)


def test_results_belong_to_the_caller() -> None:
    session = accel.InferenceSession(small())
    first = session.run(None, feed(2, 3, 8, 8))[0]
    kept = first.copy()
    second = session.run(None, feed(2, 3, 8, 8, seed=1))[0]
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)
    first[:] = np.nan
    np.testing.assert_array_equal(session.run(None, feed(2, 3, 8, 8))[0], kept)


def test_inputs_may_be_read_only_and_unaligned_and_are_not_changed() -> None:
    session = accel.InferenceSession(small())
    x = normal(2, 3, 8, 8)
    wanted = session.run(None, {"image": x})[0]
    raw = np.zeros(x.nbytes + 1, np.uint8)
    odd = raw[1:].view(np.float32).reshape(x.shape)
    odd[...] = x
    odd.flags.writeable = False
    assert session.run(None, {"image": odd})[0].tobytes() == wanted.tobytes()
    np.testing.assert_array_equal(odd, x)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread")
def test_an_interrupt_ends_a_long_run_within_a_second_and_leaves_the_session_usable(
    request: pytest.FixtureRequest,
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    s = Sketch()
    x = s.input("N", 64, "H", "W")
    w, b = s.weights(64, 64, 3, 3), s.weights(64)
    y = x
    for _ in range(150):
        y = s.add("Relu", s.add("Conv", y, w, b, pads=[1] * 4))
    session = accel.InferenceSession(s.network(y), threads=1)
    small_feed, long_feed = {"x0": normal(1, 64, 4, 4)}, {"x0": normal(4, 64, 112, 112)}
    wanted = session.run(None, small_feed)[0]
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    for _ in range(2):
        timer = threading.Timer(0.4, interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            session.run(None, long_feed)
        assert time.monotonic() - sent[-1] < 1.0
        timer.join()
        assert session.run(None, small_feed)[0].tobytes() == wanted.tobytes()


# -- settings ------------------------------------------------------------------------------------------------------


def test_a_session_keeps_the_settings_it_was_made_under() -> None:
    network, x = small(), feed(1, 3, 8, 8)
    for backend in accel.isa_info()["backends"]:
        with accel.using(backend=backend, threads=3):
            session = accel.InferenceSession(network)
            inside = session.run(None, x)[0]
        assert session.threads == 3
        for other in accel.isa_info()["backends"]:
            with accel.using(backend=other, threads=1):
                assert session.run(None, x)[0].tobytes() == inside.tobytes(), (backend, other)


def test_a_session_keeps_its_instruction_set_also_where_no_kernel_is_prepared() -> None:
    """The volume's convolution runs by its operator, which asks for the settings in force."""
    supported = accel.isa_info()["supported"]
    if len(supported) < 2:
        pytest.skip("one instruction set only")
    s = Sketch()
    x, w = s.input(1, 16, 9, 9), s.input(16, 16, 3, 3)
    network = s.network(s.add("Conv", x, w))
    feeds = {"x0": normal(1, 16, 9, 9), "x1": normal(16, 16, 3, 3, seed=1)}
    results = []
    for made, called in (("baseline", supported[-1]), (supported[-1], "baseline")):
        with accel.using(backend="native", isa=made):
            session = accel.InferenceSession(network)
            results.append(session.run(None, feeds)[0].tobytes())
        with accel.using(backend="native", isa=called):
            assert session.run(None, feeds)[0].tobytes() == results[-1]
    assert results[0] != results[1]


def test_back_ends_agree(backend: str) -> None:
    network, x = small(), feed(2, 3, 11, 13)
    assert_close(accel.InferenceSession(network).run(None, x), expected(network, x))


def test_denormals_are_flushed_while_it_runs_unless_kept() -> None:
    s = Sketch()
    x = s.input(1, 16, 2, 2)
    eye = s.constant(np.eye(16, dtype=np.float32)[:, :, None, None].copy())
    network = s.network(s.add("Conv", x, eye))
    tiny = {"x0": np.full((1, 16, 2, 2), 1e-40, np.float32)}
    if runtime.core is not None:
        assert (accel.InferenceSession(network).run(None, tiny)[0] == 0).all()
    kept = accel.InferenceSession(network, keep_denormals=True).run(None, tiny)[0]
    assert (kept == np.float32(1e-40)).all()
    assert np.float32(1e-40) * np.float32(1) != 0


# -- what it says of itself ----------------------------------------------------------------------------------------


def test_inputs_and_outputs_are_described_as_in_onnxruntime() -> None:
    s = Sketch()
    x = s.input("N", 3, None, 4, name="image")
    d, b, i = (s.input(2, dtype=t) for t in (np.float64, np.bool_, np.int8))
    session = accel.InferenceSession(s.network(x, d, b, i))
    described = [(a.name, a.type, a.shape) for a in session.get_inputs()]
    assert described == [
        ("image", "tensor(float)", ["N", 3, None, 4]),
        ("x1", "tensor(double)", [2]),
        ("x2", "tensor(bool)", [2]),
        ("x3", "tensor(int8)", [2]),
    ]
    assert [o.name for o in session.get_outputs()] == ["image", "x1", "x2", "x3"]
    assert repr(session.get_inputs()[0]) == "NodeArg(name='image', type='tensor(float)', shape=['N', 3, None, 4])"
    assert repr(session) == f"InferenceSession('sketch', threads={session.threads})"
    assert isinstance(session.network, Network)


def test_outputs_by_name_and_order() -> None:
    s = Sketch()
    x = s.input(2, 3)
    names = [s.add("Neg", x), s.add("Abs", x)]
    session = accel.InferenceSession(s.network(*names))
    feeds = {"x0": normal(2, 3)}
    a, b = session.run(None, feeds)
    np.testing.assert_array_equal(session.run([names[1]], feeds)[0], b)
    np.testing.assert_array_equal(session.run((names[1], names[0]), feeds)[1], a)
    assert session.run([], feeds) == []


@pytest.mark.parametrize(
    ("error", "message", "names", "feeds"),
    [
        (ValueError, r"output_names: expected some of \['v\d+'\], got \['nonsense'\]", ["nonsense"], feed(1, 3, 8, 8)),
        (ValueError, r"input_feed: expected the inputs \['image'\], got \['x'\]", None, {"x": normal(1, 3, 8, 8)}),
        (ValueError, "input 'image': missing from input_feed", None, {}),
        (TypeError, "input 'image': expected a NumPy array, got list", None, {"image": [[1.0]]}),
        (TypeError, "input 'image': expected float32, got uint8 array", None, {"image": np.zeros((1, 3, 8, 8), "u1")}),
        (TypeError, "input 'image': expected float32, got object", None, {"image": np.zeros((1, 3, 8, 8), object)}),
        (ValueError, "input 'image': expected 4 axes, got float32 array of shape", None, feed(3, 8, 8)),
        (ValueError, "input 'image': expected 3 along axis 1, got float32 array of shape", None, feed(1, 8, 8, 3)),
        (ValueError, "input 'image': expected a C-contiguous array", None, {"image": normal(1, 3, 8, 8)[:, ::-1]}),
        (TypeError, "input_feed: expected a mapping of names to arrays, got float32 array", None, normal(1, 3, 8, 8)),
        (TypeError, "output_names: expected a list of names or None, got str", "v0", feed(1, 3, 8, 8)),
        (TypeError, "output_names: expected a list of names or None, got int", 5, feed(1, 3, 8, 8)),
    ],
)  # fmt: skip
def test_bad_calls_are_named(error: type[Exception], message: str, names: Any, feeds: Any) -> None:
    session = accel.InferenceSession(small())
    with pytest.raises(error, match=message):
        session.run(names, feeds)
    assert session.run(None, feed(1, 3, 8, 8))[0].shape == (1, 10), "the session must still work"


def test_one_symbol_must_stand_for_one_size() -> None:
    s = Sketch()
    a, b = s.input("N", 3), s.input("N", 3)
    session = accel.InferenceSession(s.network(s.add("Concat", a, b, axis=1)))
    with pytest.raises(accel.ModelError, match="Concat node 'concat_0'"):
        session.run(None, {"x0": normal(2, 3), "x1": normal(3, 3)})
    assert session.run(None, {"x0": normal(2, 3), "x1": normal(2, 3)})[0].shape == (2, 6)


@pytest.mark.parametrize(
    ("error", "message", "threads"),
    [
        (ValueError, "threads: expected an integer in 1..1024, got 0", 0),
        (TypeError, "threads: expected an integer in 1..1024, got float 2.0", 2.0),
        (ValueError, "threads: expected an integer in 1..1024, got 4294967296", 2**32),
    ],
)
def test_bad_thread_counts_are_named(error: type[Exception], message: str, threads: Any) -> None:
    with pytest.raises(error, match=message):
        accel.InferenceSession(small(), threads=threads)


def test_models_come_from_files_bytes_and_networks(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    network, x = small(), feed(1, 3, 8, 8)
    wanted = accel.InferenceSession(network).run(None, x)[0]
    path = tmp_path / "model.onnx"
    model = network.to_onnx(path)
    network.save(tmp_path / "model.accel")
    for source in (path, str(path), path.read_bytes(), model, tmp_path / "model.accel"):
        np.testing.assert_allclose(accel.InferenceSession(source).run(None, x)[0], wanted, rtol=1e-4, atol=1e-5)


# -- networks that do not fit their input ----------------------------------------------------------------------------


def test_geometry_that_does_not_fit_names_the_node() -> None:
    for attributes, message in (
        ({"kernel_shape": [3, 3]}, "expected spatial sizes that hold a window"),
        ({"kernel_shape": [3, 3], "strides": [2**40, 1], "pads": [1] * 4}, "expected at most 2147483647"),
        ({"kernel_shape": [3, 3], "pads": [2**40] * 4}, "."),
        ({"kernel_shape": [3, 3], "dilations": [0, 1]}, "."),
        ({"kernel_shape": [3, 3], "pads": [-3] * 4}, "."),
        ({"kernel_shape": [3, 3], "pads": [1, 1]}, "."),
        ({"kernel_shape": [3, 3], "group": 5}, "."),
        ({"kernel_shape": [3, 3], "group": 0}, "."),
        ({"kernel_shape": [3, 3], "strides": [1, 1, 1]}, "."),
        ({"kernel_shape": [3, 3], "auto_pad": "SAME"}, "."),
    ):
        s = Sketch()
        x = s.input(1, 16, 2, 2)
        s.conv(x, 16, 8)
        s.nodes[0].attributes = attributes
        session = accel.InferenceSession(s.network("v0"))
        with pytest.raises(accel.ModelError, match=r"Conv node 'conv_0'.*" + message):
            session.run(None, {"x0": normal(1, 16, 2, 2)})


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pooling_that_does_not_fit_names_the_node(op: str) -> None:
    for attributes in (
        {"kernel_shape": [5, 5]},
        {"kernel_shape": [2, 2], "pads": [2**40] * 4},
        {"kernel_shape": [2**40, 1], "pads": [2**40] * 4},
        {"kernel_shape": [2, 2], "strides": [0, 1]},
        {"kernel_shape": [2, 2], "pads": [-1] * 4},
        {"kernel_shape": [2]},
    ):
        s = Sketch()
        session = accel.InferenceSession(s.network(s.add(op, s.input(1, 16, 3, 3), **attributes)))
        with pytest.raises(accel.ModelError, match=f"{op} node"):
            session.run(None, {"x0": normal(1, 16, 3, 3)})


def test_the_largest_strides_and_dilations_run() -> None:
    most = 2**31 - 1
    s = Sketch()
    x = s.input(1, 16, 3, 3)
    outputs = [
        s.add("Conv", x, s.weights(16, 16, 1, 1), strides=[2**30, 2**30], dilations=[most, most]),
        s.add("MaxPool", x, kernel_shape=[1, 1], strides=[1, 2**30], dilations=[most, most]),
        s.add("AveragePool", x, kernel_shape=[1, 1], dilations=[most, most]),
    ]
    check(s.network(*outputs), {"x0": normal(1, 16, 3, 3)})


def test_an_interpreter_takes_over_where_shapes_depend_on_data() -> None:
    s = Sketch()
    x = s.input("N", 4)
    found = s.add("NonZero", s.add("Relu", x))
    y = s.add("Gather", s.add("Flatten", x, axis=0), s.constant(np.array([0, 1])), axis=1)
    network = s.network(found, y, dtype=np.int64)
    session = accel.InferenceSession(network)
    for seed in range(3):
        feeds = {"x0": normal(3, 4, seed=seed)}
        got = session.run(None, feeds)
        np.testing.assert_array_equal(got[0], np.array(np.nonzero(np.maximum(feeds["x0"], 0))))
    assert all(isinstance(p, Interpreter) for p in session._plans.values())


# -- fork ----------------------------------------------------------------------------------------------------------


def _run_in_child(session: accel.InferenceSession, feeds: dict[str, np.ndarray], answer: Any) -> None:
    answer.send(session.run(None, feeds)[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_while_another_thread_plans_runs_the_session() -> None:
    with accel.using(tune=False):  # two processes that measure may choose differently: other bits
        session, feeds = accel.InferenceSession(small(), threads=2), feed(1, 3, 9, 9)
    here, there = multiprocessing.Pipe()
    with session._lock:  # as that thread holds it
        child = multiprocessing.get_context("fork").Process(target=_run_in_child, args=(session, feeds, there))
        child.start()
    try:
        assert here.poll(10), "the child hangs"
        np.testing.assert_array_equal(here.recv(), session.run(None, feeds)[0])
    finally:
        child.kill()
        child.join()
