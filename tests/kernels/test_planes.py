"""Windows over planes: every instruction set against plain loops in float64.

Maxima are exact. A depthwise convolution errs by at most 4 eps sqrt(K) (|bias| + sum |w| |x|), K the kernel's cells.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.board import Board
from kernels.floats import IMPLEMENTATIONS, Convolution, assert_same_bits, conv_error, normal, using
from kernels.prepared import PARAMETERS, activated, output_of

from accel.kernels import program, runtime
from accel.reference import conv as reference

if runtime.core is None:
    pytest.skip("native kernels only", allow_module_level=True)

BOUND = 4.0
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, for values that are meant
NATIVE = [name for name in IMPLEMENTATIONS if name.startswith("native")]


@pytest.fixture(params=NATIVE)
def isa(request: pytest.FixtureRequest) -> Any:
    with using(request.param):
        yield request.param


def window(channels: int = 3, size: tuple[int, int] = (7, 9), kernel: tuple[int, int] = (3, 3), **more: Any) -> Any:
    return Convolution(channels, channels, size, kernel, group=channels, **more)


def keeps_width(case: Convolution) -> bool:
    return case.fits and output_of(case)[3] == -(-case.size[1] // case.strides[1])


def conv_spec(case: Convolution, *, residual: bool = False, activation: Any = None) -> Any:
    source, target = program.plain_map((case.images, case.channels, *case.size)), program.plain_map(output_of(case))
    return program.conv_spec(
        source, target, case.kernel, strides=case.strides, before=case.pads[:2], dilations=case.dilations,
        groups=case.group, residual=target if residual else None, activation=activation,
    )  # fmt: skip


def pool_spec(case: Convolution, **more: Any) -> Any:
    source, target = program.plain_map((case.images, case.channels, *case.size)), program.plain_map(output_of(case))
    options = {"average": False, "strides": case.strides, "pads": case.pads, "dilations": case.dilations, **more}
    return program.pool_spec(source, target, case.kernel, **options)


def depthwise(
    case: Convolution,
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    residual: np.ndarray | None = None,
    activation: Any = None,
    threads: int = 1,
) -> np.ndarray:
    """The result, over the residual where there is one, between canaries. Unset memory, scratch too, holds NaN."""
    x, w, bias = arrays
    board, shape = Board(), output_of(case)
    spec = conv_spec(case, residual=residual is not None, activation=activation)
    prepared = runtime.core.prepare_plane_depthwise(runtime.isa_index(), spec, threads)
    source = program.place(board.slot(x.size, x))
    target = board.slot(int(np.prod(shape)), residual)
    added = program.place(program.NOWHERE if residual is None else target)
    scratch = program.place(board.slot(prepared.scratch_floats))
    numbers = program.pack_bias(bias, case.channels)
    board.program.conv(prepared, source, program.place(target), added, scratch, w.reshape(-1), numbers)
    board.run(threads)
    return board.arrays[target].reshape(shape).copy()


def maximum(case: Convolution, x: np.ndarray, threads: int = 1) -> np.ndarray:
    board, shape = Board(), output_of(case)
    prepared = runtime.core.prepare_plane_maximum(runtime.isa_index(), pool_spec(case), threads)
    source, target = board.slot(x.size, x), board.slot(int(np.prod(shape)))
    scratch = board.slot(prepared.scratch_floats)
    board.program.plane_maximum(prepared, *map(program.place, (source, target, scratch)))
    board.run(threads)
    return board.arrays[target].reshape(shape).copy()


def expected_maximum(case: Convolution, x: np.ndarray) -> np.ndarray:
    geometry = {"strides": case.strides, "pads": case.pads, "dilations": case.dilations}
    return reference.max_pool2d(x, case.kernel, **geometry).astype(np.float32)


def check(case: Convolution, threads: int = 1, seed: int = 0) -> None:
    x, w, bias = case.arrays(seed)
    assert conv_error(depthwise(case, (x, w, bias), threads=threads), case, x, w, bias) <= BOUND, case
    np.testing.assert_array_equal(maximum(case, x, threads), expected_maximum(case, x), str(case))


def same(kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Pads that keep the width, where the size allows."""
    reach = dilation * (kernel - 1) + 1 - stride
    return max(reach // 2, 0), max(reach - reach // 2, 0)


GEOMETRIES = [
    window(size=(6, width), kernel=(kernel, kernel), pads=(a, a, b, b))
    for kernel in range(1, 8)
    for width in (1, 2, 5, 7, 16, 17, 40)
    for a, b in [same(kernel)]
] + [
    case
    for kernel, stride, dilation, width in itertools.product((1, 2, 3, 5, 7), (1, 2, 3), (1, 2), (1, 4, 9, 13, 32, 35))
    for a, b in [same(kernel, stride, dilation)]
    for case in [window(2, (11, width), (kernel, kernel), strides=(stride,) * 2, pads=(a, a, b, b),
                        dilations=(dilation,) * 2)]
    if keeps_width(case)
]  # fmt: skip
ODD = [
    window(size=(5, 9), pads=(5, 2, 4, 0)),  # rows outside
    window(size=(9, 6), kernel=(3, 3), pads=(0, 0, 0, 2)),  # all columns to the right
    window(size=(4, 3), kernel=(2, 2), pads=(7, 1, 7, 0)),  # pads larger than the kernel
    window(size=(4, 3), kernel=(2, 3), pads=(0, 2, 0, 0)),
    window(size=(3, 20), kernel=(5, 1), pads=(2, 0, 2, 0), strides=(3, 1)),
    window(size=(10, 20), kernel=(3, 5), pads=(1, 2, 1, 2), strides=(1, 2)),
    window(size=(10, 20), kernel=(3, 5), pads=(1, 1, 1, 2), strides=(2, 3)),
    window(size=(1, 40), kernel=(7, 7), pads=(3, 3, 3, 3)),
    window(size=(40, 1), kernel=(7, 7), pads=(3, 3, 3, 3)),
    window(size=(12, 12), kernel=(3, 3), pads=(4, 4, 4, 4), dilations=(4, 4)),
    window(size=(3, 3), kernel=(3, 3), pads=(6, 6, 6, 6), dilations=(6, 6)),  # only the middle meets the image
    window(1, (1, 1), (1, 1), pads=(0, 0, 0, 0), images=1),
    window(33, (5, 5), images=3, bias=False),
]


@pytest.mark.parametrize("case", ODD)
def test_odd_windows(isa: str, case: Convolution) -> None:
    assert keeps_width(case)
    check(case)
    check(case, threads=3)


def test_kernels_strides_dilations_and_widths(isa: str) -> None:
    assert len(GEOMETRIES) > 150
    for case in GEOMETRIES:
        check(case)


def test_every_width(isa: str) -> None:
    for width in range(1, 41):
        for height in (1, 3):
            check(window(2, (height, width), pads=(1, 1, 1, 1), images=1))
            check(window(2, (height, width), pads=(1, 1, 1, width % 2), strides=(2, 2), images=1))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 5), st.tuples(st.integers(1, 12), st.integers(1, 40)),
    st.tuples(st.integers(1, 7), st.integers(1, 7)), st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 8)] * 3), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.integers(1, 5),
)  # fmt: skip
def test_any_window(
    channels: int, size: Any, kernel: Any, strides: Any, pads: Any, dilations: Any, threads: int
) -> None:
    """The right pad is what keeps the width, where there is one."""
    wanted = (-(-size[1] // strides[1]) - 1) * strides[1] + dilations[1] * (kernel[1] - 1) + 1
    right = wanted - size[1] - pads[1]
    case = window(channels, size, kernel, strides=strides, pads=(*pads, max(right, 0)), dilations=dilations)
    if keeps_width(case):
        for name in NATIVE:
            with using(name):
                check(case, threads)


@pytest.mark.parametrize("case", [window(5, (9, 21)), window(5, (9, 21), strides=(2, 2)), window(7, (3, 3))])
def test_threads_and_images_do_not_change_a_bit(isa: str, case: Convolution) -> None:
    case = case._replace(images=3)
    x, w, bias = case.arrays()
    one, most = depthwise(case, (x, w, bias)), maximum(case, x)
    for threads in range(2, 6):
        assert_same_bits(depthwise(case, (x, w, bias), threads=threads), one)
        assert_same_bits(maximum(case, x, threads), most)
    for i in range(3):
        alone = case._replace(images=1)
        assert_same_bits(depthwise(alone, (x[i : i + 1], w, bias)), one[i : i + 1])
        assert_same_bits(maximum(alone, x[i : i + 1]), most[i : i + 1])


@pytest.mark.parametrize("case", [window(4, (6, 11)), window(4, (6, 11), strides=(2, 2))])
@pytest.mark.parametrize("name", [None, *sorted(program.NATIVE_ACTIVATIONS)])
def test_residual_in_place_and_activation(isa: str, case: Convolution, name: str | None) -> None:
    """Each is what it is after the convolution without it."""
    given_, function = case.arrays(), program.activation(name, PARAMETERS.get(name or "", ()))
    plain = depthwise(case, given_)
    residual = normal(*plain.shape, seed=9)
    assert_same_bits(depthwise(case, given_, activation=function), activated(function, plain))
    added = depthwise(case, given_, residual, function, threads=2)
    assert_same_bits(added, activated(function, plain + residual))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_not_finite(isa: str, value: float, strides: tuple[int, int]) -> None:
    """One such pixel reaches the windows that hold it, and changes no bit of the others."""
    case = window(2, (6, 19), strides=strides)
    x, w, bias = case.arrays()
    clean, most = depthwise(case, (x, w, bias)), maximum(case, x)
    for row, column in itertools.product((0, 2, 5), (0, 7, 15, 16, 18)):
        bad = x.copy()
        bad[1, 1, row, column] = value
        touched = np.isnan(expected_maximum(case, np.where(bad == x, x, np.nan)))
        y = depthwise(case, (bad, w, bias))
        assert touched.any() and not touched.all()
        assert_same_bits(y[~touched], clean[~touched])
        np.testing.assert_array_equal(y[touched], reference.conv2d(bad, w, bias, **case.geometry)[touched])
        found = maximum(case, bad)
        assert_same_bits(found[~touched], most[~touched])
        np.testing.assert_array_equal(found, expected_maximum(case, bad))


def test_windows_of_2_x_2_side_by_side(isa: str) -> None:
    """They are read where they lie: every remainder of a vector, odd heights, and what is not a number."""
    for width in (2, 4, 6, 8, 14, 16, 28, 30, 32, 34, 56, 66):
        case = window(5, (7, width), (2, 2), strides=(2, 2), pads=(0, 0, 0, 0))
        x = case.arrays()[0]
        np.testing.assert_array_equal(maximum(case, x, 1), expected_maximum(case, x))
        x[:, :, ::3, ::5], x[0, 1, 2:4] = np.nan, -np.inf
        found = maximum(case, x, 1)
        np.testing.assert_array_equal(found, expected_maximum(case, x))
        assert_same_bits(maximum(case, x, 3), found)


def test_weights_that_are_not_finite(isa: str) -> None:
    """They meet the padding too, whose zeros they make NaN."""
    case = window(2, (5, 9))
    x, w, bias = case.arrays()
    w[0, 0, 1, 2], w[1, 0, 0, 0] = np.inf, np.nan
    np.testing.assert_array_equal(
        np.isfinite(depthwise(case, (x, w, bias))), np.isfinite(reference.conv2d(x, w, bias, **case.geometry))
    )


def test_what_lies_beside_the_planes_is_not_read(isa: str) -> None:
    """Neighbours of an image, and the scratch between phases, may be anything: here they are NaN."""
    for strides in ((1, 1), (2, 2), (3, 3)):
        case = window(1, (4, 7), (7, 7), pads=(3, 3, 3, 3 + 2 * (strides[0] == 3)), strides=strides, images=1)
        if keeps_width(case):
            x, w, bias = case.arrays()
            assert np.isfinite(depthwise(case, (x, w, bias))).all()
            assert np.isfinite(maximum(case, x)).all()


# -- what does not fit -----------------------------------------------------------------------------------------------

UNFIT = [
    window(size=(7, 9), pads=(1, 0, 1, 0)),  # narrower
    window(size=(7, 9), pads=(1, 2, 1, 2)),  # wider
    window(size=(7, 9), strides=(2, 2), pads=(0, 0, 0, 0)),
]


@pytest.mark.parametrize("case", UNFIT)
def test_other_widths_are_refused(case: Convolution) -> None:
    core, isa = runtime.core, runtime.isa_index()
    with pytest.raises(ValueError, match="planes"):
        core.prepare_plane_depthwise(isa, conv_spec(case), 1)
    with pytest.raises(ValueError, match="planes"):
        core.prepare_plane_maximum(isa, pool_spec(case), 1)
    assert not core.plane_maximum_fits(pool_spec(case))


def test_specs_that_do_not_fit_are_refused() -> None:
    core, isa, case = runtime.core, runtime.isa_index(), window()
    shape = (case.images, case.channels, *case.size)
    assert core.plane_maximum_fits(pool_spec(case)) and not core.plane_maximum_fits(pool_spec(case, average=True))
    changes: list[tuple[str, Any]] = [
        ("input", program.blocked_map(shape)), ("output", program.blocked_map(shape)),
        ("input", program.plain_map(shape, 1)), ("output", program.plain_map(shape, 1)),
        ("input", program.plain_map((1, *shape[1:]))), ("input", program.plain_map((2, 4, *shape[2:]))),
        ("residual", program.blocked_map(shape)), ("residual", program.plain_map((2, 3, 7, 8))),
        ("residual", program.plain_map(shape, 1)), ("kernel", (0, 3)), ("kernel", (3, 0)), ("strides", (0, 1)),
        ("strides", (1, 0)), ("dilations", (0, 1)), ("before", (-1, 1)), ("pool", 2), ("fold", (2, 3)),
    ]  # fmt: skip
    for name, value in changes:
        spec = conv_spec(case)
        with pytest.raises(ValueError):  # some by the spec itself
            setattr(spec, name, value)
            core.prepare_plane_depthwise(isa, spec, 1)
    for threads in (0, -1):
        with pytest.raises(ValueError, match="planes"):
            core.prepare_plane_depthwise(isa, conv_spec(case), threads)
        with pytest.raises(ValueError, match="planes"):
            core.prepare_plane_maximum(isa, pool_spec(case), threads)


def test_too_few_weights_are_refused() -> None:
    case = window()
    prepared = runtime.core.prepare_plane_depthwise(runtime.isa_index(), conv_spec(case), 1)
    steps, nowhere = program.new_program(), program.place(program.NOWHERE)
    with pytest.raises(ValueError, match="too few floats"):
        steps.conv(prepared, *[nowhere] * 4, np.zeros(26, np.float32), program.pack_bias(None, 3))
