"""Two sparse convolutions band by band: as if the first had been made whole, bit for bit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from kernels.board import Board
from kernels.floats import Convolution, assert_same_bits, normal, using
from kernels.prepared import PARAMETERS, output_of
from kernels.test_sparse import NATIVE, of_kind

from accel.kernels import program
from accel.kernels.sparse import NO_WEIGHTS, SparseWeights, band_rows, prepare_bands


class Pair(NamedTuple):
    """Two convolutions, the second of the first one's results."""

    first: Convolution
    second: Convolution
    pool: int = 1  # of the second


def pair(
    size: tuple[int, int],
    kernels: tuple[int, int] = (3, 3),
    dilations: tuple[int, int] = (1, 1),
    pads: tuple[int, int] | None = None,
    group: int = 1,
    pool: int = 1,
) -> Pair:
    """Square windows; `pads` are those at the top, the others keep the width and, at the bottom, as many rows."""
    reach = [(k - 1) * d for k, d in zip(kernels, dilations, strict=True)]
    top = pads or [r // 2 for r in reach]
    first, second = (
        Convolution(
            channels=6, out=6, size=size, kernel=(k, k), dilations=(d, d), group=group, images=2,
            pads=(top[i], reach[i] // 2, reach[i] - reach[i] // 2, reach[i] - reach[i] // 2),
        )
        for i, (k, d) in enumerate(zip(kernels, dilations, strict=True))
    )  # fmt: skip
    return Pair(first, second._replace(out=10, size=output_of(first)[2:]), pool)


PAIRS = [
    pair((30, 16)),
    pair((24, 32), pool=2),
    pair((33, 48), pool=2),  # an odd row that no maximum takes
    pair((29, 24)),  # a vector and two pieces
    pair((27, 24), pool=2),
    pair((41, 24), (3, 4)),  # a band needs an odd number of rows, the last of which half a vector has not
    pair((9, 16), (5, 3)),
    pair((40, 16), (3, 5), (1, 2)),
    pair((20, 16), (3, 3), (2, 3), group=2),
    pair((26, 16), pads=(0, 0)),
    pair((12, 16), pads=(3, 14)),  # whose first bands read nothing but the padding
    pair((1, 16)),
]


@pytest.fixture(params=NATIVE)
def isa(request: pytest.FixtureRequest) -> Any:
    with using(request.param):
        yield request.param


def packed(case: Convolution, kind: str, seed: int) -> SparseWeights:
    w = case.arrays(seed)[1]
    keep = np.random.default_rng(seed + 9).random(w.shape) < 0.4
    arrays, _ = of_kind((w * keep).reshape(case.out, -1), kind)
    return SparseWeights(arrays, w[0].size, case.group, window=(*case.kernel, case.dilations[0]))


def spec_of(case: Convolution, activation: Any, pool: int = 1, residual: bool = False) -> Any:
    images, channels, height, width = output_of(case)
    target = program.plain_map((images, channels, height // pool, width // pool))
    return program.conv_spec(
        program.plain_map((case.images, case.channels, *case.size)), target, case.kernel, strides=(1, 1),
        before=case.pads[:2], dilations=case.dilations, groups=case.group, pool=pool, activation=activation,
        residual=target if residual else None,
    )  # fmt: skip


class Run(NamedTuple):
    """What two convolutions are run with."""

    specs: list[Any]
    weights: list[SparseWeights]
    x: np.ndarray
    biases: list[np.ndarray]
    residual: np.ndarray | None = None

    @classmethod
    def of(cls, case: Pair, names: tuple[str | None, str | None], kind: str = "f32", *, residual: bool = False) -> Run:
        functions = [program.activation(name, PARAMETERS.get(name or "", ())) for name in names]
        specs = [spec_of(case.first, functions[0]), spec_of(case.second, functions[1], case.pool, residual)]
        both = (case.first, case.second)
        x = case.first.arrays()[0]
        x[0, 0, ::7, ::5], x[-1, 1, -1, -1] = np.nan, np.inf
        weights = [packed(c, kind, seed) for seed, c in enumerate(both)]
        return cls(
            specs, weights, x, [normal(c.out, seed=3) for c in both],
            normal(*output_of(case.second), seed=4) if residual else None,
        )  # fmt: skip

    def _conv(self, board: Board, prepared: Any, x: Any, floats: int, bias: np.ndarray, residual: bool) -> int:
        slot, scratch = board.slot(floats), program.place(board.slot(prepared.scratch_floats))
        added = program.NOWHERE
        if residual and self.residual is not None:
            added = board.slot(self.residual.size, self.residual)
        board.program.conv(prepared, x, program.place(slot), program.place(added), scratch, NO_WEIGHTS, bias)
        return slot

    def apart(self) -> np.ndarray:
        """One after the other."""
        board, floats = Board(), [spec.output.floats for spec in self.specs]
        prepared = [w.prepare(spec, 1) for w, spec in zip(self.weights, self.specs, strict=True)]
        source = program.place(board.slot(self.x.size, self.x))
        between = program.place(self._conv(board, prepared[0], source, floats[0], self.biases[0], False))
        y = self._conv(board, prepared[1], between, floats[1], self.biases[1], True)
        board.run(1)
        return board.arrays[y].copy()

    def bands(self, rows: int, threads: int) -> np.ndarray:
        """Between canaries; unset memory, scratch too, holds NaN."""
        board, prepared = Board(), prepare_bands(self.weights, self.specs, rows, threads)
        source, bias = program.place(board.slot(self.x.size, self.x)), np.concatenate(self.biases)
        y = self._conv(board, prepared, source, self.specs[1].output.floats, bias, True)
        board.run(threads)
        return board.arrays[y].copy()


@pytest.mark.parametrize("case", PAIRS)
def test_one_after_the_other(isa: str, case: Pair) -> None:
    run = Run.of(case, ("Relu", "Clip"))
    expected = run.apart()
    for rows, threads in ((8, 1), (8, 3), (16, 2)):
        assert_same_bits(run.bands(rows, threads), expected)


@pytest.mark.parametrize("names", [(None, None), ("Sigmoid", "HardSwish")])
def test_activations_and_a_residual(isa: str, names: tuple[str | None, str | None]) -> None:
    run = Run.of(PAIRS[0], names, residual=True)
    assert_same_bits(run.bands(8, 2), run.apart())


@pytest.mark.parametrize("kind", ["bf16", "i8", "code16", "code256"])
def test_values_of_every_kind(isa: str, kind: str) -> None:
    run = Run.of(PAIRS[3], ("Relu", "Relu"), kind)
    assert_same_bits(run.bands(8, 1), run.apart())


def test_what_it_cannot_do_is_refused() -> None:
    run = Run.of(PAIRS[0], ("Relu", "Relu"))
    for rows in (-8, 0, 4, 12):
        with pytest.raises(ValueError, match="sparse bands"):
            run.bands(rows, 1)
    other = Run.of(PAIRS[1], ("Relu", "Relu"))
    with pytest.raises(ValueError, match="sparse bands: the convolutions do not fit"):
        run._replace(specs=[run.specs[0], other.specs[1]]).bands(8, 1)
    pooled = spec_of(PAIRS[1].first, program.activation("Relu"), 2)
    with pytest.raises(ValueError, match="sparse bands: the convolutions do not fit"):
        other._replace(specs=[pooled, other.specs[1]]).bands(8, 1)
    plain = SparseWeights(of_kind(np.ones((10, 54), np.float32), "f32")[0], 54)
    with pytest.raises(ValueError, match="sparse bands: not packed for strips"):
        run._replace(weights=[run.weights[0], plain]).bands(8, 1)


def test_bands_only_where_the_map_between_is_large() -> None:
    def rows(channels: int, size: int, threads: int = 1) -> int:
        case = Convolution(channels=channels, out=8, size=(size, size), images=1)
        return band_rows(spec_of(case, None), threads)

    assert rows(64, 224) == rows(128, 112) == rows(256, 56) == 8
    assert rows(64, 112) == 16
    assert rows(16, 112) == 0, "it stays in the cache"
    assert rows(512, 64) == 0, "not even a band stays there"
    assert rows(64, 224, 2) == 8
    assert rows(256, 56, 2) == 0, "seven bands for two threads"
