"""What the planner's choices may depend on, and what must not be mistaken for a good one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from engine.sketch import Sketch, assert_close, check, convolving, expected, normal

import accel
from accel.engine import tuning, tuning_cache
from accel.engine.tuning import Choice, Layer
from accel.kernels import runtime
from accel.kernels.conv_native import Method, methods

pytestmark = pytest.mark.skipif(runtime.core is None, reason="only native kernels are chosen among")

LAYER = Layer(32, (14, 14), (32, 32, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1)


@pytest.fixture(autouse=True)
def no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known from before, and nothing is kept."""
    monkeypatch.setenv("ACCEL_CACHE_DIR", "")
    monkeypatch.setattr(tuning_cache, "_times", {})


def method_of(algorithm: str) -> Method:
    return next(m for m in methods(LAYER.w_shape, (1, 1), (1, 1), 1) if m.algorithm == algorithm)


def chosen(w: np.ndarray, bias: np.ndarray | None = None) -> Choice:
    with convolving("winograd4"):
        return tuning.choose(LAYER, w, lambda method, w: method.pack(w, bias, (1, 1), 1), tune=False)


def test_transforms_that_overflow_are_not_taken(isa: str) -> None:
    """Their results are no numbers, and those compare with nothing."""
    w = normal(*LAYER.w_shape)
    assert chosen(w).method.algorithm == "winograd4"
    with np.errstate(all="ignore"):
        choice = chosen(np.sign(w) * np.float32(3e38))
    assert choice.method.algorithm == "direct" and "more than" in choice.reason


@pytest.mark.parametrize("bias", [1e8, np.inf, np.nan])
def test_the_bias_does_not_hide_the_error_of_a_method(bias: float) -> None:
    """It is added alike by all methods; a large one rounds alike too."""
    biases = np.full(32, bias, np.float32)
    w, method = normal(*LAYER.w_shape), method_of("winograd4")
    packed = method.pack(w, biases, (1, 1), 1)
    error = tuning.relative_error(LAYER, method, w, packed)
    assert 0 < error < tuning.TOLERANCE and chosen(w, biases).method == method
    packed[0][: packed[0].size // 2] = 0
    assert tuning.relative_error(LAYER, method, w, packed) > tuning.TOLERANCE


def test_times_that_are_known_stay() -> None:
    """Two sessions that measure a layer at once must not leave other times to the later plans of either."""
    assert tuning_cache.put("layer", {"direct": 1.0}) == {"direct": 1.0}
    assert tuning_cache.put("layer", {"direct": 3.0, "winograd2": 2.0}) == {"direct": 1.0, "winograd2": 2.0}
    assert tuning_cache.get("layer") == {"direct": 1.0, "winograd2": 2.0}


def test_plans_made_at_once_choose_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    barrier = threading.Barrier(4)
    turns = iter(range(1, 100))

    def measure(layer: Layer, candidates: list[Method]) -> list[float]:
        barrier.wait(10)  # nobody has kept a time when the last one begins to measure
        turn = next(turns)
        return [1.0 + (turn + i) % len(candidates) for i in range(len(candidates))]

    monkeypatch.setattr(tuning, "_measure", measure)
    found: list[dict[str, float]] = []
    candidates = methods(LAYER.w_shape, (1, 1), (1, 1), 1)
    threads = [threading.Thread(target=lambda: found.append(tuning.measured(LAYER, candidates))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(times == found[0] for times in found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_child_does_not_wait_for_a_lock_of_its_parent() -> None:
    with tuning_cache._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if tuning_cache.get("layer") is None else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_one_weight_with_two_strides_is_folded_for_each(tmp_path: Path) -> None:
    """Both are 3 x 3 after folding, of 9 and of 16 channels."""
    s = Sketch()
    x, w = s.input("N", 1, 40, 40, name="image"), s.weights(16, 1, 9, 9)
    outputs = [s.add("Conv", x, w, kernel_shape=(9, 9), strides=(stride, stride)) for stride in (3, 4)]
    network = s.network(*outputs)
    with convolving("winograd4"):
        session = check(network, {"image": normal(2, 1, 40, 40)})
    (plan,) = session._plans.values()
    assert [step.kernel for step in plan.steps if step.choice] == ["conv winograd4 folded"] * 2  # type: ignore[union-attr]


def test_one_image_folded_alike_for_two_convolutions_is_folded_once() -> None:
    s = Sketch()
    x = s.input("N", 3, "H", "W", name="image")
    options = {"kernel_shape": (7, 7), "pads": (3, 3, 3, 3)}
    outputs = [s.add("Conv", x, s.weights(16, 3, 7, 7), strides=(2, 2), **options) for _ in range(2)]
    network, feeds = s.network(*outputs), {"image": normal(2, 3, 21, 18)}
    with convolving("winograd3"):
        session = accel.InferenceSession(network)
        assert_close(session.run(None, feeds), expected(network, feeds))
    (plan,) = session._plans.values()
    assert [step.kernel for step in plan.steps].count("fold") == 1  # type: ignore[union-attr]
