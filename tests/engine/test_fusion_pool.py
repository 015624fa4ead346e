"""Winograd convolutions that make the largest of each 2 x 2 results at once: as if all had been made first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, assert_close, check, convolving, expected, normal
from engine.test_plan import plan_of

import accel
from accel.kernels import runtime

pytestmark = pytest.mark.skipif(runtime.core is None, reason="plans are made of native kernels")

POOL: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}


def activated(s: Sketch, y: str, activation: str) -> str:
    if activation == "Clip":
        return s.add("Clip", y, s.constant(np.float32(-0.5)), s.constant(np.float32(0.25)))
    return s.add(activation, y) if activation else y


def convolution(activation: str = "", channels: int = 20, out: int = 24, kernel: int = 3, **options: Any) -> Any:
    """A sketch and the value of a convolution over its input."""
    s = Sketch()
    x = s.input("N", channels, "H", "W")
    return s, activated(s, s.conv(x, channels, out, kernel, **options), activation)


def pooled(x: np.ndarray, method: str, *arguments: Any, apart: bool, threads: int = 1, **options: Any) -> np.ndarray:
    """The pooled convolution; `apart`: with all its results as an output too, so that both steps must run."""
    s, y = convolution(*arguments, **options)
    outputs = [s.add("MaxPool", y, **POOL), *([y] if apart else [])]
    session = accel.InferenceSession(s.network(*outputs), threads=threads)
    with convolving(method):
        result = session.run(None, {"x0": x})[0]
    kernels = [step.kernel for step in plan_of(session).steps]
    assert any(k.startswith(f"conv {method}") for k in kernels)
    assert ("pool" in kernels, any(k.endswith(" pool") for k in kernels)) == (apart, not apart), kernels
    return result


SIZES = [(8, 8), (2, 2), (3, 2), (4, 7), (11, 4), (37, 19), (31, 12)]


@pytest.mark.parametrize("method", ["winograd2", "winograd4"])
@pytest.mark.parametrize("activation", ["", "Relu", "Clip"])
def test_fused_is_unfused_bit_for_bit(isa: str, method: str, activation: str) -> None:
    for size in SIZES:
        x = normal(2, 20, *size)
        apart = pooled(x, method, activation, apart=True)
        for threads in (1, 3):
            assert pooled(x, method, activation, apart=False, threads=threads).tobytes() == apart.tobytes(), size
        alone = [pooled(x[i : i + 1].copy(), method, activation, apart=False) for i in range(2)]
        assert np.concatenate(alone).tobytes() == apart.tobytes()


@pytest.mark.parametrize("pad", [0, 1, 2])
@pytest.mark.parametrize(("channels", "out", "kernel", "group"), [(16, 5, 3, 1), (40, 16, 5, 1), (64, 32, 3, 2)])
def test_other_pads_kernels_and_groups(pad: int, channels: int, out: int, kernel: int, group: int) -> None:
    x, options = normal(1, channels, 40, 39), {"pad": pad, "group": group}
    results = [pooled(x, "winograd4", "Relu", channels, out, kernel, apart=apart, **options) for apart in (True, False)]
    assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ["", "Relu", "Clip"])
def test_what_is_not_finite_spreads_alike(isa: str, value: float, activation: str) -> None:
    for place in ((0, 0, 0), (3, 4, 7), (19, 10, 10), (11, 5, 5)):
        x = normal(2, 20, 11, 11)
        x[(1, *place)] = value
        results = [pooled(x, "winograd4", activation, apart=apart) for apart in (True, False)]
        np.testing.assert_array_equal(results[0], results[1])
        assert np.isfinite(results[0][0]).all()
        if np.isnan(value) and place[1:] != (
            10,
            10,
        ):  # the last row and column of 11 are in no pair, but the kernel is 3 wide
            assert np.isnan(results[0][1]).any()


def test_tiles_of_nearly_equal_length_do_not_pool() -> None:
    """Of 9 rows they hold 3 each."""
    s, y = convolution("Relu")
    assert not fuses(s, s.add("MaxPool", y, **POOL), size=(9, 7))


def test_a_folded_convolution_pools_too() -> None:
    x = normal(2, 3, 40, 38)
    results = [pooled(x, "winograd4", "Relu", 3, 24, 5, apart=apart, strides=(2, 2)) for apart in (True, False)]
    assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize(
    "attributes", [{"pads": [0] * 4}, {"ceil_mode": 0, "dilations": [1, 1]}, {"auto_pad": "VALID"}]
)
def test_attributes_that_say_nothing_do_not_prevent_it(attributes: dict[str, Any]) -> None:
    s, y = convolution("Relu")
    assert fuses(s, s.add("MaxPool", y, **POOL, **attributes))


def fuses(s: Sketch, *outputs: str, size: tuple[int, int] = (11, 7)) -> bool:
    """Whether a pooling is made by its convolution; the results are right either way."""
    with convolving("winograd4"):
        session = check(s.network(*outputs), {"x0": normal(2, 20, *size)})
    return any(step.kernel.endswith(" pool") for step in plan_of(session).steps)


@pytest.mark.parametrize(
    "attributes",
    [
        {"ceil_mode": 1},
        {"pads": [1, 1, 1, 1]},
        {"pads": [0, 0, 1, 1]},
        {"auto_pad": "SAME_UPPER"},
        {"strides": [1, 1]},
        {"strides": [2, 1]},
        {"strides": None},
        {"dilations": [2, 2]},
        {"kernel_shape": [3, 3]},
        {"kernel_shape": [2, 1]},
    ],
)
def test_other_poolings_are_not_fused(attributes: dict[str, Any]) -> None:
    s, y = convolution("Relu")
    merged = {key: value for key, value in {**POOL, **attributes}.items() if value is not None}
    assert not fuses(s, s.add("MaxPool", y, **merged))


def test_a_mean_is_not_fused() -> None:
    s, y = convolution()
    assert not fuses(s, s.add("AveragePool", y, **POOL))


@pytest.mark.parametrize("activation", ["Sigmoid", "LeakyRelu", "HardSwish"])
def test_other_activations_are_not_fused(activation: str) -> None:
    s, y = convolution(activation)
    assert not fuses(s, s.add("MaxPool", y, **POOL))


def test_a_residual_is_not_fused() -> None:
    s, y = convolution("", 20, 20)
    assert not fuses(s, s.add("MaxPool", s.add("Add", y, "x0"), **POOL))


def test_a_convolution_with_other_readers_is_not_fused() -> None:
    s, y = convolution("Relu")
    assert not fuses(s, s.add("MaxPool", y, **POOL), s.conv(y, 24, 8, 1))
    s, y = convolution("Relu")
    assert not fuses(s, s.add("MaxPool", y, **POOL), s.add("MaxPool", y, **POOL))


def test_a_convolution_that_is_an_output_is_not_fused() -> None:
    s, y = convolution("Relu")
    assert not fuses(s, s.add("MaxPool", y, **POOL), y)


def test_an_image_of_one_row_is_not_fused() -> None:
    """It has no whole pair: the result is empty, which the operator says in its own words or gives."""
    s, y = convolution("Relu", pad=1)
    assert fuses(s, s.add("MaxPool", y, **POOL), size=(2, 2))
    with convolving("winograd4"), pytest.raises(accel.ModelError):
        accel.InferenceSession(s.network("v2")).run(None, {"x0": normal(1, 20, 1, 6)})


def test_a_bias_that_is_not_finite_is_not_fused() -> None:
    """Infinity plus minus infinity is no number, but not if the larger of two sums is taken first."""
    s, y = convolution()
    s.constants["c1"] = np.where(np.arange(24) % 2, np.inf, s.constants["c1"]).astype(np.float32)
    network = s.network(s.add("MaxPool", y, **POOL))
    x = normal(1, 20, 8, 8)
    x[0, 0, 3, 3] = -np.inf
    with convolving("winograd4"):
        session = accel.InferenceSession(network)
        (got,) = session.run(None, {"x0": x})
    assert [step.kernel for step in plan_of(session).steps].count("pool") == 1
    with np.errstate(all="ignore"):
        (wanted,) = expected(network, {"x0": x})
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))


def test_pooled_parts_of_a_concatenation_and_a_wide_halo_after() -> None:
    s = Sketch()
    x = s.input("N", 20, "H", "W")
    parts = [s.add("MaxPool", s.add("Relu", s.conv(x, 20, 16)), **POOL) for _ in range(2)]
    y = s.conv(s.add("Concat", *parts, axis=1), 32, 24, 5)
    with convolving("winograd4"):
        session = check(s.network(s.add("MaxPool", y, **POOL)), {"x0": normal(2, 20, 16, 15)})
    kernels = [step.kernel for step in plan_of(session).steps]
    assert kernels == ["import", *["conv winograd4 pool"] * 3, "export"]


def test_a_chain_of_pools_stays_small() -> None:
    """The results that are not wanted are never held."""
    s = Sketch()
    y, size = s.input("N", 32, 64, 64), 64
    for _ in range(3):
        y, size = s.add("MaxPool", s.add("Relu", s.conv(y, 32, 32)), **POOL), size // 2
    network, feeds = s.network(y), {"x0": normal(1, 32, 64, 64)}
    with convolving("winograd4"):
        session = accel.InferenceSession(network, threads=1)
        assert_close(session.run(None, feeds), expected(network, feeds))
    steps = plan_of(session).steps
    scratch = max(step.writes[1].storage.nbytes for step in steps if step.choice)
    assert plan_of(session).arena_bytes <= 4 * 32 * (66 * 66 + 34 * 34) + scratch + 256
