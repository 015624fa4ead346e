"""Sparse products: every instruction set against float64, within 4 eps sqrt(K) (|bias| + sum |w| |x|) per output, K the
values of a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.board import Board
from kernels.floats import EPS, IMPLEMENTATIONS, Convolution, assert_same_bits, conv_error, normal, using
from kernels.prepared import PARAMETERS, activated, output_of

from accel.kernels import program, runtime
from accel.kernels.conv_native import SPARSE, conv2d_native
from accel.kernels.sparse import NO_STRIPS, NO_WEIGHTS, SparseArrays, SparseWeights, sparse_linear, strip_window
from accel.reference import conv as reference

if runtime.core is None:
    pytest.skip("native kernels only", allow_module_level=True)

BOUND = 4.0
NATIVE = [name for name in IMPLEMENTATIONS if name.startswith("native")]
KINDS = ("f32", "bf16", "i8", "code16", "code256")


@pytest.fixture(params=NATIVE)
def isa(request: pytest.FixtureRequest) -> Any:
    with using(request.param):
        yield request.param


def sparse(rows: int, columns: int, density: float, seed: int = 0) -> np.ndarray:
    keep = np.random.default_rng(seed + 100).random((rows, columns)) < density
    return normal(rows, columns, seed=seed) * keep.astype(np.float32)


def of_kind(w: np.ndarray, kind: str, seed: int = 0) -> tuple[SparseArrays, np.ndarray]:
    """The weights stored as `kind`, and what they then stand for."""
    arrays, rng = SparseArrays.of(w), np.random.default_rng(seed)
    scale = book = None
    if kind == "f32":
        return arrays, w
    if kind == "bf16":
        values = (arrays.values.view(np.uint32) >> 16).astype(np.uint16)
        floats = (values.astype(np.uint32) << 16).view(np.float32)
    elif kind == "i8":
        values = rng.integers(-127, 128, arrays.values.size).astype(np.int8)
        scale = rng.random(w.shape[0], np.float32) + np.float32(0.5)
        floats = values * np.repeat(scale, np.diff(arrays.indptr))
    else:
        size = int(kind[4:])
        book = rng.standard_normal(size).astype(np.float32)
        values = rng.integers(0, size, arrays.values.size).astype(np.uint8)
        floats = book[values]
    dense = np.zeros_like(w)
    dense[np.repeat(np.arange(w.shape[0]), np.diff(arrays.indptr)), arrays.indices] = floats
    return arrays._replace(values=values, kind=kind, scale=scale, book=book), dense


def check(batch: int, rows: int, columns: int, density: float, kind: str = "f32", seed: int = 0) -> None:
    check_weights(batch, sparse(rows, columns, density, seed), kind, seed)


def check_weights(batch: int, weights: np.ndarray, kind: str = "f32", seed: int = 0) -> None:
    arrays, w = of_kind(weights, kind, seed)
    rows, columns = w.shape
    x, bias = normal(batch, columns, seed=seed + 1), normal(rows, seed=seed + 2)
    y = sparse_linear(SparseWeights(arrays, columns), x, bias)
    expected = x.astype(np.float64) @ w.T.astype(np.float64) + bias
    scale = np.abs(x).astype(np.float64) @ np.abs(w.T).astype(np.float64) + np.abs(bias)
    most = max(int(np.diff(arrays.indptr).max(initial=0)), 1)
    assert (np.abs(y - expected) <= BOUND * EPS * np.sqrt(most) * scale).all(), (batch, rows, columns, kind, seed)


def test_columns_around_every_tile(isa: str) -> None:
    for batch in (*range(1, 20), 31, 33, 48, 63, 64, 65, 130):
        check(batch, 37, 50, 0.3, seed=batch)


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_every_kind(isa: str, kind: str) -> None:
    for density in (0.02, 0.1, 0.5, 1.0):
        check(17, 33, 300, density, kind)
        check(40, 70, 130, density, kind)


def test_blocks_and_parts(isa: str) -> None:
    """Depths around the blocks of every tile, more rows than one part or one group of sums holds."""
    for columns in (0, 1, 15, 111, 112, 113, 223, 224, 225, 256, 257, 520):
        check(20, 19, columns, 0.2, seed=columns)
        check(20, 19, columns, 0.03, seed=columns)
    check(9, 5000, 40, 0.1)
    check(9, 5000, 600, 0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_share_columns(isa: str, kind: str) -> None:
    """Rows of equal counts, of which the kernels multiply two at once: with all numbers of columns in common, none and
    all among them, an odd number of such rows, and several hundred."""
    for count in range(1, 14):
        w = np.zeros((29, 60), np.float32)
        for row in range(29):
            w[row, :count] = 1
            moved = row // 2 % (count + 1)
            w[row, count - moved : count] = 0
            w[row, 20 + row % 2 * 20 : 20 + row % 2 * 20 + moved] = 1
        check_weights(17 + 16 * (count % 4), w * normal(29, 60, seed=count), kind, count)
    for rows, period in ((301, 3), (700, 7)):
        w = np.where((np.arange(90) + np.arange(rows)[:, None] % 2) % period == 0, normal(rows, 90), np.float32(0))
        check_weights(35, w, kind)


def test_rows_of_very_different_length(isa: str) -> None:
    w = sparse(100, 700, 0.02)
    w[3], w[50, :300], w[99, ::2], w[:10, 5] = 1.5, -0.5, 2.0, 0.25
    w[20:30] = 0
    x = normal(21, 700)
    y = sparse_linear(SparseWeights(SparseArrays.of(w), 700), x)
    np.testing.assert_allclose(y, x.astype(np.float64) @ w.T.astype(np.float64), rtol=2e-4, atol=2e-4)
    assert (y[:, 20:30] == 0).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 300), st.integers(0, 400), st.floats(0, 1), st.sampled_from(KINDS),
    st.integers(0, 99),
)  # fmt: skip
def test_any_size(batch: int, rows: int, columns: int, density: float, kind: str, seed: int) -> None:
    if columns == 0:
        columns = 1
    for name in NATIVE:
        with using(name):
            check(batch, rows, columns, density, kind, seed)


@pytest.mark.parametrize("name", NATIVE)
def test_threads_and_batch_do_not_change_a_bit(name: str) -> None:
    w, x, bias = sparse(700, 333, 0.1), normal(150, 333), normal(700)
    with using(name, threads=1):
        one = sparse_linear(SparseWeights(SparseArrays.of(w), 333), x, bias)
    for threads in (2, 3, 8):
        with using(name, threads=threads):
            weights = SparseWeights(SparseArrays.of(w), 333)
            for _ in range(3):
                assert_same_bits(sparse_linear(weights, x, bias), one)
            for count in (1, 5, 16, 17, 33, 64, 70):
                assert_same_bits(sparse_linear(weights, x[:count], bias), one[:count])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_special_value_reaches_what_is_stored_for_it_and_nothing_else(isa: str, value: float) -> None:
    w, x = np.abs(sparse(60, 40, 0.3)), normal(35, 40)
    weights = SparseWeights(SparseArrays.of(w), 40)
    clean = sparse_linear(weights, x)
    for i in range(40):
        bad = x.copy()
        bad[i % 35, i] = value
        y, hit = sparse_linear(weights, bad), np.zeros((35, 60), bool)
        hit[i % 35] = w[:, i] > 0
        np.testing.assert_array_equal(y[hit], value)
        assert_same_bits(y[~hit], clean[~hit])


GEOMETRIES = [
    Convolution(kernel=(1, 1), pads=(0, 0, 0, 0)),
    Convolution(channels=20, out=33, size=(14, 14)),
    Convolution(channels=5, out=7, size=(28, 28), kernel=(5, 5), pads=(2, 2, 2, 2)),
    Convolution(channels=9, out=70, size=(13, 9), kernel=(3, 1), pads=(1, 0, 1, 0)),
    Convolution(channels=12, out=18, size=(15, 16), strides=(2, 2)),
    Convolution(channels=12, out=18, size=(15, 17), kernel=(1, 1), strides=(2, 2), pads=(0, 0, 0, 0)),
    Convolution(channels=6, out=10, size=(12, 14), strides=(1, 2)),
    Convolution(channels=6, out=10, size=(17, 11), strides=(3, 2), pads=(2, 1, 0, 1)),
    Convolution(channels=8, out=16, size=(12, 12), dilations=(2, 2), pads=(2, 2, 2, 2)),
    Convolution(channels=8, out=16, size=(12, 12), pads=(0, 0, 0, 0)),
    Convolution(channels=8, out=16, size=(9, 9), kernel=(4, 4), pads=(1, 2, 2, 1)),
    Convolution(channels=12, out=18, group=3, size=(10, 10)),
    Convolution(channels=4, out=130, size=(1, 1), kernel=(1, 1), pads=(0, 0, 0, 0)),
    Convolution(channels=3, out=5, size=(3, 40), pads=(3, 3, 3, 3), kernel=(7, 7)),
    Convolution(channels=300, out=40, size=(5, 7), kernel=(1, 1), pads=(0, 0, 0, 0)),
    *(
        Convolution(images=images, channels=40, out=260, size=size, kernel=(1, 1), pads=(0, 0, 0, 0))
        for images, size in ((1, (11, 12)), (3, (14, 14)), (1, (5, 16)))  # tiles that two threads cannot share evenly
    ),
]
SHARED_TAILS = [  # a pixel more than whole vectors, and rows of W long enough: the last pixels of images come together
    Convolution(images=6, channels=400, out=20, size=(7, 7), kernel=(1, 1), pads=(0, 0, 0, 0)),
    Convolution(images=5, channels=40, out=33, size=(9, 9)),
    Convolution(images=3, channels=120, out=6, size=(7, 7), group=2, kernel=(3, 5), pads=(1, 2, 1, 2)),
]
GEOMETRIES += SHARED_TAILS
STRIPS = [  # whose taps share what is packed: output widths of whole vectors, the last of which may be two segments
    Convolution(channels=70, out=33, size=(9, 16)),
    Convolution(channels=6, out=140, size=(8, 32), pads=(1, 0, 1, 2)),
    Convolution(channels=12, out=18, group=3, size=(3, 16), kernel=(5, 4), pads=(2, 1, 3, 2)),
    Convolution(channels=40, out=10, size=(1, 48), kernel=(3, 1), pads=(1, 0, 1, 0)),
    Convolution(channels=5, out=7, size=(11, 18), kernel=(2, 3), pads=(0, 0, 0, 0)),
    Convolution(channels=8, out=16, size=(12, 16), dilations=(3, 2), pads=(3, 2, 3, 2)),
    Convolution(channels=4, out=9, size=(4, 13), pads=(5, 0, 4, 5)),
    Convolution(channels=26, out=9, size=(6, 48)),
    Convolution(channels=40, out=33, size=(10, 24)),
    Convolution(channels=7, out=19, size=(7, 56), dilations=(1, 2), pads=(1, 2, 1, 2)),
    Convolution(channels=5, out=6, size=(4, 8), kernel=(5, 3), pads=(2, 1, 2, 1)),
    Convolution(channels=30, out=5, size=(8, 10), kernel=(2, 3), pads=(1, 0, 0, 0), group=5),
    Convolution(channels=7, out=9, size=(7, 49), pads=(1, 1, 1, 0)),
]


def packed_for(case: Convolution, arrays: SparseArrays, columns: int) -> SparseWeights:
    """For the cases of STRIPS as the engine can pack them, for others as a layer does, which knows no image's size."""
    window = (*case.kernel, case.dilations[0]) if case in STRIPS else NO_STRIPS
    return SparseWeights(arrays, columns, case.group, window=window)


