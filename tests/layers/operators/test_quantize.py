"""Quantization: rounding, saturation, axes and blocks."""

from __future__ import annotations

import numpy as np
import pytest
from layers.operators.call import floats, refused, run

TYPES = [np.uint8, np.int8, np.uint16, np.int16]


@pytest.mark.parametrize("dtype", TYPES)
def test_quantize_rounds_to_even_and_saturates(dtype):
    info = np.iinfo(dtype)
    x = np.float32([0.5, 1.5, 2.5, -0.5, 1e9, -1e9, np.inf, -np.inf])
    y = run("QuantizeLinear", x, np.float32(1), np.array(3, dtype))
    assert y.dtype == dtype
    expected = np.clip([3, 5, 5, 3], info.min, info.max).tolist() + [info.max, info.min] * 2
    assert y.tolist() == expected


def test_quantize_defaults_to_uint8_and_takes_an_output_type():
    assert run("QuantizeLinear", np.float32([300]), np.float32(1)).dtype == np.uint8
    assert run("QuantizeLinear", np.float32([300]), np.float32(1), output_dtype=5).tolist() == [300]
    with refused("QuantizeLinear: output_dtype: expected uint8 like y_zero_point, got int16"):
        run("QuantizeLinear", np.float32([300]), np.float32(1), np.uint8(0), output_dtype=5)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", TYPES)
def test_per_axis_and_back(axis, dtype):
    x = floats(3, 4, 5)
    n = x.shape[axis]
    scale, zero = np.linspace(0.02, 0.05, n, dtype=np.float32), np.arange(n).astype(dtype)
    shape = [1] * 3
    shape[axis] = n
    y = run("QuantizeLinear", x, scale, zero, axis=axis)
    wide = np.rint(x / scale.reshape(shape)) + zero.reshape(shape).astype(np.float64)
    assert np.array_equal(y, np.clip(wide, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype))
    back = run("DequantizeLinear", y, scale, zero, axis=axis)
    difference = y.astype(np.float32) - zero.reshape(shape).astype(np.float32)
    assert back.dtype == np.float32 and np.array_equal(back, difference * scale.reshape(shape))


@pytest.mark.parametrize("block", [1, 2, 3, 4])
def test_blocks_of_which_the_last_may_be_short(block):
    x = floats(2, 4, 3)
    count = -(-4 // block)
    scale = np.abs(floats(2, count, 3, seed=1)) + np.float32(0.1)
    spread = np.repeat(scale, block, axis=1)[:, :4]
    y = run("QuantizeLinear", x, scale, np.zeros(scale.shape, np.int8), axis=1, block_size=block)
    assert np.array_equal(y, np.rint(x / spread).astype(np.int8))
    back = run("DequantizeLinear", y, scale, axis=1, block_size=block)
    assert np.array_equal(back, y.astype(np.float32) * spread)


def test_dequantize_of_extreme_int32_does_not_overflow():
    x, zero = np.array([2**31 - 1], np.int32), np.array([-(2**31)], np.int32)
    assert run("DequantizeLinear", x, np.float32([1]), zero)[0] == np.float32(2**32 - 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_dequantize_has_the_type_of_its_scale(dtype):
    assert run("DequantizeLinear", np.uint8([3]), dtype(0.5), np.uint8(1)).dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.ones(3, np.float32),), {}, "y_scale: expected 4 values along axis 1, got 3"),
        ((np.ones((2, 3), np.float32),), {}, "y_scale: expected a scalar or a vector without block_size, got shape"),
        (
            (np.ones((2, 3), np.float32),),
            {"block_size": 2},
            "y_scale: expected shape (2, 2) for blocks of 2, got",
        ),
        ((np.ones((2, 3), np.float32),), {"block_size": -1}, "block_size: expected >= 0, got -1"),
        ((np.ones(4, np.float32),), {"axis": 2}, "axis: expected in -2..1 for 2 axes, got 2"),
        ((np.float32(1), np.float32(0)), {}, "zero point: expected an integer type, got float32"),
        ((np.float32(1), np.int8([1, 2])), {}, "y_zero_point: expected 4 values along axis 1, got 2"),
    ],
)
def test_what_is_refused(arguments, options, message):
    with refused(f"QuantizeLinear: {message}"):
        run("QuantizeLinear", floats(2, 4), *arguments, **options)


def test_dequantize_refuses_zero_points_of_another_type():
    with refused("DequantizeLinear: input 2: expected uint8 like input 0, got int8"):
        run("DequantizeLinear", np.uint8([1]), np.float32(1), np.int8(0))
    with refused("DequantizeLinear: x: expected an integer type, got float32"):
        run("DequantizeLinear", np.float32([1]), np.float32(1))


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0, 2.0], [-3.0, -1.0], [-1.0, 3.0]])
def test_dynamic_quantization_covers_its_range_and_zero(values):
    x = np.float32(values)
    y, scale, zero = run("DynamicQuantizeLinear", x, outputs=3)
    assert y.dtype == zero.dtype == np.uint8 and scale.dtype == np.float32 and scale.shape == zero.shape == ()
    back = (y.astype(np.float32) - zero.astype(np.float32)) * scale
    assert np.allclose(back, x, atol=float(scale) / 2 + 1e-6)


def test_qlinear_matmul_with_scales_per_row_and_column():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (3, 50)).astype(np.uint8), rng.integers(-128, 128, (50, 4)).astype(np.int8)
    row, column = np.float32([0.01, 0.02, 0.03]), np.float32([0.1, 0.2, 0.3, 0.4])
    za, zb = np.uint8([1, 2, 3]), np.int8([-1, 0, 1, 2])
    total = (a.astype(int) - za[:, None].astype(int)) @ (b.astype(int) - zb.astype(int))
    expected = np.clip(np.rint(total * ((row[:, None] * column) / np.float32(2)).astype(float)) + 128, 0, 255)
    y = run("QLinearMatMul", a, row, za, b, column, zb, np.float32(2), np.uint8(128))
    assert y.dtype == np.uint8 and np.array_equal(y, expected)
