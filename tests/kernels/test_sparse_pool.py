"""Sparse convolutions in strips that make the largest of each 2 x 2 results at once: as if all had been made first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernels.board import Board
from kernels.floats import Convolution, assert_same_bits, using
from kernels.prepared import PARAMETERS, output_of
from kernels.test_planes import maximum
from kernels.test_sparse import GEOMETRIES, NATIVE, STRIPS, guarded, of_kind, sparse_case

from accel.kernels import program, runtime
from accel.kernels.sparse import NO_WEIGHTS, SparseWeights, strips_pool

CASES = [
    *(case for case in STRIPS if output_of(case)[2] > 1),
    Convolution(channels=5, out=9, size=(2, 16)),
    Convolution(channels=40, out=70, size=(13, 48)),
]


@pytest.fixture(params=NATIVE)
def isa(request: pytest.FixtureRequest) -> Any:
    with using(request.param):
        yield request.param


def strips(case: Convolution, kind: str = "f32") -> tuple[np.ndarray, np.ndarray, SparseWeights]:
    """Input, bias, and the weights packed."""
    x, w, bias = case.arrays()
    arrays, _ = of_kind((w * (np.random.default_rng(9).random(w.shape) < 0.3)).reshape(case.out, -1), kind)
    assert bias is not None
    return x, bias, SparseWeights(arrays, w[0].size, case.group, window=(*case.kernel, case.dilations[0]))


def spec_of(case: Convolution, activation: Any = None, residual: bool = False) -> Any:
    images, channels, height, width = output_of(case)
    half = program.plain_map((images, channels, height // 2, width // 2))
    return program.conv_spec(
        program.plain_map((case.images, case.channels, *case.size)), half, case.kernel, strides=(1, 1),
        before=case.pads[:2], dilations=case.dilations, groups=case.group, pool=2, activation=activation,
        residual=half if residual else None,
    )  # fmt: skip


def halved(
    case: Convolution, x: np.ndarray, weights: SparseWeights, bias: Any, activation: Any, threads: int
) -> np.ndarray:
    """Between canaries; unset memory, scratch too, holds NaN."""
    board, (images, channels, height, width) = Board(), output_of(case)
    shape = images, channels, height // 2, width // 2
    prepared = weights.prepare(spec_of(case, activation), threads)
    source, target = program.place(board.slot(x.size, x)), board.slot(int(np.prod(shape)))
    scratch = program.place(board.slot(prepared.scratch_floats))
    nowhere = program.place(program.NOWHERE)
    numbers = program.pack_bias(bias, case.out)
    board.program.conv(prepared, source, program.place(target), nowhere, scratch, NO_WEIGHTS, numbers)
    board.run(threads)
    return board.arrays[target].reshape(shape).copy()


def apart(case: Convolution, x: np.ndarray, weights: SparseWeights, bias: Any, activation: Any) -> np.ndarray:
    """Both steps, as the engine takes them."""
    images, channels, height, width = output_of(case)
    whole = guarded(case, x, weights, bias, activation=activation)[:, :, : height // 2 * 2]
    pool = Convolution(
        channels, channels, (height // 2 * 2, width), (2, 2), (2, 2), (0,) * 4, group=channels, images=images
    )
    return maximum(pool, np.ascontiguousarray(whole))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", [None, "Relu", "Clip"])
def test_the_largest_of_results_that_were_made(isa: str, case: Convolution, name: str | None) -> None:
    """Bit for bit: not a number, infinite and both zeros too."""
    x, bias, weights = strips(case)
    function = program.activation(name, PARAMETERS.get(name or "", ()))
    x[0, 0, :, ::5], x[-1, :, -1, -1] = np.nan, np.inf
    x[-1, :, : case.size[0] // 2] *= np.float32(-0.0)
    bias[::2] = 0
    expected = apart(case, x, weights, bias, function)
    for threads in (1, 3):
        assert_same_bits(halved(case, x, weights, bias, function, threads), expected)


@pytest.mark.parametrize("width", [4, 8, 12, 28, 56])
def test_strips_whose_segments_are_too_short_are_refused(isa: str, width: int) -> None:
    case = Convolution(channels=5, out=9, size=(8, width))
    x, bias, weights = strips(case)
    if strips_pool((8, width)):
        function = program.activation("Relu")
        assert_same_bits(halved(case, x, weights, bias, function, 1), apart(case, x, weights, bias, function))
    else:
        with pytest.raises(ValueError, match="sparse conv"):
            weights.prepare(spec_of(case), 1)


@pytest.mark.parametrize("kind", ["bf16", "i8", "code16", "code256"])
def test_values_of_every_kind(isa: str, kind: str) -> None:
    x, bias, weights = strips(STRIPS[0], kind)
    function = program.activation(None)
    expected = apart(STRIPS[0], x, weights, bias, function)
    assert_same_bits(halved(STRIPS[0], x, weights, bias, function, 1), expected)


def test_what_it_cannot_do_is_refused() -> None:
    weights = strips(STRIPS[0])[2]
    with pytest.raises(ValueError, match="sparse conv"):
        weights.prepare(spec_of(STRIPS[0], residual=True), 1)
    with pytest.raises(ValueError, match="sparse conv"):
        weights.prepare(spec_of(STRIPS[0], program.activation("Sigmoid", ())), 1)
    plain = GEOMETRIES[1]
    assert runtime.core is not None and plain not in STRIPS
    with pytest.raises(ValueError, match="sparse conv"):
        sparse_case(plain)[2].prepare(spec_of(plain), 1)
