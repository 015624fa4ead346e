"""Convolution in one to three axes against its definition; the integer forms exactly; the transposed as the adjoint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.operators.call import floats, refused, run
from layers.operators.windows import convolved, geometries


@settings(max_examples=60, deadline=None)
@given(geometry=geometries(), group=st.integers(1, 2), dtype=st.sampled_from([np.float16, np.float32, np.float64]))
def test_conv_by_definition(geometry, group, dtype):
    size, case, out = geometry
    x, w = floats(2, 2 * group, *size, dtype=dtype), floats(2 * group, 2, *case["kernel_shape"], seed=1, dtype=dtype)
    bias = floats(2 * group, seed=2, dtype=dtype)
    expected = convolved(x.astype(np.float64), w.astype(np.float64), case, out, group)
    expected += bias.astype(np.float64).reshape(-1, *[1] * len(out))
    y = run("Conv", x, w, bias, group=group, **case)
    # at most 54 products of normal numbers: the error of a sum is far below 100 units of its largest term
    assert y.dtype == dtype and np.allclose(y, expected, rtol=0, atol=300 * np.finfo(dtype).eps)


@settings(max_examples=40, deadline=None)
@given(geometry=geometries(), group=st.integers(1, 2))
def test_conv_transpose_is_the_adjoint_of_conv(geometry, group):
    """<conv(x, w), z> = <x, conv_transpose(z, w)>, with output_padding where strides leave cells unread."""
    size, case, out = geometry
    x, w = floats(1, 2 * group, *size, dtype=np.float64), floats(3 * group, 2, *case["kernel_shape"], dtype=np.float64)
    z = floats(1, 3 * group, *out, seed=3, dtype=np.float64)
    rank = len(size)
    extra = []
    for i in range(rank):
        k, s, d = (case[name][i] for name in ("kernel_shape", "strides", "dilations"))
        reach = (out[i] - 1) * s + (k - 1) * d + 1
        extra.append(size[i] - (reach - case["pads"][i] - case["pads"][i + rank]))
    back = run("ConvTranspose", z, w, group=group, output_padding=extra, **case)
    assert back.shape == x.shape
    forward = run("Conv", x, w, group=group, **case)
    assert np.vdot(forward, z) == pytest.approx(np.vdot(x, back), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("size", [5, 6, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_auto_pad(auto_pad, size, stride, kernel):
    x, w = floats(1, 1, size), floats(1, 1, kernel, seed=1)
    y = run("Conv", x, w, auto_pad=auto_pad, strides=[stride])
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0) if auto_pad != "VALID" else 0
    begin = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
    assert np.array_equal(y, run("Conv", x, w, pads=[begin, total - begin], strides=[stride]))
    assert y.shape[2] == (-(-size // stride) if auto_pad != "VALID" else (size - kernel) // stride + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strides": [0, 1]}, "strides: expected values >= 1, got [0, 1]"),
        ({"strides": [1]}, "strides: expected 2 values, got [1]"),
        ({"dilations": [1, -1]}, "dilations: expected values >= 1, got [1, -1]"),
        ({"pads": [0, 0, -1, 0]}, "pads: expected values >= 0, got [0, 0, -1, 0]"),
        ({"pads": [0, 0]}, "pads: expected 4 values, got [0, 0]"),
        ({"group": 3}, "group: expected to divide the 4 channels of X and W of shape (2, 4, 3, 3) to fit, got 3"),
        ({"group": 0}, "group: expected to divide the 4 channels"),
        ({"kernel_shape": [3, 2]}, "kernel_shape: expected (3, 3) as in W, got (3, 2)"),
        ({"dilations": [3, 3]}, "X: expected spatial sizes that hold a window of (7, 7) cells, got shape (1, 4, 5, 5)"),
        ({"auto_pad": "SAME"}, "auto_pad: expected one of NOTSET, SAME_UPPER, SAME_LOWER, VALID, got 'SAME'"),
        ({"pads": [2**40] * 4}, "output: expected at most"),
    ],
)
def test_conv_refuses(options, message):
    with refused(f"Conv: {message}"):
        run("Conv", floats(1, 4, 5, 5), floats(2, 4, 3, 3), **options)


def test_conv_refuses_inputs_that_do_not_fit():
    with refused("Conv: W: expected 4 axes like X, got shape (2, 4, 3)"):
        run("Conv", floats(1, 4, 5, 5), floats(2, 4, 3))
    with refused("Conv: B: expected shape (2,), got (3,)"):
        run("Conv", floats(1, 4, 5, 5), floats(2, 4, 3, 3), floats(3))
    with refused("Conv: X: expected at least 3 axes (N, C, ...), got shape (4, 5)"):
        run("Conv", floats(4, 5), floats(2, 4))
    with refused("Conv: input 1: expected float32 like input 0, got float64"):
        run("Conv", floats(1, 4, 5, 5), np.zeros((2, 4, 3, 3)))


def test_conv_transpose_of_a_given_shape():
    x, w = floats(1, 1, 3, 3), floats(1, 2, 3, 3)
    for auto_pad, begin in (("SAME_UPPER", 0), ("NOTSET", 1)):
        y = run("ConvTranspose", x, w, strides=[2, 2], output_shape=[6, 6], auto_pad=auto_pad)
        full = run("ConvTranspose", x, w, strides=[2, 2])
        assert np.array_equal(y, full[:, :, begin : begin + 6, begin : begin + 6])
    with refused("ConvTranspose: pads: expected to leave an output, got shape (-1, -1)"):
        run("ConvTranspose", x, w, pads=[3, 3, 3, 3])
    with refused("ConvTranspose: W: expected shape (C, O/1, ...) for X of shape (1, 1, 3, 3), got (2, 2, 3, 3)"):
        run("ConvTranspose", x, floats(2, 2, 3, 3))


@settings(max_examples=30, deadline=None)
@given(geometry=geometries(), group=st.integers(1, 2))
def test_conv_integer_is_exact(geometry, group):
    size, case, out = geometry
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (1, 2 * group, *size)).astype(np.uint8)
    w = rng.integers(-128, 128, (2 * group, 2, *case["kernel_shape"])).astype(np.int8)
    zero, zeros = np.uint8(200), rng.integers(-128, 128, 2 * group).astype(np.int8)
    shifted = w.astype(int) - zeros.astype(int).reshape(-1, *[1] * (w.ndim - 1))
    expected = convolved(x.astype(int) - 200, shifted, case, out, group)
    y = run("ConvInteger", x, w, zero, zeros, group=group, **case)
    assert y.dtype == np.int32 and np.array_equal(y, expected)


def test_qlinear_conv_with_scales_per_channel_and_bias():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (1, 3, 6, 6)).astype(np.uint8)
    w = rng.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8)
    scale = np.float32([0.01, 0.02, 0.03, 0.04])
    zeros, bias = np.int8([0, 3, -5, 100]), np.array([100, -2000, 30000, 5], np.int32)
    total = run("ConvInteger", x, w, np.uint8(120), zeros).astype(np.float64) + bias.reshape(-1, 1, 1)
    real = total * (np.float32(0.05) * scale / np.float32(0.7)).astype(np.float64).reshape(-1, 1, 1)
    y = run("QLinearConv", x, np.float32(0.05), np.uint8(120), w, scale, zeros, np.float32(0.7), np.uint8(10), bias)
    assert y.dtype == np.uint8 and np.array_equal(y, np.clip(np.rint(real) + 10, 0, 255))
    with refused("QLinearConv: w_scale: expected 1 or 4 values, got 3"):
        run("QLinearConv", x, np.float32(1), np.uint8(1), w, scale[:3], zeros, np.float32(1), np.uint8(0))


FUSED = [("Relu", {}), ("Sigmoid", {}), ("Tanh", {}), ("HardSwish", {}), ("Swish", {}), ("LeakyRelu", {"alpha": 0.3}),
         ("Elu", {"alpha": 0.7}), ("HardSigmoid", {"alpha": 0.3, "beta": 0.4})]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), FUSED, ids=str)
def test_the_fused_forms_of_conv_and_gemm_are_their_parts_in_order(name, options, dtype):
    x, w, bias = floats(1, 2, 5, dtype=dtype), floats(3, 2, 3, seed=1, dtype=dtype), floats(3, seed=2, dtype=dtype)
    other = floats(1, 3, 3, seed=3, dtype=dtype)
    fused = {"activation": name, "activation_params": tuple(options.values())}
    expected = run(name, run("Add", run("Conv", x, w, bias), other), **options)
    y = run("Conv", x, w, bias, other, **fused)
    assert y.dtype == dtype and np.array_equal(y, expected)
    a, b = x[0], w[0].T
    y = run("Gemm", a[:, :3], b, **fused)
    assert y.dtype == dtype and np.array_equal(y, run(name, run("Gemm", a[:, :3], b), **options))


def test_a_fused_clip_has_its_bounds_as_parameters():
    x, w = floats(1, 2, 5), floats(3, 2, 3, seed=1)
    y = run("Conv", x, w, activation="Clip", activation_params=(-0.5, np.inf))
    assert np.array_equal(y, run("Clip", run("Conv", x, w), np.float32(-0.5)))


def test_what_cannot_be_fused_is_refused():
    x, w = floats(1, 2, 5), floats(3, 2, 3, seed=1)
    with refused("Conv: residual: expected shape (1, 3, 3) like the output, got (3, 1)"):
        run("Conv", x, w, None, floats(3, 1))
    with refused("Conv: activation: expected one of Relu, Sigmoid, Tanh"):
        run("Conv", x, w, activation="Softmax")
    with refused("Conv: expected inputs that fit together"):
        run("Conv", x, w, activation="Clip", activation_params=(1.0,))