def run(case: Convolution, density: float, seed: int = 0) -> tuple[np.ndarray, tuple[Any, ...]]:
    x, w, bias = case.arrays(seed)
    w *= np.random.default_rng(seed + 9).random(w.shape) < density
    columns = int(np.prod(w.shape[1:]))
    packed = (packed_for(case, SparseArrays.of(w), columns), bias)
    size = [
        (case.size[i] + case.pads[i] + case.pads[2 + i] - case.dilations[i] * (case.kernel[i] - 1) - 1)
        // case.strides[i]
        + 1
        for i in (0, 1)
    ]
    shape = (case.images, case.out, size[0], size[1])
    geometry = (case.strides, case.pads, case.dilations, case.group)
    return conv2d_native(x, w.shape, SPARSE, packed, shape, *geometry), (x, w, bias)


@pytest.mark.parametrize("case", GEOMETRIES + STRIPS)
def test_convolutions(isa: str, case: Convolution) -> None:
    for density in (0.05, 0.3, 1.0):
        y, arrays = run(case, density)
        assert conv_error(y, case, *arrays) <= BOUND


@pytest.mark.parametrize("case", GEOMETRIES + STRIPS)
def test_threads_and_images_do_not_change_a_bit_of_a_convolution(isa: str, case: Convolution) -> None:
    one = run(case, 0.2)[0]
    for threads in (2, 5):
        with using(isa, threads=threads):
            assert_same_bits(run(case, 0.2)[0], one)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 40), st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)), st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 3)] * 4), st.tuples(st.integers(1, 2), st.integers(1, 2)), st.floats(0, 1),
)  # fmt: skip
def test_any_convolution(
    channels: int, out: int, size: Any, kernel: Any, strides: Any, pads: Any, dilations: Any, density: float
) -> None:
    case = Convolution(channels, out, size, kernel, strides, pads, dilations)
    if case.fits:
        for name in NATIVE:
            with using(name):
                y, arrays = run(case, density)
                assert conv_error(y, case, *arrays) <= BOUND


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.tuples(st.integers(1, 9), st.integers(1, 3)),
    st.tuples(st.integers(2, 5), st.integers(1, 5)), st.tuples(*[st.integers(0, 6)] * 4),
    st.tuples(st.integers(1, 3), st.integers(1, 3)), st.floats(0, 1), st.sampled_from((0, 0, 8, 12)),
)  # fmt: skip
def test_any_strips(
    channels: int, out: int, size: Any, kernel: Any, pads: Any, dilations: Any, density: float, more: int
) -> None:
    """`size` in rows and vectors of the output, and some columns more where the rows are multiples of four."""
    reach = [dilations[i] * (kernel[i] - 1) - pads[i] - pads[2 + i] for i in (0, 1)]
    size = (size[0] * (4 if more else 1) + reach[0], 16 * size[1] + more + reach[1])
    case = Convolution(channels, out, size, kernel, (1, 1), pads, dilations)
    if not case.fits or min(case.size) < 1:
        return
    x, w, bias = case.arrays()
    w *= np.random.default_rng(9).random(w.shape) < density
    for name in NATIVE:
        with using(name):
            window = strip_window(case.kernel, case.strides, case.dilations, output_of(case)[2:])
            weights = SparseWeights(SparseArrays.of(w), w[0].size, window=window)
            assert more or window != NO_STRIPS
            assert conv_error(guarded(case, x, weights, bias), case, x, w, bias) <= BOUND


