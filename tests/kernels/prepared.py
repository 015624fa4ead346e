"""One prepared convolution by any method, between canaries: what the tests of Winograd, FFT and im2col share."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from kernels.board import Board, halo_of
from kernels.floats import EPS, Convolution, assert_same_bits, normal

from accel.kernels import conv2d, program
from accel.kernels.conv_native import Method, Route, grouped_channels, method_named
from accel.reference import conv as reference


class Around(NamedTuple):
    """Everything about a run that is not the convolution itself."""

    extra_halo: int = 0  # of the input, more than the pads ask for
    halo: int = 0  # of the output
    residual: np.ndarray | None = None
    in_place: bool = False
    activation: Any = None
    threads: int = 1
    prepare: Any = None  # (spec) -> kernel, instead of the method's own


def method_of(case: Convolution, algorithm: str) -> Method:
    shape = (case.out, case.channels // case.group, *case.kernel)
    return method_named(algorithm, shape, case.strides, case.dilations, case.group)


def output_of(case: Convolution) -> tuple[int, int, int, int]:
    """The shape of the result."""
    height, width = (
        (case.size[i] + case.pads[i] + case.pads[2 + i] - case.dilations[i] * (case.kernel[i] - 1) - 1)
        // case.strides[i]
        + 1
        for i in (0, 1)
    )
    return case.images, case.out, height, width


def run_prepared(
    case: Convolution, algorithm: str, arrays: tuple[np.ndarray, np.ndarray, np.ndarray | None], around: Around
) -> np.ndarray:
    """The result, after checking canaries and the output's halo. Unset memory, scratch too, holds NaN."""
    (x, w, bias), method, shape = arrays, method_of(case, algorithm), output_of(case)
    board, gaps = Board(), method.route is Route.GATHER_GROUPS
    make = program.plain_map if method.reads_planes else program.blocked_map
    source = make(x.shape, max(case.pads) + around.extra_halo)
    channels = grouped_channels(case.out, case.group) if gaps else case.out
    wide = (shape[0], channels, *shape[2:])
    target = program.blocked_map(wide, around.halo)
    place, residual = board.put(source, x), around.residual
    added = program.blocked_map(wide, around.halo if around.in_place else 2)
    residual_at = program.place(program.NOWHERE) if residual is None else board.put(added, residual)
    to = residual_at if around.in_place else board.room(target)[0]
    laid = board.arrays[-1]
    spec = program.conv_spec(
        source, target, case.kernel, strides=case.strides, before=case.pads[:2], dilations=case.dilations,
        groups=case.group, residual=None if residual is None else added, activation=around.activation,
    )  # fmt: skip
    kernel = around.prepare(spec) if around.prepare else method.prepare(spec, around.threads)
    scratch = program.place(board.slot(kernel.scratch_floats))
    board.program.conv(kernel, place, to, residual_at, scratch, *method.pack(w, bias, case.strides, case.group))
    closed, final = to, target
    if gaps:
        final = program.blocked_map(shape)
        closed, _ = board.room(final)
        board.program.close_groups(target, to, case.group, final, closed)
    plain = program.place(board.slot(int(np.prod(shape))))
    board.program.export_plain(final, closed, plain)
    board.run(around.threads)
    assert (halo_of(target, laid, wide) == 0).all()
    return board.arrays[-1].reshape(shape).copy()


def image_error(y: np.ndarray, case: Convolution, arrays: tuple[np.ndarray, np.ndarray, np.ndarray | None]) -> float:
    """The largest error in units of eps sqrt(K) times the largest |bias| + sum |w| |x| of the same image."""
    x, w, bias = arrays
    expected = reference.conv2d(x, w, bias, **case.geometry)
    assert y.shape == expected.shape and y.dtype == np.float32
    absolute = None if bias is None else np.abs(bias)
    scale = reference.conv2d(np.abs(x), np.abs(w), absolute, **case.geometry).max(axis=(1, 2, 3), keepdims=True)
    unit = EPS * np.sqrt(w[0].size) * scale
    return float((np.abs(y - expected) / np.where(unit > 0, unit, EPS)).max()) if y.size else 0.0


