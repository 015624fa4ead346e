"""Operators that move, resample or combine become native steps, and compute what the operators do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, assert_close, check, expected, normal
from engine.test_plan import kernels, plan_of
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.kernels import runtime

pytestmark = pytest.mark.skipif(runtime.core is None, reason="plans are made of native kernels")

IMAGE = normal(2, 20, 6, 5)
FEEDS = {"x0": IMAGE}


def image(blocked: bool = True) -> tuple[Sketch, str]:
    """A sketch and a value of the shape of IMAGE, held in channel blocks or plain."""
    s = Sketch()
    x = s.input("N", 20, "H", "W")
    return s, s.conv(x, 20, 20) if blocked else s.add("Relu", x)


def native(session: accel.InferenceSession) -> accel.InferenceSession:
    assert not plan_of(session).calls_python, [s.node for s in plan_of(session).steps if s.emit is None]
    return session


def integers(s: Sketch, *values: int) -> str:
    return s.constant(np.array(values, np.int64))


# -- slices --------------------------------------------------------------------------------------------------------

SLICES: list[tuple[list[int], list[int], list[int], list[int]]] = [
    ([0, 0], [99, 99], [2, 3], [2, 2]),  # the shortcut of ResNet's option A
    ([1, -2], [-1, -99], [-2, -1], [1, -1]),
    ([3], [17], [1], [1]),
    ([16], [20], [1], [1]),
    ([0], [20], [1], [3]),
    ([-1], [-99], [1], [-1]),
    ([1], [2], [0], [1]),
    ([0, 2, 1, 4], [2, 19, 5, 0], [0, 1, 2, 3], [1, 1, 3, -2]),
    ([-(2**62)], [2**62], [3], [1]),
]


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES)
def test_slices(blocked: bool, starts: list[int], ends: list[int], axes: list[int], steps: list[int]) -> None:
    s, x = image(blocked)
    y = s.add("Slice", x, *(integers(s, *v) for v in (starts, ends, axes, steps)))
    native(check(s.network(y), FEEDS))


def test_a_slice_of_blocks_stays_in_blocks() -> None:
    s, x = image()
    y = s.add("Slice", x, integers(s, 0, 0), integers(s, 6, 5), integers(s, 2, 3), integers(s, 2, 2))
    y = s.add("Pad", y, integers(s, 0, 6, 0, 0, 0, 6, 0, 0))
    session = check(s.network(s.conv(y, 32, 16)), FEEDS)
    assert kernels(session) == ["import", "conv", "slice", "pad", "conv", "export"]


def test_a_slice_of_integers_and_of_nothing() -> None:
    s = Sketch()
    x = s.input("N", 7, dtype=np.int64)
    parts = [s.add("Slice", x, integers(s, a), integers(s, b), integers(s, 1)) for a, b in ((2, 5), (6, 0), (3, 3))]
    network = s.network(*parts, dtype=np.int64)
    check(network, {"x0": np.arange(21).reshape(3, 7) * 2**40})


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize(("axis", "sizes"), [(1, [16, 4]), (1, [3, 10, 7]), (2, [1, 5]), (-1, [2, 3]), (0, [1, 1])])
def test_splits(blocked: bool, axis: int, sizes: list[int]) -> None:
    s, x = image(blocked)
    y = s.add_many("Split", x, integers(s, *sizes), count=len(sizes), axis=axis)
    native(check(s.network(*y), FEEDS))


# -- pads ----------------------------------------------------------------------------------------------------------

PADS = [
    [0, 6, 0, 0, 0, 6, 0, 0],
    [0, 0, 1, 2, 0, 0, 3, 0],
    [0, 5, -1, 2, 0, -7, 3, -4],
    [1, 0, 0, 0, 2, 0, 0, 0],
    [0, 0, -6, 0, 0, 0, 4, 0],
]


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("pads", PADS)
@pytest.mark.parametrize("value", [None, 0.5, -np.inf])
def test_pads(blocked: bool, pads: list[int], value: float | None) -> None:
    s, x = image(blocked)
    last = [] if value is None else [s.constant(np.float32(value))]
    native(check(s.network(s.add("Pad", x, integers(s, *pads), *last)), FEEDS))


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_pads_that_repeat_the_image_are_left_to_the_operator(mode: str) -> None:
    s, x = image()
    session = check(s.network(s.add("Pad", x, integers(s, 0, 0, 1, 1, 0, 0, 1, 1), mode=mode)), FEEDS)
    assert plan_of(session).calls_python


def test_pads_along_some_axes_and_of_integers() -> None:
    s = Sketch()
    x = s.input(2, 3, dtype=np.int64)
    y = s.add("Pad", x, integers(s, 2, -1), s.constant(np.int64(-7)), integers(s, -1))
    native(check(s.network(y, dtype=np.int64), {"x0": np.arange(6).reshape(2, 3)}))


BAD_PADS: list[tuple[list[int], list[int] | None]] = [
    ([0, 0, 1], None),
    ([0, 0, -4, 0, 0, 0, -4, 0], None),
    ([1, 1, 1, 1], [1, 1]),
    ([1, 1], [4]),
]


@pytest.mark.parametrize(("pads", "axes"), BAD_PADS)
def test_pads_that_do_not_fit_are_refused(pads: list[int], axes: list[int] | None) -> None:
    s, x = image()
    last = [] if axes is None else ["", integers(s, *axes)]
    session = accel.InferenceSession(s.network(s.add("Pad", x, integers(s, *pads), *last)))
    with pytest.raises(accel.ModelError, match="Pad node"):
        session.run(None, FEEDS)


# -- transpositions and concatenations -----------------------------------------------------------------------------


@pytest.mark.parametrize("perm", [(0, 2, 3, 1), (0, 3, 1, 2), (3, 2, 1, 0), None, (1, 0, 2, 3)])
@pytest.mark.parametrize("blocked", [False, True])
def test_transpositions(blocked: bool, perm: tuple[int, ...] | None) -> None:
    s, x = image(blocked)
    y = s.add("Transpose", x) if perm is None else s.add("Transpose", x, perm=perm)
    native(check(s.network(y), FEEDS))


def test_the_head_of_a_detector_goes_straight_to_the_output() -> None:
    s, x = image()
    y = s.add("Reshape", s.add("Transpose", s.conv(x, 20, 4), perm=[0, 2, 3, 1]), integers(s, 0, -1, 2))
    session = check(s.network(y), FEEDS)
    assert kernels(session) == ["import", "conv", "conv", "channels last"]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int64])
def test_concatenations(axis: int, dtype: Any) -> None:
    s = Sketch()
    parts = [s.input(2, 3, 5, dtype=dtype), s.input(2, 3, 5, dtype=dtype), s.constant(np.ones((2, 3, 5), dtype))]
    whole = s.add("Concat", parts[0], parts[1], parts[0], parts[2], axis=axis)
    feeds = {f"x{i}": np.arange(30).reshape(2, 3, 5).astype(dtype) * (i + 3) for i in range(2)}
    native(check(s.network(whole, dtype=dtype), feeds))


def test_a_concatenation_with_an_empty_part() -> None:
    s = Sketch()
    whole = s.add("Concat", s.input("N", 3), s.input("M", 3), axis=0)
    native(check(s.network(whole), {"x0": normal(0, 3), "x1": normal(2, 3)}))


# -- resampling ----------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
    st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]),
    st.tuples(*[st.sampled_from([0.5, 1.0, 1.3, 2.0, 3.0])] * 2),
    st.booleans(),
)
def test_resize(mode: str, coordinates: str, nearest: str, scales: tuple[float, float], blocked: bool) -> None:
    s, x = image(blocked)
    names = (x, "", s.constant(np.array([1, 1, *scales], np.float32)))
    y = s.add("Resize", *names, mode=mode, coordinate_transformation_mode=coordinates, nearest_mode=nearest)
    native(check(s.network(s.conv(y, 20, 8)), FEEDS))


def test_upsample_and_a_joined_resize() -> None:
    s = Sketch()
    x = s.input("N", 16, "H", "W")
    up = s.add("Upsample", s.conv(x, 16, 16), s.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest")
    y = s.conv(s.add("Concat", up, s.conv(up, 16, 8), axis=1), 24, 8)
    session = native(check(s.network(y), {"x0": normal(1, 16, 4, 3)}))
    assert kernels(session) == ["import", "conv", "resize", "conv", "conv", "export"]


RESIZES = [
    ({"coordinate_transformation_mode": "tf_crop_and_resize"}, [1, 1, 2, 2]),
    ({}, [1, 2, 2, 2]),
    ({"mode": "linear", "antialias": 1}, [1, 1, 0.2, 0.2]),
]


@pytest.mark.parametrize(("attributes", "scales"), RESIZES)
def test_other_resizes_are_left_to_the_operator(attributes: dict[str, Any], scales: list[float]) -> None:
    s, x = image()
    roi = s.constant(np.array([0, 0, 0, 0, 1, 1, 0.5, 1.2], np.float32))
    session = check(s.network(s.add("Resize", x, roi, s.constant(np.array(scales, np.float32)), **attributes)), FEEDS)
    assert plan_of(session).calls_python


# -- softmax and arithmetic ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
@pytest.mark.parametrize("blocked", [False, True])
def test_softmax(blocked: bool, axis: int) -> None:
    s, x = image(blocked)
    native(check(s.network(s.add("Softmax", x, axis=axis)), FEEDS))


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (20, 1, 1), (1, 20, 1, 1), (6, 1), (2, 1, 1, 5)])
def test_arithmetic_with_constants(op: str, shape: tuple[int, ...]) -> None:
    s, x = image(blocked=False)
    c = s.constant(np.asarray(normal(*shape, seed=1) + np.float32(3), np.float32))
    native(check(s.network(s.add(op, x, c), s.add(op, c, x), s.add(op, x, x)), FEEDS))


def test_the_boxes_of_a_detector() -> None:
    """Centres and sizes to corners, as UltraFace ends."""
    s = Sketch()
    x = s.input(1, "boxes", 4)
    centre, size = (s.add("Slice", x, integers(s, a), integers(s, a + 2), integers(s, 2)) for a in (0, 2))
    half = s.add("Div", s.add("Exp", size), s.constant(np.float32(2)))
    y = s.add("Concat", s.add("Sub", centre, half), s.add("Add", centre, half), axis=2)
    native(check(s.network(y), {"x0": normal(1, 33, 4)}))


def test_other_types_are_left_to_numpy() -> None:
    s = Sketch()
    x = s.input(3, 4, dtype=np.float64)
    y = s.add("Div", s.add("Exp", s.add("Softmax", x)), s.constant(np.float64(3)))
    session = check(s.network(y, dtype=np.float64), {"x0": normal(3, 4).astype(np.float64)})
    assert plan_of(session).calls_python


def test_more_axes_than_the_kernels_have() -> None:
    s = Sketch()
    shape = (2, 1, 2, 1, 2, 1, 2, 1, 3)
    x = s.input(*shape)
    network = s.network(s.add("Mul", x, x), s.add("Transpose", x), s.add("Concat", x, x, axis=-1))
    check(network, {"x0": normal(*shape)})


def test_empty_values_go_through_every_step() -> None:
    s = Sketch()
    x = s.input("N", 3, 4, 4)
    outputs = [
        s.add("Transpose", x, perm=[0, 2, 3, 1]),
        s.add("Slice", x, integers(s, 0), integers(s, 2), integers(s, 2)),
        s.add("Pad", x, integers(s, 0, 0, 1, 1, 0, 0, 1, 1)),
        s.add("Concat", x, x, axis=1),
        s.add("Softmax", x, axis=1),
        s.add("Exp", s.add("Mul", x, x)),
        s.add("Resize", x, "", s.constant(np.array([1, 1, 2, 2], np.float32))),
    ]
    network = s.network(*outputs)
    session = accel.InferenceSession(network)
    for n in (0, 2):
        assert_close(session.run(None, {"x0": normal(n, 3, 4, 4)}), expected(network, {"x0": normal(n, 3, 4, 4)}))


# -- Python steps --------------------------------------------------------------------------------------------------


def test_python_steps_run_with_the_settings_of_their_session() -> None:
    """A plan of native steps alone does not set them; a Python step may ask for them."""
    s = Sketch()
    network = s.network(s.add("Round", s.input(1, 4)))
    with accel.using(backend="native", threads=3):
        session = accel.InferenceSession(network, threads=2)
    seen = []
    step_of = runtime.settings
    x = {"x0": normal(1, 4)}
    session.run(None, x)
    (step,) = (step for step in plan_of(session).steps if step.emit is None)
    step.python = lambda arrays: lambda: seen.append(step_of(runtime.threads()))
    with accel.using(backend="numpy", threads=1):
        session.run(None, x)
        assert (runtime.backend(), runtime.threads()) == ("numpy", 1), "as before the run"
    assert [(now.backend, now.threads) for now in seen] == [("native", 2)]


def test_python_steps_are_bound_once_and_warn_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    s = Sketch()
    x = s.input(4)
    y = s.add("Round", s.add("Log", s.add("Relu", x)))
    session = accel.InferenceSession(s.network(s.add("Relu", y)))
    with np.errstate(all="warn"):
        for seed in range(3):
            values = normal(4, seed=seed)
            (got,) = session.run(None, {"x0": values})
            with np.errstate(all="ignore"):
                rounded = np.rint(np.log(np.maximum(values, 0)))
            np.testing.assert_array_equal(got, np.maximum(rounded, 0))
    assert not recwarn.list
    (workspace,) = plan_of(session)._free
    assert len(workspace._calls) == 2
