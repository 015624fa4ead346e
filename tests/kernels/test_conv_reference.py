"""The definitions of Winograd, FFT and im2col convolution compute what the definition of convolution does."""

from __future__ import annotations

import numpy as np
import pytest

from accel.reference import conv, fft, winograd


def arrays(kernel: tuple[int, int], group: int, size: tuple[int, int] = (11, 8)) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in ((2, 6, *size), (4, 6 // group, *kernel), (4,))]


def close(y: np.ndarray, expected: np.ndarray) -> None:
    assert y.shape == expected.shape and y.dtype == np.float64
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


PADS = [(0, 0, 0, 0), (1, 1, 1, 1), (2, 0, 1, 3), (5, 6, 7, 8)]


@pytest.mark.parametrize(("m", "r"), [(2, 3), (4, 3), (6, 3), (4, 5), (2, 5)])
@pytest.mark.parametrize("pads", PADS)
def test_winograd(m: int, r: int, pads: tuple[int, int, int, int]) -> None:
    for group in (1, 2):
        x, w, bias = arrays((r, r), group)
        expected = conv.conv2d(x, w, bias, pads=pads, group=group)
        close(winograd.conv2d(x, w, bias, m=m, pads=pads, group=group), expected)
        close(winograd.conv2d(x, w, m=m, pads=pads, group=group), conv.conv2d(x, w, pads=pads, group=group))


def test_the_usual_matrices_of_f_2_3() -> None:
    """Lavin and Gray's, but for the signs of a row of B^T and the factor of G that goes with it."""
    at, g, bt = winograd.matrices(2, 3)
    np.testing.assert_array_equal(at, [[1, 1, 1, 0], [0, 1, -1, 1]])
    np.testing.assert_array_equal(np.abs(g), [[1, 0, 0], [0.5] * 3, [0.5] * 3, [0, 0, 1]])
    np.testing.assert_array_equal(np.abs(bt), [[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]])


def test_any_points_will_do() -> None:
    rng = np.random.default_rng(0)
    g, d = rng.standard_normal(3), rng.standard_normal(6)
    at, gm, bt = winograd.matrices(4, 3, (0.0, 1.0, -1.0, 3.0, 0.25))
    np.testing.assert_allclose(at @ ((gm @ g) * (bt @ d)), np.correlate(d, g, "valid"), atol=1e-11)


@pytest.mark.parametrize("kernel", [(1, 1), (5, 5), (7, 3), (2, 11), (16, 16)])
@pytest.mark.parametrize("pads", [*PADS, (16, 16, 16, 16)])
def test_fft(kernel: tuple[int, int], pads: tuple[int, int, int, int]) -> None:
    for group in (1, 2):
        x, w, bias = arrays(kernel, group, (21, 17))
        close(fft.conv2d(x, w, bias, pads=pads, group=group), conv.conv2d(x, w, bias, pads=pads, group=group))


@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("dilations", [(1, 1), (2, 1)])
def test_im2col(strides: tuple[int, int], dilations: tuple[int, int]) -> None:
    for group in (1, 2):
        x, w, bias = arrays((3, 2), group)
        for pads in PADS:
            options = {"strides": strides, "dilations": dilations, "pads": pads, "group": group}
            close(conv.conv2d_im2col(x, w, bias, **options), conv.conv2d(x, w, bias, **options))  # type: ignore[arg-type]
