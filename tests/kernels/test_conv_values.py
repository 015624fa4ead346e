"""conv2d on NaN, infinities and denormals: each stays inside the windows that hold it, whatever lane it stands in."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.floats import Convolution, assert_same_bits, normal

from accel.kernels import conv2d

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, for values that are meant

# One of every route, with partial blocks in and out.
CASES = [
    Convolution(33, 18, (4, 5)),
    Convolution(64, 31, (5, 3), (1, 1), pads=(0, 0, 0, 0)),
    Convolution(32, 32, (4, 5), group=2),
    Convolution(7, 17, (4, 5), strides=(2, 1)),
    Convolution(40, 32, (4, 5), group=2),
    Convolution(34, 34, (4, 5), group=2),
    Convolution(3, 9, (4, 5), group=3),
    Convolution(35, 35, (4, 5), group=35),
]


def touched(case: Convolution, holds: np.ndarray) -> np.ndarray:
    """Which outputs have a window that meets a cell where `holds`, by plain loops."""
    n, _, height, width = holds.shape
    (kh, kw), (sh, sw), (dh, dw), (top, left) = case.kernel, case.strides, case.dilations, case.pads[:2]
    out_h = (height + top + case.pads[2] - dh * (kh - 1) - 1) // sh + 1
    out_w = (width + left + case.pads[3] - dw * (kw - 1) - 1) // sw + 1
    result = np.zeros((n, case.out, out_h, out_w), bool)
    per_group, out_per_group = case.channels // case.group, case.out // case.group
    for image, c, y, x in np.argwhere(holds):
        for i in range(out_h):
            for j in range(out_w):
                p, q = y - (i * sh - top), x - (j * sw - left)
                if 0 <= p < kh * dh and 0 <= q < kw * dw and p % dh == 0 and q % dw == 0:
                    first = c // per_group * out_per_group
                    result[image, first : first + out_per_group, i, j] = True
    return result


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_special_value_stays_in_its_windows(implementation: str, case: Convolution, value: float) -> None:
    """Image i holds it in channel i: every lane of every block, a different pixel each time."""
    case = case._replace(images=case.channels)
    x, w, bias = case.arrays()
    clean = conv2d(x, w, bias, **case.geometry, algorithm="direct")
    holds = np.zeros(x.shape, bool)
    pixels = case.size[0] * case.size[1]
    for i in range(case.images):
        holds[i, i, *np.unravel_index(i * 7 % pixels, case.size)] = True
    x[holds] = value
    y = conv2d(x, w, bias, **case.geometry, algorithm="direct")
    hit = touched(case, holds)
    assert hit.any() and not hit.all()
    assert not np.isfinite(y[hit]).any()
    assert np.isnan(y[hit]).all() if np.isnan(value) else np.isinf(y[hit]).all()
    assert_same_bits(y[~hit], clean[~hit])


def test_infinity_times_a_zero_weight_is_nan_only_where_the_definition_says_so(implementation: str) -> None:
    """The zeros that fill up blocks of weights and images are none of the network's."""
    x, w = np.full((1, 17, 3, 3), np.inf, np.float32), np.ones((17, 17, 3, 3), np.float32)
    assert np.isposinf(conv2d(x, w, pads=1, algorithm="direct")).all()
    x, w = np.full((1, 34, 3, 3), np.inf, np.float32), np.ones((6, 17, 1, 1), np.float32)
    assert np.isposinf(conv2d(x, w, group=2, algorithm="direct")).all()
    x, w = np.full((1, 17, 3, 3), np.inf, np.float32), np.ones((17, 1, 3, 3), np.float32)
    assert np.isposinf(conv2d(x, w, pads=1, group=17, algorithm="direct")).all()


def test_infinities_of_both_signs_make_nan(implementation: str) -> None:
    x = np.zeros((1, 16, 1, 2), np.float32)
    x[0, 3, 0, 0], x[0, 12, 0, 0] = np.inf, -np.inf
    y = conv2d(x, np.ones((16, 16, 1, 1), np.float32), algorithm="direct")
    assert np.isnan(y[..., 0]).all() and (y[..., 1] == 0).all()


def test_nan_weights_and_biases_reach_their_own_channel_alone(implementation: str) -> None:
    for channels, out, group in ((20, 20, 1), (3, 20, 1), (20, 20, 20), (4, 12, 2)):
        case = Convolution(channels, out, group=group)
        x, w, bias = case.arrays()
        assert bias is not None
        clean = conv2d(x, w, bias, **case.geometry, algorithm="direct")
        for where in (w[:, 0, 1, 1], bias):
            before, where[out - 3] = where[out - 3], np.nan
            y = conv2d(x, w, bias, **case.geometry, algorithm="direct")
            where[out - 3] = before
            assert np.isnan(y[:, out - 3]).all()
            assert_same_bits(np.delete(y, out - 3, 1), np.delete(clean, out - 3, 1))


def test_denormals_are_kept(implementation: str) -> None:
    for channels, group in ((16, 1), (3, 1), (16, 16)):
        x = np.full((1, channels, 3, 3), 1e-40, np.float32)
        w = np.zeros((16, channels // group, 1, 1), np.float32)
        w[:, 0] = 1.0
        y = conv2d(x, w, group=group, algorithm="direct")
        assert (y == np.float32(1e-40)).all()
        assert (
            conv2d(np.ones_like(x), np.float32(1e-40) * w, group=group, algorithm="direct") == np.float32(1e-40)
        ).all()


def test_overflow_is_infinite(implementation: str) -> None:
    x = np.full((1, 16, 2, 2), 3e38, np.float32)
    assert np.isposinf(conv2d(x, np.ones((1, 16, 1, 1), np.float32), algorithm="direct")).all()


def test_the_image_is_not_read_past_its_end(implementation: str) -> None:
    """What lies around the arrays is NaN: it would show."""
    for channels, out, group in ((5, 5, 1), (17, 17, 1), (17, 17, 17), (6, 4, 2)):
        case = Convolution(channels, out, (3, 5), group=group, images=1)
        x, w, bias = case.arrays()
        around = [embedded(a) for a in (x, w, normal(out, seed=2))]
        assert_same_bits(
            conv2d(*around, **case.geometry, algorithm="direct"),
            conv2d(x, w, bias, **case.geometry, algorithm="direct"),
        )


def embedded(a: np.ndarray) -> np.ndarray:
    raw = np.full(a.size + 512, np.nan, np.float32)
    raw[256 : 256 + a.size] = a.ravel()
    return raw[256 : 256 + a.size].reshape(a.shape)
