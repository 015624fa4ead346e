"""Constants, ranges, dropout."""

from __future__ import annotations

import numpy as np
import pytest
from layers.operators.call import floats, ints, refused, run

from accel.errors import UnsupportedError


@pytest.mark.parametrize(
    ("attributes", "dtype", "shape"),
    [
        ({"value": np.zeros((2, 1), np.int8)}, np.int8, (2, 1)),
        ({"value_float": 1.5}, np.float32, ()),
        ({"value_floats": [1.5, 2.0]}, np.float32, (2,)),
        ({"value_int": 3}, np.int64, ()),
        ({"value_ints": [3, 4]}, np.int64, (2,)),
    ],
)
def test_constant(attributes, dtype, shape):
    y = run("Constant", **attributes)
    assert y.dtype == dtype and y.shape == shape


def test_constant_takes_one_form():
    with refused("Constant: value: expected one attribute, got 0"):
        run("Constant")
    with refused("Constant: value: expected one attribute, got 2"):
        run("Constant", value_int=1, value_float=1.0)


def test_constant_of_shape():
    assert run("ConstantOfShape", ints(2, 3)).dtype == np.float32
    assert run("ConstantOfShape", ints(), value=np.int8([5])).shape == ()
    with refused("ConstantOfShape: input: expected values >= 0, got [-1]"):
        run("ConstantOfShape", ints(-1))
    with refused("ConstantOfShape: value: expected one element, got shape (2,)"):
        run("ConstantOfShape", ints(1), value=np.zeros(2))


@pytest.mark.parametrize(
    ("start", "limit", "delta", "expected"),
    [(0, 5, 2, [0, 2, 4]), (5, 0, -2, [5, 3, 1]), (0, 0, 1, []), (3, 0, 1, []), (0, 6, 3, [0, 3])],
)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.float16, np.float32, np.float64])
def test_range(start, limit, delta, expected, dtype):
    y = run("Range", *(np.array(v, dtype) for v in (start, limit, delta)))
    assert y.dtype == dtype and y.tolist() == expected


def test_range_of_halves_is_made_in_single():
    y = run("Range", np.float16(0), np.float16(3000), np.float16(1))
    assert y.size == 3000 and y[2999] == np.float16(2999)


def test_range_refuses():
    with refused("Range: delta: expected a value other than 0, got 0"):
        run("Range", *ints(0, 1, 0))
    with refused("Range: start, limit, delta: expected a finite range, got 0.0, inf, 1.0"):
        run("Range", np.float32(0), np.float32(np.inf), np.float32(1))
    with refused("Range: start, limit, delta: expected a finite range"):
        run("Range", np.float32(0), np.float32(1), np.float32(0))


@pytest.mark.parametrize("k", [0, 1, -2, 2**62, -(2**62)])
def test_eye_like(k):
    y = run("EyeLike", np.zeros((3, 4), np.int32), k=k, dtype=11)
    assert y.dtype == np.float64 and np.array_equal(y, np.eye(3, 4, k=max(-3, min(4, k))))
    with refused("EyeLike: input: expected 2 axes, got shape (3,)"):
        run("EyeLike", np.zeros(3))


def test_dropout_does_nothing_unless_training():
    x = floats(3, 4)
    y, mask = run("Dropout", x, np.float32(0.9), outputs=2)
    assert np.array_equal(y, x) and mask.dtype == np.bool_ and mask.all()


def test_dropout_in_training_scales_what_it_keeps():
    x = np.ones((50, 50), np.float32)
    y, mask = run("Dropout", x, np.float32(0.25), np.array(True), seed=3, outputs=2)
    assert y.dtype == np.float32 and np.array_equal(y, np.where(mask, np.float32(1 / 0.75), 0))
    assert 0.7 < mask.mean() < 0.8
    assert np.array_equal(run("Dropout", x, np.float32(0.25), np.array(True), seed=3), y)
    for bad in (1.0, -0.1, np.nan):
        with refused("Dropout: ratio: expected in 0 <= ratio < 1, got"):
            run("Dropout", x, np.float32(bad), np.array(True))
    with pytest.raises(UnsupportedError, match="Dropout: seed: expected in 0"):
        run("Dropout", x, np.float32(0.25), np.array(True), seed=-1)
