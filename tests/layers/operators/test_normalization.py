"""Normalizations against their definitions in float64."""

from __future__ import annotations

import numpy as np
import pytest
from layers.operators.call import floats, refused, run

SHAPE = (2, 6, 3, 4)
DTYPES = [np.float16, np.float32, np.float64]


def _close(y, expected, dtype):
    # float16 results are rounded from float32, float64 ones with stash_type 1 too
    assert y.dtype == dtype
    assert np.allclose(y, expected, rtol=0, atol=8e-3 if dtype == np.float16 else 2e-5)


def _vectors(dtype):
    return floats(6, seed=1, dtype=dtype), floats(6, seed=2, dtype=dtype)


def _standard(x, axes, epsilon=1e-5):
    wide = x.astype(np.float64)
    mean, var = wide.mean(axis=axes, keepdims=True), wide.var(axis=axes, keepdims=True)
    return (wide - mean) / np.sqrt(var + epsilon)


@pytest.mark.parametrize("dtype", DTYPES)
def test_of_batch_instance_group_layer_and_root_mean_square(dtype):
    x, (scale, bias) = floats(*SHAPE, dtype=dtype) * dtype(3) + dtype(1), _vectors(dtype)
    gain, shift = scale.reshape(-1, 1, 1).astype(np.float64), bias.reshape(-1, 1, 1).astype(np.float64)
    _close(run("InstanceNormalization", x, scale, bias), _standard(x, (2, 3)) * gain + shift, dtype)
    _close(
        run("GroupNormalization", x, scale, bias, num_groups=2),
        _standard(x.reshape(2, 2, 3, 3, 4), (2, 3, 4)).reshape(SHAPE) * gain + shift,
        dtype,
    )
    line = floats(4, seed=3, dtype=dtype)
    y, mean, inverse = run("LayerNormalization", x, line, line, outputs=3)
    _close(y, _standard(x, (3,)) * line + line, dtype)
    assert mean.dtype == inverse.dtype == np.float32 and mean.shape == inverse.shape == (*SHAPE[:3], 1)
    wide = x.astype(np.float64)
    root = np.sqrt((wide**2).mean(axis=-1, keepdims=True) + 1e-5)
    _close(run("RMSNormalization", x, line), wide / root * line, dtype)
    mean, var = bias, np.abs(scale) + dtype(0.5)
    expected = (wide - bias.reshape(-1, 1, 1)) / np.sqrt(var.reshape(-1, 1, 1) + 1e-5) * gain + shift
    _close(run("BatchNormalization", x, scale, bias, mean, var), expected, dtype)


def test_batch_normalization_in_training_returns_running_statistics():
    x, (scale, bias) = floats(*SHAPE), _vectors(np.float32)
    mean, var = np.zeros(6, np.float32), np.ones(6, np.float32)
    y, new_mean, new_var = run(
        "BatchNormalization", x, scale, bias, mean, var, training_mode=1, momentum=0.75, outputs=3
    )
    expected = _standard(x, (0, 2, 3)) * scale.reshape(-1, 1, 1) + bias.reshape(-1, 1, 1)
    assert np.allclose(y, expected, atol=1e-5)
    assert np.allclose(new_mean, 0.25 * x.mean(axis=(0, 2, 3)), atol=1e-6)
    assert np.allclose(new_var, 0.75 + 0.25 * x.var(axis=(0, 2, 3)), atol=1e-6)
    assert new_mean.dtype == new_var.dtype == np.float32


def test_batch_normalization_refuses():
    x, (scale, bias) = floats(*SHAPE), _vectors(np.float32)
    message = "BatchNormalization: input_var: expected one value per channel of X of shape (2, 6, 3, 4), got shape (5,)"
    with refused(message):
        run("BatchNormalization", x, scale, bias, bias, bias[:5])


@pytest.mark.parametrize("size", range(1, 9))
def test_lrn_by_definition(size):
    x = floats(2, 5, 3)
    wide, expected = x.astype(np.float64), np.empty(x.shape)
    for c in range(5):
        low, high = max(0, c - (size - 1) // 2), min(4, c + -(-(size - 1) // 2))
        total = (wide[:, low : high + 1] ** 2).sum(axis=1)
        expected[:, c] = wide[:, c] / (2 + 0.3 / size * total) ** 0.6
    y = run("LRN", x, size=size, alpha=0.3, beta=0.6, bias=2.0)
    assert y.dtype == np.float32 and np.allclose(y, expected, atol=1e-6)
    with refused("LRN: size: expected values >= 1, got [0]"):
        run("LRN", x, size=0)


@pytest.mark.parametrize("p", [1, 2])
def test_lp_normalization_leaves_zero_at_zero(p):
    x = np.float32([[3, -4], [0, 0]])
    norm = 7 if p == 1 else 5
    assert np.allclose(run("LpNormalization", x, p=p), [[3 / norm, -4 / norm], [0, 0]])
    with refused("LpNormalization: p: expected 1 or 2, got 3"):
        run("LpNormalization", x, p=3)


def test_mean_variance_normalization():
    x = floats(*SHAPE)
    assert np.allclose(run("MeanVarianceNormalization", x), _standard(x, (0, 2, 3), 0.0), atol=1e-5)


def test_what_is_refused():
    x, (scale, bias) = floats(*SHAPE), _vectors(np.float32)
    with refused("GroupNormalization: num_groups: expected to divide the 6 channels, got 4"):
        run("GroupNormalization", x, scale, bias, num_groups=4)
    with refused("GroupNormalization: num_groups: expected to divide the 6 channels, got 0"):
        run("GroupNormalization", x, scale, bias, num_groups=0)
    with refused("LayerNormalization: Scale: expected a shape that broadcasts to (2, 6, 3, 4), got (5,)"):
        run("LayerNormalization", x, floats(5))
    with refused("LayerNormalization: axis: expected in -4..3 for 4 axes, got 4"):
        run("LayerNormalization", x, floats(4), axis=4)
    with refused("RMSNormalization: scale: expected a shape that broadcasts to (2, 6, 3, 4), got (3, 2, 6, 3, 4)"):
        run("RMSNormalization", x, floats(3, *SHAPE))


def test_lrn_over_more_channels_than_there_are_takes_no_longer():
    x = floats(2, 3, 2, 2)
    y = run("LRN", x, size=2**31 - 1, alpha=0.0, beta=0.6, bias=2.0)
    np.testing.assert_allclose(y, x / 2**0.6, rtol=1e-6)
