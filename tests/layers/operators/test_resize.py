"""Resize against the reference of the onnx package, and by its definition where that is simple."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from layers.operators.call import floats, ints, refused, run

MODES = [("nearest", {"nearest_mode": n}) for n in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")]
MODES += [(m, {"antialias": a, "exclude_outside": e}) for m in ("linear", "cubic") for a in (0, 1) for e in (0, 1)]
COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
               "tf_crop_and_resize"]  # fmt: skip
TARGETS = [{"sizes": [1, 2, 3, 9]}, {"sizes": [1, 2, 8, 1]}, {"scales": [1.0, 1.0, 0.6, 2.3]}]


def _reference(x, roi, target, attributes):
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    names = ["x", "roi", "scales" if "scales" in target else "", "sizes" if "sizes" in target else ""]
    node = helper.make_node("Resize", names, ["y"], **attributes)
    arrays = {"roi": roi, **{k: _target(k, v) for k, v in target.items()}}
    infos = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in "xy"]
    graph = helper.make_graph(
        [node], "g", infos[:1], infos[1:], [numpy_helper.from_array(a, n) for n, a in arrays.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    return ReferenceEvaluator(model).run(None, {"x": x})[0]


def _target(name, values):
    return np.array(values, np.float32 if name == "scales" else np.int64)


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize(("mode", "options"), MODES, ids=str)
def test_against_the_reference(mode, options, target):
    # fractions that float32 holds: the reference rounds their differences to it
    x, roi = floats(1, 2, 5, 4), np.float32([0, 0, 0.125, 0.25, 1, 1, 0.75, 1.25])
    for coordinates in COORDINATES:
        attributes = {
            "mode": mode, "coordinate_transformation_mode": coordinates, "extrapolation_value": 7.0, **options
        }  # fmt: skip
        given = [_target(name, target[name]) if name in target else None for name in ("scales", "sizes")]
        y = run("Resize", x, roi, *given, **attributes)
        expected = _reference(x, roi, target, attributes)
        assert y.dtype == np.float32 and y.shape == expected.shape
        assert np.allclose(y, expected, atol=1e-5), coordinates


@pytest.mark.parametrize(("policy", "expected"), [("not_larger", (1, 1, 4, 6)), ("not_smaller", (1, 1, 6, 9))])
def test_aspect_ratio_is_kept(policy, expected):
    y = run("Resize", floats(1, 1, 2, 3), None, None, ints(6, 6), axes=[2, 3], keep_aspect_ratio_policy=policy)
    assert y.shape == expected


def test_axes_in_any_order():
    x = floats(2, 3, 4)
    one = run("Resize", x, None, None, ints(8, 5), axes=[2, 1], mode="linear")
    other = run("Resize", x, None, None, ints(5, 8), axes=[1, -1], mode="linear")
    assert one.shape == (2, 5, 8) and np.array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float16, np.float64, np.int32])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_type_is_kept_and_integers_saturate(dtype, mode):
    x = np.array([[0, 127], [127, 0]], dtype)
    y = run("Resize", x, None, np.float32([4, 4]), mode=mode)
    assert y.dtype == dtype and y.shape == (8, 8)
    if mode == "cubic" and np.dtype(dtype).kind == "u":
        assert y.min() == 0  # the overshoot below zero does not wrap around


def test_upsample_repeats():
    x = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    assert np.array_equal(run("Upsample", x, np.float32([1, 1, 2, 3])), x.repeat(2, 2).repeat(3, 3))


def test_whole_factors_of_nearest_are_exact():
    """No rounding of coordinates moves a pixel, for any whole factor."""
    x = np.arange(50)
    for factor, coordinates in itertools.product(range(1, 40), ("half_pixel", "asymmetric")):
        options = {"nearest_mode": "floor"} if coordinates == "asymmetric" else {}
        y = run("Resize", x, None, None, ints(50 * factor), coordinate_transformation_mode=coordinates, **options)
        assert np.array_equal(y, x.repeat(factor)), factor


def test_empty_results_and_empty_inputs():
    assert run("Resize", floats(2, 3), None, np.float32([1, 0.1])).shape == (2, 0)
    assert run("Resize", np.zeros((0, 2), np.float32), None, np.float32([3, 2])).shape == (0, 4)
    with refused("Resize: sizes: expected 2 values for axes of sizes [0, 2], got [2, 4]"):
        run("Resize", np.zeros((0, 2), np.float32), None, None, ints(2, 4))
    assert run("Resize", np.zeros((0, 2), np.float32), None, None, ints(4), axes=[1]).shape == (0, 4)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ((None, None, None), {}, "scales, sizes: expected exactly one of the two"),
        ((None, np.float32([1, 1]), ints(2, 3)), {}, "scales, sizes: expected exactly one of the two"),
        ((None, np.float32([1, 0]), None), {}, "scales: expected values > 0, got [1.0, 0.0]"),
        ((None, np.float32([1, np.nan]), None), {}, "scales: expected 2 finite numbers"),
        ((None, np.float32([1]), None), {}, "scales: expected 2 finite numbers, got float32 of shape (1,)"),
        ((None, None, ints(2, -3)), {}, "sizes: expected values >= 0, got [2, -3]"),
        ((None, None, ints(2)), {}, "sizes: expected 2 values for axes of sizes [2, 3], got [2]"),
        ((None, None, ints(2, 3)), {"mode": "area"}, "mode: expected one of nearest, linear, cubic, got 'area'"),
        ((None, None, ints(2, 3)), {"antialias": 1}, "antialias: expected 0 with mode nearest, got 1"),
        ((None, None, ints(2, 3)), {"axes": [0, 5]}, "axes: expected in -2..1 for 2 axes, got 5"),
        ((None, None, ints(2, 3)), {"coordinate_transformation_mode": "tf_crop_and_resize"}, "roi: expected 4 finite"),
    ],
)
def test_what_is_refused(inputs, options, message):
    with refused(f"Resize: {message}"):
        run("Resize", floats(2, 3), *inputs, **options)