def test_strips_are_for_whole_vectors_of_neighbouring_rows(isa: str) -> None:
    for size in [(5, 16), (56, 56), (28, 72), (40, 40)]:
        assert strip_window((3, 3), (1, 1), (1, 1), size) == (3, 3, 1)
    for kernel, strides, dilations, width in [
        ((1, 1), (1, 1), (1, 1), 16), ((1, 3), (1, 1), (1, 1), 16), ((3, 3), (1, 2), (1, 1), 16),
        ((3, 3), (2, 1), (1, 1), 16), ((3, 3), (1, 1), (1, 1), 17), ((3, 3), (1, 1), (2000, 1), 16),
    ]:  # fmt: skip
        assert strip_window(kernel, strides, dilations, (5, width)) == NO_STRIPS


def test_weights_packed_for_other_strips_are_refused() -> None:
    arrays = SparseArrays.of(sparse(33, 70 * 9, 0.3))
    weights = SparseWeights(arrays, 70 * 9, window=(3, 3, 1))
    for change in [
        {"size": (9, 17)}, {"strides": (1, 2), "size": (9, 32)}, {"dilations": (2, 1)},
        {"kernel": (9, 1), "pads": (4, 0, 4, 0)},
    ]:  # fmt: skip
        with pytest.raises(ValueError, match="sparse conv"):
            weights.prepare(spec_of(STRIPS[0]._replace(**change)), 1)
    for window in ((3, 3, 0), (3, 0, 1), (3, 3, 3000), (11, 3, 1)):
        with pytest.raises(ValueError, match="window"):
            SparseWeights(arrays, 70 * 9, window=window)