def cases(
    kernel: tuple[int, int], tile: int, channels: list[tuple[int, int, int]], count: int, stride: int = 1
) -> list[Convolution]:
    """Maps from one pixel on around multiples of a tile, pads up to more than the kernel, batches, and `channels`
    (in, out, groups), each list walked round at its own pace."""
    sides = [1, 2, tile - 1, tile, tile + 1, 2 * tile - 1, 2 * tile, 2 * tile + 1, 3 * tile + 2]
    reach = max(kernel)
    pads = [(0, 0, 0, 0), (1, 1, 1, 1), (2, 0, 1, 3), (0, reach + 2, 0, 1), (reach, 1, reach + 3, 0), (1, 2, 2, 2)]
    found = []
    for i in range(count):
        channel, out, group = channels[i % len(channels)]
        top, left, bottom, right = pads[i % len(pads)]
        size = (
            max((sides[i % 9] - 1) * stride + i % stride + kernel[0] - top - bottom, 1),
            max((sides[(i * 4 + i // 9) % 9] - 1) * stride + i % stride + kernel[1] - left - right, 1),
        )
        case = Convolution(
            channel, out, size, kernel, (stride, stride), pads[i % len(pads)], (1, 1), group, 1 + i % 3, i % 4 > 0
        )
        if case.fits:
            found.append(case)
    return found


PARAMETERS = {"Relu": (), "Clip": (-0.5, 0.75), "LeakyRelu": (0.2,), "HardSigmoid": (0.3, 0.4)}


def activated(function: Any, x: np.ndarray) -> np.ndarray:
    """The activation as a step of its own."""
    y = np.empty_like(x)
    steps = program.new_program()
    steps.activation(function, x.size, program.place(0), program.place(1))
    program.run(steps, np.zeros(2, np.uintp), [(0, np.ascontiguousarray(x)), (1, y)], keep_denormals=True)
    return y


def moved(x: np.ndarray, offset: int) -> np.ndarray:
    """A copy that begins `offset` bytes after a multiple of 64."""
    raw = np.empty(x.nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    view = raw[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def check_residual_and_activations(case: Convolution, algorithm: str) -> None:
    """Each is what it is after the convolution without it, in place and into a map with a halo."""
    given = case.arrays()
    plain = run_prepared(case, algorithm, given, Around())
    residual = normal(*plain.shape, seed=9)
    for name in (None, *sorted(program.NATIVE_ACTIVATIONS)):
        function = program.activation(name, PARAMETERS.get(name or "", ()))
        for halo, added, in_place in ((0, None, False), (2, None, False), (0, residual, False), (2, residual, True)):
            y = run_prepared(case, algorithm, given, Around(0, halo, added, in_place, function))
            assert_same_bits(y, activated(function, plain if added is None else plain + added))


def check_same_bits(case: Convolution, algorithm: str, blockings: list[Any]) -> None:
    """With any number of threads, each image alone, and prepared by each of `blockings`."""
    x, w, bias = given = case.arrays()
    one = run_prepared(case, algorithm, given, Around())
    for threads in (2, 3, 8):
        assert_same_bits(run_prepared(case, algorithm, given, Around(threads=threads)), one)
    for i in range(case.images):
        image = np.ascontiguousarray(x[i : i + 1])
        alone = run_prepared(case._replace(images=1), algorithm, (image, w, bias), Around())
        assert_same_bits(alone, one[i : i + 1])
    for prepare in blockings:
        assert_same_bits(run_prepared(case, algorithm, given, Around(threads=2, prepare=prepare)), one)


def check_alignment(case: Convolution, algorithm: str) -> None:
    x, w, bias = case.arrays()
    expected = conv2d(x, w, bias, **case.geometry, algorithm=algorithm)
    for offset in (1, 4, 20, 60):
        there = [moved(x, offset), moved(w, 64 - offset), bias]
        assert_same_bits(conv2d(*there, **case.geometry, algorithm=algorithm), expected)


def check_not_finite(case: Convolution, algorithm: str, value: float) -> None:
    """Image i holds `value` at spot i: corners, edges, inside. What is not finite is what direct convolution says."""
    height, width = case.size
    rows = sorted({0, 1, height // 2, height - 2, height - 1} & set(range(height)))
    spots = list(itertools.product(rows, sorted({0, width // 3, width - 1})))
    case = case._replace(images=len(spots))
    x, w, bias = case.arrays()
    clean = run_prepared(case, algorithm, (x, w, bias), Around())
    for i, (row, column) in enumerate(spots):
        x[i, i % case.channels, row, column] = value
    residual = normal(*output_of(case), seed=5)
    for around in (Around(), Around(1, 1, residual, True)):
        direct = run_prepared(case, "direct", (x, w, bias), around)
        y = run_prepared(case, algorithm, (x, w, bias), around)
        odd = ~np.isfinite(direct)
        assert odd.any() and not odd.all()
        np.testing.assert_array_equal(y[odd], direct[odd])
        expected = clean if around.residual is None else clean + residual
        assert np.abs(y[~odd] - expected[~odd]).max() <= 1e-4 * np.abs(expected).max()


def check_residual_not_finite(case: Convolution, algorithm: str) -> None:
    """Each value stays where it is."""
    given, shape = case.arrays(), output_of(case)
    residual = normal(*shape, seed=3)
    clean = run_prepared(case, algorithm, given, Around(residual=residual, in_place=True))
    residual[0, -1, 0, 0], residual[0, 3, -1, -1], residual[0, 5, 2, 1] = np.nan, np.inf, -np.inf
    y = run_prepared(case, algorithm, given, Around(residual=residual, in_place=True))
    np.testing.assert_array_equal(np.where(np.isfinite(residual), clean, residual), y)
