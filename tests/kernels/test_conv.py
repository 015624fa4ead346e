"""Direct convolution: every implementation against the float64 definition, within 4 eps sqrt(K) sum |w| |x|."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from kernels.floats import IMPLEMENTATIONS, Convolution, assert_same_bits, conv_error, normal, using

import accel
from accel.kernels import conv2d, runtime
from accel.kernels.conv_native import Route, route

BOUND = 4.0

# Channels around half a block, one block, two blocks and the panels of a tile, in and out.
CHANNELS = [
    *((1, 1), (1, 16), (2, 130), (3, 15), (3, 64), (7, 24), (8, 8), (9, 31), (15, 17), (16, 16), (17, 15)),
    *((24, 33), (31, 9), (32, 48), (33, 47), (40, 1), (63, 65), (64, 64), (100, 7), (130, 16), (130, 33)),
]
ROUTES = [
    (Route.BLOCKED, 8, 16, 1),
    (Route.BLOCKED, 130, 17, 1),
    (Route.BLOCKED, 32, 32, 2),
    (Route.BLOCKED, 96, 64, 2),
    (Route.GATHER, 7, 5, 1),
    (Route.GATHER, 6, 32, 2),
    (Route.GATHER, 40, 32, 2),
    (Route.GATHER, 3, 48, 3),  # depthwise with 16 filters a channel
    (Route.GATHER_GROUPS, 4, 6, 2),
    (Route.GATHER_GROUPS, 34, 34, 2),
    (Route.GATHER_GROUPS, 32, 48, 2),
    (Route.GATHER_GROUPS, 33, 99, 11),
    (Route.GATHER_GROUPS, 3, 6, 3),  # depthwise with 2 filters a channel
    (Route.GATHER_GROUPS, 17, 51, 17),
    (Route.DEPTHWISE, 2, 2, 2),
    (Route.DEPTHWISE, 16, 16, 16),
    (Route.DEPTHWISE, 33, 33, 33),
    (Route.DEPTHWISE, 130, 130, 130),
]
WINDOWS: list[dict[str, Any]] = [
    {"kernel": (1, 1), "pads": (0, 0, 0, 0)},
    {"kernel": (1, 1), "pads": (0, 0, 0, 0), "strides": (2, 2)},
    {"kernel": (1, 1), "pads": (2, 1, 0, 3), "strides": (1, 3)},
    {"kernel": (2, 2), "pads": (5, 4, 3, 6)},  # windows that lie in the padding alone
    {"kernel": (1, 3), "pads": (0, 1, 0, 1)},
    {"kernel": (3, 1), "pads": (1, 0, 1, 0)},
    {"kernel": (3, 1), "pads": (0, 0, 0, 0)},  # whole planes in one stretch, fewer rows out than in
    {"kernel": (3, 3), "strides": (2, 1)},
    {"kernel": (3, 3), "strides": (4, 3), "pads": (0, 2, 1, 0)},
    {"kernel": (3, 3), "dilations": (2, 3), "pads": (2, 3, 2, 3)},
    {"kernel": (2, 4), "dilations": (4, 2), "pads": (4, 0, 0, 5), "strides": (1, 2)},
    {"kernel": (5, 5), "pads": (2, 2, 2, 2), "strides": (4, 4)},
    {"kernel": (7, 7), "pads": (3, 3, 3, 3), "strides": (2, 2)},
    {"kernel": (9, 11), "pads": (0, 0, 0, 0)},  # one window
]


def check(case: Convolution, seed: int = 0) -> None:
    x, w, bias = case.arrays(seed)
    y = conv2d(x, w, bias, **case.geometry, algorithm="direct")
    assert conv_error(y, case, x, w, bias) <= BOUND, case


def test_channels(implementation: str) -> None:
    for channels, out in CHANNELS:
        check(Convolution(channels, out))
        check(Convolution(channels, out, kernel=(1, 1), pads=(0, 0, 0, 0), bias=False))


@pytest.mark.parametrize(("kind", "channels", "out", "group"), ROUTES)
def test_routes_and_windows(implementation: str, kind: Route, channels: int, out: int, group: int) -> None:
    for window in WINDOWS:
        case = Convolution(channels, out, (9, 11), group=group, **window)
        assert route((out, channels // group, *case.kernel), group) is kind
        check(case)


@pytest.mark.parametrize(("channels", "out", "group"), [(16, 32, 1), (3, 16, 1), (20, 20, 20)])
def test_widths_around_every_tile(implementation: str, channels: int, out: int, group: int) -> None:
    """Rows of 14, 6, 3 and the remainders of each, with and without gaps between the rows of the input."""
    for width in range(1, 34):
        check(Convolution(channels, out, (2, width), group=group, images=1))
        check(Convolution(channels, out, (1, width), (1, 1), pads=(0, 0, 0, 0), group=group, images=1))


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 1), (2, 2), (31, 3), (64, 64), (128, 8)])
def test_maps(implementation: str, size: tuple[int, int]) -> None:
    """Tall, flat and single pixels; 64 x 64 x 16 floats is a multiple of 4 KB, where planes are set apart."""
    for channels, group in ((17, 1), (5, 1), (18, 18)):
        check(Convolution(channels, 18, size, group=group, images=1))
        check(Convolution(channels, 18, size, (1, 1), pads=(0, 0, 0, 0), group=group, images=1))


@pytest.mark.parametrize("images", [0, 1, 3])
def test_batches(implementation: str, images: int) -> None:
    for _, channels, out, group in ROUTES:
        check(Convolution(channels, out, group=group, images=images))


def test_strides_beyond_the_image(implementation: str) -> None:
    """One window; the largest strides and dilations that are accepted must not overflow anything."""
    most = 2**31 - 1
    for channels, group in ((16, 1), (3, 1), (16, 16), (4, 2)):
        for strides, dilations in (((most, most), (1, 1)), ((2**30, 2**30), (most, most)), ((1, 1), (most, most))):
            check(Convolution(channels, 16, (3, 4), (1, 1), strides, (0, 0, 0, 0), dilations, group))


geometries = st.builds(
    Convolution,
    channels=st.just(1),
    out=st.just(1),
    group=st.just(1),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pads=st.tuples(*[st.integers(0, 6)] * 4),
    dilations=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    images=st.integers(0, 3),
    bias=st.booleans(),
)
groupings = st.one_of(
    st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(1)),
    st.builds(
        lambda g, i, o: (g * i, g * o, g), st.integers(2, 6), st.integers(1, 20), st.sampled_from((1, 2, 5, 16, 17, 32))
    ),
    st.builds(lambda g, m: (g, g * m, g), st.integers(2, 40), st.integers(1, 3)),
)


def check_everywhere(case: Convolution, grouping: tuple[int, int, int], seed: int) -> None:
    channels, out, group = grouping
    case = case._replace(channels=channels, out=out, group=group)
    assume(case.fits)
    for name in IMPLEMENTATIONS:
        with using(name):
            check(case, seed)


@settings(max_examples=100, deadline=None)
@given(geometries, groupings, st.integers(0, 100))
def test_any_geometry(case: Convolution, grouping: tuple[int, int, int], seed: int) -> None:
    check_everywhere(case, grouping, seed)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(geometries, groupings, st.integers(0, 100))
def test_any_geometry_at_length(case: Convolution, grouping: tuple[int, int, int], seed: int) -> None:
    check_everywhere(case, grouping, seed)


SQUARES = [(kernel, stride) for kernel in (3, 5) for stride in (1, 2)]


@pytest.mark.parametrize(("kernel", "stride"), SQUARES)
def test_depthwise_strips_of_every_height_and_width(implementation: str, kernel: int, stride: int) -> None:
    """Strips of one to four rows; columns by one and by three, and in turns of 6, 24 and 64."""
    sizes = [(h, 5) for h in range(1, 20)] + [(3, w) for w in (*range(1, 16), 23, 24, 25, 26, 49, 63, 64, 65, 66, 130)]
    for height, width in sizes:
        pads = (kernel // 2,) * 4
        case = Convolution(17, 17, (height, width), (kernel, kernel), (stride, stride), pads, group=17, images=1)
        check(case)


# -- the same bits -------------------------------------------------------------------------------------------------

LARGE = [case[1:] for case in ROUTES if case[1] > 7]


def test_threads_batch_and_repetition_do_not_change_a_bit(implementation: str) -> None:
    for channels, out, group in LARGE:
        case = Convolution(channels, out, (23, 19), group=group, images=5, strides=(1, 2))
        x, w, bias = case.arrays()
        with using(implementation, threads=1):
            one = conv2d(x, w, bias, **case.geometry, algorithm="direct")
        for threads in (2, 3, 8):
            with using(implementation, threads=threads):
                for _ in range(3):
                    assert_same_bits(conv2d(x, w, bias, **case.geometry, algorithm="direct"), one)
        if implementation != "numpy":  # whose einsum goes through BLAS
            for i in range(5):
                assert_same_bits(conv2d(x[i : i + 1], w, bias, **case.geometry, algorithm="direct"), one[i : i + 1])


@pytest.mark.parametrize(("kernel", "stride"), SQUARES)
def test_depthwise_strips_add_in_the_same_order_as_the_general_kernel(
    implementation: str, kernel: int, stride: int
) -> None:
    """A column of zeros on the right makes the kernel a general one, and changes no sum."""
    case = Convolution(33, 33, (13, 29), (kernel, kernel), (stride, stride), (1, 1, 1, 1), group=33)
    x, w, bias = case.arrays()
    if implementation == "numpy":
        pytest.skip("its einsum chooses an order for each shape")
    wide = np.pad(w, ((0, 0), (0, 0), (0, 0), (0, 1)))
    general = conv2d(x, wide, bias, strides=stride, pads=(1, 1, 1, 2), group=33)
    assert_same_bits(conv2d(x, w, bias, **case.geometry), general)


def test_where_the_arrays_lie_does_not_change_a_bit(implementation: str) -> None:
    case = Convolution(19, 33, (6, 6))
    x, w, bias = case.arrays()
    expected = conv2d(x, w, bias, **case.geometry, algorithm="direct")
    for offset in range(0, 64, 4):
        assert_same_bits(
            conv2d(moved(x, offset), moved(w, 64 - offset), bias, **case.geometry, algorithm="direct"), expected
        )
    assert_same_bits(conv2d(moved(x, 1), moved(w, 3), bias, **case.geometry, algorithm="direct"), expected)


def moved(x: np.ndarray, offset: int) -> np.ndarray:
    """A copy that begins `offset` bytes after a multiple of 64."""
    raw = np.empty(x.nbytes + 192, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    view = raw[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    view[...] = x
    assert view.ctypes.data % 64 == offset % 64
    return view


def test_instruction_sets_with_fused_operations_agree_and_the_baseline_rounds_otherwise() -> None:
    """Sums run in the same order everywhere, so only fma() tells the instruction sets apart: proof that each ran."""
    supported = runtime.isa_info()["supported"]
    fused = [isa for isa in supported if isa != "baseline"]
    if len(supported) < 2:
        pytest.skip("one instruction set only")
    for _, channels, out, group in ROUTES:
        case = Convolution(channels, out, group=group)
        x, w, bias = case.arrays()
        results = {}
        for isa in supported:
            with accel.using(backend="native", isa=isa):
                results[isa] = conv2d(x, w, bias, **case.geometry, algorithm="direct").tobytes()
        assert len({results[isa] for isa in fused}) == 1
        assert results["baseline"] != results[fused[0]]


# -- arguments -----------------------------------------------------------------------------------------------------

X, W, B = normal(1, 4, 5, 6), normal(8, 4, 3, 3), normal(8)

BAD: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
    (TypeError, "x: expected a NumPy array, got list", ([[1.0]], W), {}),
    (TypeError, r"x: expected float32, got float64 array of shape \(1, 4, 5, 6\)", (X.astype(np.float64), W), {}),
    (TypeError, r"convert it with x.astype\(np.float32\)", ((X * 255).astype(np.uint8), W), {}),
    (TypeError, "x: expected float32, got object", (X.astype(object), W), {}),
    (TypeError, "x: expected float32, got >f4", (X.astype(">f4"), W), {}),
    (ValueError, r"x: expected 4 axes, got float32 array of shape \(4, 5, 6\)", (X[0], W), {}),
    (ValueError, "x: expected a C-contiguous array", (X.transpose(0, 2, 3, 1), W), {}),
    (ValueError, r"use np.ascontiguousarray\(x\)", (X[..., ::-1], W), {}),
    (ValueError, "x: expected a C-contiguous array", (np.broadcast_to(np.float32(1), X.shape), W), {}),
    (TypeError, "w: expected float32, got float16", (X, W.astype(np.float16)), {}),
    (ValueError, "w: expected 4 axes", (X, W[0]), {}),
    (ValueError, r"w: expected shape \(O, 4/group, kh, kw\)", (X, W[:, :3].copy()), {}),
    (ValueError, "with O a multiple of group, got", (X, W[:7, :2].copy()), {"group": 2}),
    (ValueError, "w: expected shape", (X, np.zeros((8, 4, 0, 3), np.float32)), {}),
    (TypeError, "bias: expected float32", (X, W, B.astype(np.float64)), {}),
    (ValueError, "bias: expected 1 axes", (X, W, B[:, None].copy()), {}),
    (ValueError, r"bias: expected shape \(8,\), got \(7,\)", (X, W, B[:7].copy()), {}),
    (ValueError, "strides: expected an integer in 1..2147483647, got 0", (X, W), {"strides": 0}),
    (ValueError, "strides: expected an integer in 1..2147483647, got 2147483648", (X, W), {"strides": 2**31}),
    (TypeError, "strides: expected an integer or a pair, got float 1.5", (X, W), {"strides": 1.5}),
    (TypeError, "strides: expected an integer or a pair, got tuple", (X, W), {"strides": (1, 1, 1)}),
    (TypeError, "strides: expected an integer in .*, got bool True", (X, W), {"strides": True}),
    (ValueError, "dilations: expected an integer in 1..2147483647, got -1", (X, W), {"dilations": (1, -1)}),
    (ValueError, "pads: expected an integer in 0..2147483647, got -1", (X, W), {"pads": -1}),
    (ValueError, "pads: expected an integer in 0..2147483647, got -1", (X, W), {"pads": (0, 0, -1, 0)}),
    (TypeError, "pads: expected an integer or a pair", (X, W), {"pads": (1, 1, 1)}),
    (ValueError, "group: expected an integer >= 1, got 0", (X, W), {"group": 0}),
    (TypeError, "group: expected an integer >= 1, got float", (X, W), {"group": 1.0}),
    (ValueError, "algorithm: expected one of auto, direct, im2col, .*, fft, got 'fft9'", (X, W), {"algorithm": "fft9"}),
    (ValueError, r"x: a kernel of \(3, 3\) .* does not fit \(2, 6\)", (X[:, :, :2].copy(), W), {}),
    (ValueError, r"dilations \(3, 1\) does not fit", (X, W), {"dilations": (3, 1)}),
]


@pytest.mark.parametrize(("error", "message", "arrays", "options"), BAD)
def test_bad_arguments_are_named(
    error: type[Exception], message: str, arrays: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message):
        conv2d(*arrays, **options)


def test_arguments_may_be_read_only_and_are_not_changed(implementation: str) -> None:
    x, w, bias = X.copy(), W.copy(), B.copy()
    for array in (x, w, bias):
        array.flags.writeable = False
    y = conv2d(x, w, bias, pads=1, algorithm="direct")
    assert y.flags.writeable and conv_error(y, Convolution(4, 8, (5, 6)), x, w, bias) <= BOUND
    assert_same_bits(x, X)
    assert_same_bits(w, W)


def test_pads_and_pairs_mean_the_same_in_every_form(implementation: str) -> None:
    y = conv2d(X, W, B, pads=1, strides=2, algorithm="direct")
    for pads in ((1, 1), [1, 1], (1, 1, 1, 1), np.int64(1)):
        assert_same_bits(conv2d(X, W, B, pads=pads, strides=[2, 2], algorithm="direct"), y)
