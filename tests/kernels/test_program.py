"""Prepared programs: every step writes what it should, where it should, and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.board import Board, halo_of
from kernels.floats import assert_same_bits, normal

from accel.kernels import conv2d, linear, program, runtime
from accel.kernels.conv_native import Method, Route, grouped_channels, route

if runtime.core is None:
    pytest.skip("the native kernels are not built", allow_module_level=True)

SHAPES = [(1, 1, 1, 1), (2, 3, 4, 5), (1, 16, 2, 2), (3, 17, 5, 1), (2, 33, 1, 9), (1, 130, 3, 3), (1, 16, 64, 64)]
MAPS = [program.blocked_map, program.plain_map]


def test_a_program_runs_on_the_instruction_set_in_force(isa: str) -> None:
    assert program.new_program().isa == runtime.isa_index() == runtime.isa_info()["compiled"].index(isa)


# -- copies between layouts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_import_and_export_are_inverse_and_the_halo_is_zero(isa: str, shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    for make, halo in itertools.product(MAPS, (0, 1, 3)):
        board, layout = Board(), make(shape, halo)
        place = board.put(layout, x)
        laid = board.arrays[-1]
        assert_same_bits(board.get(layout, place, shape), x)
        assert (halo_of(layout, laid, shape) == 0).all()
        if layout.blocked and shape[1] % program.BLOCK:
            assert np.isfinite(laid.reshape(shape[0], -1, layout.plane)).all(), "lanes past C must be set"


@pytest.mark.parametrize("shape", SHAPES)
def test_copy_changes_the_halo_or_the_layout(isa: str, shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    for make, before, after in itertools.product(MAPS, (0, 2), (0, 3)):
        board, source, target = Board(), program.blocked_map(shape, before), make(shape, after)
        place, (to, slot) = board.put(source, x), board.room(target)
        board.program.copy(source, place, target, to)
        assert_same_bits(board.get(target, to, shape), x)
        assert (halo_of(target, board.arrays[slot], shape) == 0).all()


def blocked(x: np.ndarray, layout: Any) -> np.ndarray:
    """The floats of x in a blocked map: zeros in the halo and in the lanes past C, canaries between the planes."""
    n, channels, height, width = x.shape
    h, planes = layout.halo, -(-channels // program.BLOCK)
    cells = np.zeros((n, planes, height + 2 * h, width + 2 * h, program.BLOCK), np.float32)
    for c in range(channels):
        cells[:, c // program.BLOCK, h : h + height, h : h + width, c % program.BLOCK] = x[:, c]
    flat = np.full((n, planes, layout.plane), np.nan, np.float32)
    flat[:, :, : cells[0, 0].size] = cells.reshape(n, planes, -1)
    return flat.ravel()


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 8, 11, 15, 16, 17, 24, 33])
def test_layouts_of_every_width_around_a_vector(isa: str, channels: int) -> None:
    """Squares of 4, 8 and 16 pixels across the ends of rows, the short last ones, planes smaller than a square."""
    sizes = [(1, w) for w in range(1, 36)] + [(2, 3), (3, 5), (7, 7), (5, 13), (13, 5), (4, 16), (3, 17), (9, 1)]
    for (height, width), halo in itertools.product(sizes, (0, 1, 2)):
        x, board = normal(1, channels, height, width), Board()
        layout = program.blocked_map(x.shape, halo)
        place = board.put(layout, x)
        laid = board.arrays[-1]
        assert_same_bits(board.get(layout, place, x.shape), x)
        assert_same_bits(laid, blocked(x, layout))


def test_threads_share_a_plane_between_them(isa: str) -> None:
    """Where rows of one plane belong to several threads, each writes its own pixels and its own part of the halo."""
    x = normal(2, 37, 83, 61)
    for make, threads in itertools.product(MAPS, (1, 2, 3, 7)):
        board, source, target = Board(), program.blocked_map(x.shape, 1), make(x.shape, 2)
        place, (to, slot) = board.put(source, x), board.room(target)
        board.program.copy(source, place, target, to)
        plain = board.slot(x.size)
        board.program.export_plain(target, to, program.place(plain))
        board.run(threads)
        assert_same_bits(board.arrays[plain].reshape(x.shape), x)
        assert (halo_of(target, board.arrays[slot], x.shape) == 0).all()


@pytest.mark.parametrize(("channels", "groups"), [(6, 2), (34, 2), (48, 3), (99, 11), (51, 17), (33, 1)])
def test_close_groups_takes_out_the_gaps(channels: int, groups: int) -> None:
    x = normal(2, channels, 3, 4)
    wide_shape = (2, grouped_channels(channels, groups), 3, 4)
    wide = np.full(wide_shape, np.nan, np.float32)
    per_group, stride = channels // groups, wide_shape[1] // groups
    for g in range(groups):
        wide[:, g * stride : g * stride + per_group] = x[:, g * per_group : (g + 1) * per_group]
    for halo in (0, 2):
        board, source, target = Board(), program.blocked_map(wide_shape), program.blocked_map(x.shape, halo)
        place, (to, slot) = board.put(source, wide), board.room(target)
        board.program.close_groups(source, place, groups, target, to)
        assert_same_bits(board.get(target, to, x.shape), x)
        assert (halo_of(target, board.arrays[slot], x.shape) == 0).all()


# -- convolution ---------------------------------------------------------------------------------------------------


def conv_inputs(channels: int, out: int, group: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return normal(2, channels, 5, 7), normal(out, channels // group, 3, 3, seed=1), normal(out, seed=2)


CONVS = [(16, 16, 1), (20, 33, 1), (3, 17, 1), (32, 32, 2), (6, 32, 2), (35, 35, 35)]


class ConvBoard(Board):
    """A 3x3 convolution of stride 1 and pad 1 between maps of given halos."""

    def conv(
        self, channels: int, out: int, group: int, *, halo: int = 0, activation: Any = None,
        residual: np.ndarray | None = None, in_place: bool = False,
    ) -> np.ndarray:  # fmt: skip
        x, w, bias = conv_inputs(channels, out, group)
        method = Method(route(w.shape, group), "direct")
        shape = (2, out, 5, 7)
        source, target = method.source_map(x.shape, (1,) * 4), program.blocked_map(shape, halo)
        place = self.put(source, x)
        added = program.blocked_map(shape, halo if in_place else 2)
        residual_at = program.place(program.NOWHERE) if residual is None else self.put(added, residual)
        to = residual_at if in_place else self.room(target)[0]
        slot = len(self.arrays) - 1
        spec = program.conv_spec(
            source, target, (3, 3), strides=(1, 1), before=(1, 1), dilations=(1, 1),
            groups=1 if method.route is Route.DEPTHWISE else group, residual=None if residual is None else added,
            activation=activation,
        )  # fmt: skip
        nowhere = program.place(program.NOWHERE)
        prepared = method.prepare(spec, 2)
        self.program.conv(prepared, place, to, residual_at, nowhere, *method.pack(w, bias, (1, 1), group))
        y = self.get(target, to, shape)
        assert (halo_of(target, self.arrays[slot], shape) == 0).all()
        return y


@pytest.mark.parametrize(("channels", "out", "group"), CONVS)
def test_conv_writes_its_map_and_a_zero_halo(isa: str, channels: int, out: int, group: int) -> None:
    expected = conv2d(*conv_inputs(channels, out, group), pads=1, group=group, algorithm="direct")
    for halo in (0, 1, 4):
        assert_same_bits(ConvBoard().conv(channels, out, group, halo=halo), expected)


@pytest.mark.parametrize(("channels", "out", "group"), CONVS)
def test_a_residual_is_added_before_the_activation(isa: str, channels: int, out: int, group: int) -> None:
    residual = normal(2, out, 5, 7, seed=9)
    plain = conv2d(*conv_inputs(channels, out, group), pads=1, group=group, algorithm="direct")
    relu = program.activation("Relu")
    for in_place, halo in itertools.product((False, True), (0, 1)):
        y = ConvBoard().conv(channels, out, group, halo=halo, residual=residual, in_place=in_place)
        assert_same_bits(y, plain + residual)
        y = ConvBoard().conv(channels, out, group, halo=halo, residual=residual, in_place=in_place, activation=relu)
        assert_same_bits(y, np.where(plain + residual < 0, np.float32(0), plain + residual))


# -- element by element --------------------------------------------------------------------------------------------

KINDS = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply}


@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_elementwise(isa: str, shape: tuple[int, ...]) -> None:
    x, y = normal(*shape), normal(*shape, seed=1)
    relu = program.activation("Relu")
    for kind, (halo_a, halo_b, halo_y) in itertools.product(KINDS, ((0, 0, 0), (1, 0, 2), (0, 3, 1))):
        for activation in (None, relu):
            board = Board()
            maps = [program.blocked_map(shape, h) for h in (halo_a, halo_b, halo_y)]
            a, b, (to, slot) = board.put(maps[0], x), board.put(maps[1], y), board.room(maps[2])
            spec = program.elementwise_spec(kind, *maps, activation=activation)
            board.program.elementwise(spec, a, b, to)
            expected = KINDS[kind](x, y)
            if activation is not None:
                expected = np.where(expected < 0, np.float32(0), expected)
            assert_same_bits(board.get(maps[2], to, shape), expected)
            assert (halo_of(maps[2], board.arrays[slot], shape) == 0).all()


@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_elementwise_by_channel_and_in_place(isa: str, shape: tuple[int, ...]) -> None:
    x, scale = normal(*shape), normal(*shape[:2], seed=1)
    for kind, function in KINDS.items():
        board, layout = Board(), program.blocked_map(shape, 1)
        a, b = board.put(layout, x), program.place(board.slot(scale.size, scale))
        board.program.elementwise(program.elementwise_spec(kind, layout, None, layout, b_per_channel=True), a, b, a)
        assert_same_bits(board.get(layout, a, shape), function(x, scale[:, :, None, None]))


# -- pooling and products ------------------------------------------------------------------------------------------


def test_pool_never_reads_the_halo_or_the_lanes_past_the_channels(isa: str) -> None:
    shape = (2, 17, 5, 6)
    x = normal(*shape)
    for average in (False, True):
        source, target = program.blocked_map(shape, 2), program.blocked_map((2, 17, 3, 3), 1)
        board = Board()
        place, (to, _) = board.put(source, x), board.room(target)
        laid = board.arrays[-2]
        spec = program.pool_spec(
            source, target, (3, 3), average=average, strides=(2, 2), pads=(1, 1, 1, 1), dilations=(1, 1)
        )
        board.program.pool(spec, place, to)
        expected = board.get(target, to, (2, 17, 3, 3))
        cells = laid.reshape(2, 2, 9, 10, 16)
        poison = np.full_like(cells, np.nan)
        poison[:, :, 2:7, 2:8] = cells[:, :, 2:7, 2:8]
        poison[:, 1, :, :, 1:] = np.nan
        laid[:] = poison.ravel()
        plain = len(board.arrays) - 1
        slots = np.zeros(len(board.arrays), np.uintp)
        program.run(board.program, slots, list(enumerate(board.arrays)), first=1, keep_denormals=True)
        assert_same_bits(board.arrays[plain].reshape(expected.shape), expected)


@pytest.mark.parametrize("rows", [1, 4, 5, 33])
def test_linear_stays_in_its_scratch_and_output(isa: str, rows: int) -> None:
    for depth, out in ((1, 1), (17, 50), (64, 16), (100, 65)):
        x, w, b = normal(rows, depth), normal(out, depth, seed=1), normal(out, seed=2)
        board = Board()
        source, target = board.slot(x.size, x), board.slot(rows * out)
        scratch = board.slot(rows * (-(-depth // 16) * 16))
        wanted = board.program.linear(
            rows, depth, out, program.activation("Relu"), *(program.place(s) for s in (source, target, scratch)),
            program.pack_linear(w), program.pack_bias(b, out),
        )  # fmt: skip
        assert wanted in (0, rows * (-(-depth // 16) * 16))
        board.run()
        y = linear(x, w, b)
        assert_same_bits(board.arrays[target].reshape(y.shape), np.where(y < 0, np.float32(0), y))


def test_two_producers_write_one_map(isa: str) -> None:
    """As the engine does for a concatenation: each writes its channels, halos included."""
    parts = [normal(2, 32, 3, 4), normal(2, 5, 3, 4, seed=1)]
    whole = program.blocked_map((2, 37, 3, 4), 1)
    board = Board()
    place, slot = board.room(whole)
    for x, floats in zip(parts, (0, 2 * whole.plane), strict=True):
        source = program.blocked_map(x.shape)
        at = board.put(source, x)
        narrowed = whole.narrowed(x.shape[1])
        board.program.elementwise(
            program.elementwise_spec("copy", source, None, narrowed), at, program.place(program.NOWHERE),
            program.place(slot, floats),
        )  # fmt: skip
    assert_same_bits(board.get(whole, place, (2, 37, 3, 4)), np.concatenate(parts, axis=1))
    assert (halo_of(whole, board.arrays[slot], (2, 37, 3, 4)) == 0).all()


# -- packing -------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 70), st.integers(1, 40), st.integers(1, 9), st.sampled_from([1, 16, 64]))
def test_packed_weights_hold_every_weight_once_and_zeros(out: int, depth: int, taps: int, inner: int) -> None:
    w = np.arange(1, out * depth * taps + 1, dtype=np.float32).reshape(out, depth, taps)
    packed = [
        runtime.core.pack_weights(w, inner, threads, program.aligned(-(-out // 16) * 16 * depth * taps))
        for threads in (1, 3)
    ]
    assert_same_bits(packed[0], packed[1])
    assert sorted(packed[0][packed[0] != 0]) == sorted(w.ravel())
    panels = packed[0].reshape(-(-out // 16), depth * taps, 16)
    for o in (0, out - 1):
        lane = panels[o // 16, :, o % 16]
        order = [
            w[o, d, t]
            for first in range(0, depth, inner)
            for t in range(taps)
            for d in range(first, min(depth, first + inner))
        ]
        np.testing.assert_array_equal(lane, order)


# -- what does not fit is refused ----------------------------------------------------------------------------------


def conv_spec(**changes: Any) -> Any:
    fields: dict[str, Any] = {
        "source": program.blocked_map((1, 16, 4, 4), 1), "target": program.blocked_map((1, 16, 4, 4)), "kernel": (3, 3),
        "strides": (1, 1), "before": (1, 1), "dilations": (1, 1),
    }  # fmt: skip
    return program.conv_spec(**{**fields, **changes})


def prepare_direct(spec: Any) -> Any:
    return runtime.core.prepare_direct(runtime.isa_index(), spec)


def prepare_winograd(spec: Any) -> Any:
    return runtime.core.prepare_winograd(runtime.isa_index(), spec, 2, 1)


BAD_CONVS = [
    ("kernel, strides and dilations must be positive", {"strides": (0, 1)}),
    ("kernel, strides and dilations must be positive", {"kernel": (3, 0)}),
    ("output map does not fit", {"target": program.plain_map((1, 16, 4, 4))}),
    ("output map does not fit", {"target": program.blocked_map((2, 16, 4, 4))}),
    ("channels and groups", {"groups": 3}),
    ("channels and groups", {"groups": 0}),
    ("output channels per group", {"groups": 2}),
    ("halo too small", {"source": program.blocked_map((1, 16, 4, 4), 0)}),
    ("halo too small", {"before": (2, 1)}),
    ("halo too small", {"before": (-1, 1)}),
    ("halo too small", {"dilations": (1, 2)}),
    ("halo too small", {"target": program.blocked_map((1, 16, 4, 5))}),
    ("residual map does not fit", {"residual": program.blocked_map((1, 16, 4, 5))}),
    ("residual map does not fit", {"residual": program.plain_map((1, 16, 4, 4))}),
]


@pytest.mark.parametrize(("message", "changes"), BAD_CONVS)
def test_a_convolution_that_does_not_fit_is_refused(message: str, changes: dict[str, Any]) -> None:
    for prepare in (prepare_direct, prepare_winograd):
        with pytest.raises(ValueError, match=message):
            prepare(conv_spec(**changes))


def test_too_few_weights_are_refused() -> None:
    place, prepared = program.place(0), prepare_direct(conv_spec())
    enough, bias = program.aligned(16 * 16 * 9), program.aligned(16)
    for weights, biases in ((enough[:-1], bias), (enough, bias[:-1])):
        with pytest.raises(ValueError, match="constant: too few floats"):
            program.new_program().conv(prepared, place, place, place, place, weights, biases)
    program.new_program().conv(prepared, place, place, place, place, enough, bias)


def test_maps_that_do_not_fit_are_refused() -> None:
    new, place = program.new_program, program.place(0)
    a, b = program.blocked_map((1, 16, 4, 4)), program.blocked_map((1, 17, 4, 4))
    with pytest.raises(ValueError, match="depthwise: maps do not fit"):
        runtime.core.prepare_depthwise(runtime.isa_index(), conv_spec(target=b))
    with pytest.raises(ValueError, match="pool: maps do not fit"):
        new().pool(
            program.pool_spec(a, b, (1, 1), average=False, strides=(1, 1), pads=(0,) * 4, dilations=(1, 1)),
            place,
            place,
        )
    with pytest.raises(ValueError, match="must be positive, pads not negative"):
        new().pool(
            program.pool_spec(a, a, (1, 1), average=False, strides=(1, 1), pads=(0, 0, -1, 0), dilations=(1, 1)),
            place,
            place,
        )
    with pytest.raises(ValueError, match="elementwise: maps do not fit"):
        new().elementwise(program.elementwise_spec("add", a, b, a), place, place, place)
    with pytest.raises(ValueError, match="copy: maps do not fit"):
        new().copy(a, place, b, place)
    with pytest.raises(ValueError, match="close_groups: maps do not fit"):
        new().close_groups(a, place, 3, b, place)
    with pytest.raises(ValueError, match="global_average: map does not fit"):
        new().global_average(program.plain_map((1, 1, 2, 2)), place, place)
    with pytest.raises(ValueError, match="linear: sizes must be positive"):
        new().linear(-1, 1, 1, program.activation(None), place, place, place, program.aligned(16), program.aligned(16))
    with pytest.raises(ValueError, match="narrowed: channels out of range"):
        a.narrowed(17)


def test_maps_beyond_all_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="map: sizes must not be negative"):
        program.blocked_map((1, -1, 4, 4))
    for shape, halo in (((1, 1, 2**30, 2**30), 0), ((1, 1, 1, 1), 2**30), ((2**31 - 1, 2**31 - 1, 9, 9), 0)):
        with pytest.raises(ValueError, match="map: too large"):
            program.blocked_map(shape, halo)


def test_runs_out_of_range_are_refused() -> None:
    board = Board()
    x = board.slot(4, normal(4))
    board.program.activation(program.activation("Relu"), 4, program.place(x), program.place(x))
    slots, bindings = np.zeros(1, np.uintp), [(0, board.arrays[0])]
    for options in ({"first": 0, "last": 2}, {"first": 2}, {"first": 1, "last": 0}, {"threads": 0}):
        with pytest.raises(ValueError, match="run: steps or threads out of range"):
            program.run(board.program, slots, bindings, **options)
    for slot in (-1, 1):
        with pytest.raises(ValueError, match="run: slot out of range"):
            program.run(board.program, slots, [(slot, board.arrays[0])])
    with pytest.raises(ValueError, match="isa: not supported"):
        runtime.core.Program(99)