def spec_of(case: Convolution, *, residual: bool = False, activation: Any = None) -> Any:
    source, target = program.plain_map((case.images, case.channels, *case.size)), program.plain_map(output_of(case))
    return program.conv_spec(
        source, target, case.kernel, strides=case.strides, before=case.pads[:2], dilations=case.dilations,
        groups=case.group, residual=target if residual else None, activation=activation,
    )  # fmt: skip


def guarded(
    case: Convolution,
    x: np.ndarray,
    weights: SparseWeights,
    bias: np.ndarray,
    residual: np.ndarray | None = None,
    activation: Any = None,
    in_place: bool = True,
    threads: int = 1,
) -> np.ndarray:
    """A convolution between canaries. Unset memory, scratch too, holds NaN."""
    board, shape = Board(), output_of(case)
    prepared = weights.prepare(spec_of(case, residual=residual is not None, activation=activation), threads)
    source = program.place(board.slot(x.size, x))
    target = board.slot(int(np.prod(shape)), residual if in_place else None)
    added = program.NOWHERE if residual is None else target if in_place else board.slot(residual.size, residual)
    scratch = program.place(board.slot(prepared.scratch_floats))
    places = source, program.place(target), program.place(added), scratch
    board.program.conv(prepared, *places, NO_WEIGHTS, program.pack_bias(bias, case.out))
    board.run(threads)
    return board.arrays[target].reshape(shape).copy()


