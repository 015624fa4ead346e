"""One prepared convolution by any method, between canaries: what the tests of Winograd, FFT and im2col share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from kernels.board import Board, halo_of
from kernels.floats import EPS, Convolution

from accel.kernels import program, runtime
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
    board.program.conv(kernel, place, to, residual_at, scratch, *method.pack(w, bias, case.group))
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


def cases(kernel: tuple[int, int], tile: int, channels: list[tuple[int, int, int]], count: int) -> list[Convolution]:
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
            max(sides[i % 9] + kernel[0] - 1 - top - bottom, 1),
            max(sides[(i * 4 + i // 9) % 9] + kernel[1] - 1 - left - right, 1),
        )
        case = Convolution(channel, out, size, kernel, (1, 1), pads[i % len(pads)], (1, 1), group, 1 + i % 3, i % 4 > 0)
        if case.fits:
            found.append(case)
    return found


def fixed(isa: str) -> int:
    """The number of an instruction set, for runtime.core."""
    number: int = runtime.isa_info()["compiled"].index(isa)
    return number
