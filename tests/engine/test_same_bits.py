"""Small versions of well-known networks: the same bits for any thread count, alone or in a batch, measured or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from engine.sketch import Sketch, assert_close, expected, normal

import accel
from accel.engine import tuning_cache
from accel.engine.plan import Plan
from accel.graph import Network
from accel.kernels import runtime

pytestmark = pytest.mark.skipif(runtime.core is None, reason="NumPy's BLAS promises less")

SIZE = 40


def finish(s: Sketch, y: str, channels: int) -> Network:
    y = s.add("Flatten", s.add("GlobalAveragePool", y))
    return s.network(s.add("Gemm", y, s.weights(10, channels), s.weights(10), transB=1))


def block(
    s: Sketch, x: str, channels: int, out: int, kernel: int = 3, activation: str = "Relu", **options: object
) -> str:
    y = s.conv(x, channels, out, kernel, **options)
    if activation == "Clip":
        return s.add("Clip", y, s.constant(np.float32(0)), s.constant(np.float32(6)))
    return s.add(activation, y) if activation else y


def vgg(s: Sketch, y: str) -> Network:
    channels = 3
    for out, repeats in ((16, 2), (32, 2), (64, 3)):
        for _ in range(repeats):
            y, channels = block(s, y, channels, out), out
        y = s.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    return finish(s, y, channels)


def resnet(s: Sketch, y: str) -> Network:
    y, channels = block(s, y, 3, 32, 7, strides=(2, 2)), 32
    y = s.add("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for out, stride in ((32, 1), (64, 2)):
        branch = block(s, block(s, y, channels, out, strides=(stride, stride)), out, out, activation="")
        short = y if channels == out else block(s, y, channels, out, 1, "", strides=(stride, stride))
        y, channels = s.add("Relu", s.add("Add", branch, short)), out
    return finish(s, y, channels)


def mobilenet(s: Sketch, y: str) -> Network:
    y, channels = block(s, y, 3, 16, 3, "Clip", strides=(2, 2)), 16
    for out, stride in ((24, 2), (24, 1)):
        wide = block(s, y, channels, 6 * channels, 1, "Clip")
        wide = block(s, wide, 6 * channels, 6 * channels, 3, "Clip", group=6 * channels, strides=(stride, stride))
        narrow = block(s, wide, 6 * channels, out, 1, "")
        y, channels = s.add("Add", y, narrow) if out == channels and stride == 1 else narrow, out
    return finish(s, y, channels)


def squeezenet(s: Sketch, y: str) -> Network:
    y, channels = block(s, y, 3, 32, 3, strides=(2, 2)), 32
    for squeeze, expand in ((16, 32), (16, 48)):
        y = s.add("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        y = block(s, y, channels, squeeze, 1)
        y = s.add("Concat", *(block(s, y, squeeze, expand, k) for k in (1, 3)), axis=1)
        channels = 2 * expand
    return finish(s, y, channels)


@pytest.fixture(params=[vgg, resnet, mobilenet, squeezenet], ids=lambda f: f.__name__)
def network(request: pytest.FixtureRequest) -> Network:
    make: Callable[[Sketch, str], Network] = request.param
    s = Sketch()
    return make(s, s.input("N", 3, SIZE, SIZE, name="image"))


@pytest.fixture(params=[True, False], ids=["tune", "no tune"])
def tune(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Measured anew, and just once, or not at all."""
    monkeypatch.setenv("ACCEL_CACHE_DIR", "")
    monkeypatch.setattr(tuning_cache, "_times", {})
    with accel.using(tune=request.param):
        yield request.param


def methods_of(session: accel.InferenceSession) -> list[list[str]]:
    plans = [plan for plan in session._plans.values() if isinstance(plan, Plan)]
    return [[step.kernel for step in plan.steps if step.choice] for plan in plans]


def test_threads_and_batch_do_not_change_a_bit(network: Network, tune: bool, isa: str) -> None:
    x = normal(8, 3, SIZE, SIZE)
    sessions = [accel.InferenceSession(network, threads=threads) for threads in (1, 2)]
    whole = sessions[0].run(None, {"image": x})[0]
    assert_close([whole], expected(network, {"image": x}), 1e-4)
    for session in sessions:
        assert session.run(None, {"image": x})[0].tobytes() == whole.tobytes()
        for i in range(8):
            assert session.run(None, {"image": x[i : i + 1].copy()})[0].tobytes() == whole[i : i + 1].tobytes()
    plans = [methods for session in sessions for methods in methods_of(session)]
    assert len(plans) == 4 and all(methods == plans[0] for methods in plans), "one choice for all of them"


def test_sessions_made_in_another_order_choose_alike(network: Network, tune: bool) -> None:
    """The first to ask measures, with its own threads and batch in force: neither may matter."""
    x = normal(8, 3, SIZE, SIZE)
    batch = accel.InferenceSession(network, threads=2).run(None, {"image": x})[0]
    alone = accel.InferenceSession(network, threads=1).run(None, {"image": x[5:6].copy()})[0]
    assert alone.tobytes() == batch[5:6].tobytes()