def sparse_case(case: Convolution, density: float = 0.3, kind: str = "f32") -> tuple[np.ndarray, Any, SparseWeights]:
    """The input, (weights, bias) and the weights packed."""
    x, w, bias = case.arrays()
    w *= np.random.default_rng(9).random(w.shape) < density
    arrays, matrix = of_kind(w.reshape(case.out, -1), kind)
    return x, (matrix.reshape(w.shape), bias), packed_for(case, arrays, w[0].size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", [c for c in GEOMETRIES if c.size != (28, 28)] + STRIPS)
def test_convolutions_of_every_kind_between_canaries(isa: str, case: Convolution, kind: str) -> None:
    x, (w, bias), weights = sparse_case(case, kind=kind)
    one = guarded(case, x, weights, bias)
    assert conv_error(one, case, x, w, bias) <= BOUND
    assert_same_bits(guarded(case, x, weights, bias, threads=3), one)
    for i in range(case.images):
        alone = np.ascontiguousarray(x[i : i + 1])
        assert_same_bits(guarded(case._replace(images=1), alone, weights, bias), one[i : i + 1])


@pytest.mark.parametrize("case", [*(GEOMETRIES[i] for i in (0, 4, 9, 11)), SHARED_TAILS[1], *STRIPS[:3]])
@pytest.mark.parametrize("name", [None, *sorted(program.NATIVE_ACTIVATIONS)])
def test_residual_and_activation_of_convolutions(isa: str, case: Convolution, name: str | None) -> None:
    """Each is what it is after the convolution without it, in place or not."""
    x, (_, bias), weights = sparse_case(case)
    function, plain = program.activation(name, PARAMETERS.get(name or "", ())), guarded(case, x, weights, bias)
    residual = normal(*plain.shape, seed=9)
    assert_same_bits(guarded(case, x, weights, bias, activation=function), activated(function, plain))
    for in_place in (True, False):
        y = guarded(case, x, weights, bias, residual, function, in_place, threads=2)
        assert_same_bits(y, activated(function, plain + residual))


@pytest.mark.parametrize("case", [*(GEOMETRIES[i] for i in (1, 4, 9)), SHARED_TAILS[1], STRIPS[0]])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_special_pixel_reaches_the_windows_that_hold_it(isa: str, case: Convolution, value: float) -> None:
    x, (w, bias), weights = sparse_case(case, density=1.0)
    clean = guarded(case, x, weights, bias)
    for row, column in ((0, 0), (5, 7), (case.size[0] - 1, case.size[1] - 1)):
        bad = x.copy()
        bad[1, 2, row, column] = value
        y, expected = guarded(case, bad, weights, bias), reference.conv2d(bad, w, bias, **case.geometry)
        hit = ~np.isfinite(expected)
        assert_same_bits(y[~hit], clean[~hit])
        np.testing.assert_array_equal(y[hit], expected[hit])


@pytest.mark.parametrize("name", [None, *sorted(program.NATIVE_ACTIVATIONS)])
def test_products_between_canaries(isa: str, name: str | None) -> None:
    function = program.activation(name, PARAMETERS.get(name or "", ()))
    weights, bias = SparseWeights(SparseArrays.of(sparse(70, 130, 0.2)), 130), normal(70)
    for batch in (1, 3, 16, 17, 70):
        x = normal(batch, 130)
        for threads in (1, 2, 5):
            board, prepared = Board(), weights.prepare_linear(batch, function, threads)
            source, target, scratch = (
                board.slot(x.size, x), board.slot(batch * 70), board.slot(prepared.scratch_floats)
            )  # fmt: skip
            places = map(program.place, (source, target, scratch))
            board.program.sparse_linear(prepared, *places, program.pack_bias(bias, 70))
            board.run(threads)
            y = activated(function, sparse_linear(weights, x, bias))
            assert_same_bits(board.arrays[target].reshape(y.shape), y)


def test_specs_that_do_not_fit_are_refused() -> None:
    case = Convolution(6, 8, (7, 9))
    shape, (_, _, weights) = output_of(case), sparse_case(case)
    changes: list[tuple[str, Any]] = [
        ("input", program.blocked_map((2, 6, 7, 9))), ("output", program.blocked_map(shape)),
        ("input", program.plain_map((2, 6, 7, 9), 1)), ("output", program.plain_map(shape, 1)),
        ("input", program.plain_map((1, 6, 7, 9))), ("input", program.plain_map((2, 7, 7, 9))),
        ("output", program.plain_map((2, 9, 7, 9))), ("residual", program.blocked_map(shape)),
        ("residual", program.plain_map((2, 8, 7, 8))), ("residual", program.plain_map(shape, 1)),
        ("kernel", (3, 2)), ("kernel", (0, 3)), ("strides", (0, 1)), ("dilations", (1, 0)), ("before", (1, -1)),
        ("groups", 2), ("groups", 0), ("pool", 2), ("fold", (2, 3)),
    ]  # fmt: skip
    for name, value in changes:
        spec = spec_of(case)
        with pytest.raises(ValueError):  # some by the spec itself
            setattr(spec, name, value)
            weights.prepare(spec, 1)
    for threads in (0, -1):
        with pytest.raises(ValueError, match="threads"):
            weights.prepare(spec_of(case), threads)
    for isa in set(runtime.isa_info()["supported"]) - {runtime.isa()}:
        with using(f"native-{isa}"), pytest.raises(ValueError, match="another isa"):
            weights.prepare(spec_of(case), 1)
