"""Convolution of bits on every implementation: integers and bits equal to the definition, floats within a bound.

y = f(scale K count + bias + residual) is within 4 eps (|scale K count| + |bias| + |residual|): a rounding each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.floats import EPS, assert_same_bits, normal

import accel
from accel.kernels.binary import BinaryConv, Scaled, Thresholds, binary_conv2d, pack_bits, pack_pixels, unpack_pixels
from accel.reference import binary as reference


class Case(NamedTuple):
    channels: int = 64
    out: int = 64
    size: tuple[int, int] = (7, 6)
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilations: tuple[int, int] = (1, 1)
    group: int = 1
    pad_value: int = 0
    images: int = 2

    @property
    def geometry(self) -> dict[str, Any]:
        names = ("strides", "pads", "dilations", "group", "pad_value")
        return {name: getattr(self, name) for name in names}

    @property
    def fits(self) -> bool:
        reach = [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        return all(self.size[i] + self.pads[i] + self.pads[2 + i] >= reach[i] for i in (0, 1))

    def signs(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        x = reference.sign(normal(self.images, self.channels, *self.size, seed=seed))
        return x, reference.sign(normal(self.out, self.channels // self.group, *self.kernel, seed=seed + 1))

    def conv(self, w: np.ndarray, epilogue: Any = None) -> BinaryConv:
        bits = pack_bits(np.ascontiguousarray(w.transpose(0, 2, 3, 1)))
        return BinaryConv(bits, w.shape[1], **self.geometry, epilogue=epilogue)


def bits_of(x: np.ndarray) -> np.ndarray:
    return pack_pixels(x.astype(np.float32))


def check(case: Case, seed: int = 0) -> None:
    """Counts, bits and floats of one convolution."""
    x, w = case.signs(seed)
    expected = reference.conv2d(x, w, **case.geometry)
    counts = case.conv(w)(bits_of(x))
    assert counts.dtype == np.int32
    np.testing.assert_array_equal(counts, expected.transpose(0, 2, 3, 1))
    rng = np.random.default_rng(seed)
    at, below = rng.integers(-9, 10, case.out).astype(np.int32), rng.random(case.out) < 0.5
    bits = case.conv(w, Thresholds(at, below))(bits_of(x))
    np.testing.assert_array_equal(unpack_pixels(bits, case.out), reference.threshold(expected, at, below))
    check_floats(case, x, w, expected)


def check_floats(
    case: Case, x: np.ndarray, w: np.ndarray, counts: np.ndarray, extra: bool = False, **options: Any
) -> None:
    scale, bias = normal(case.out, seed=5), normal(case.out, seed=6)
    residual = normal(*counts.shape, seed=7) if extra else None
    k = np.abs(normal(counts.shape[0], *counts.shape[2:], seed=8)) if extra else None
    expected = reference.scaled(counts, scale, bias, residual, k, *options.values())
    size = reference.scaled(np.abs(counts), abs(scale), abs(bias), None if residual is None else abs(residual), k)
    y = case.conv(w, Scaled(scale, bias, **options))(bits_of(x), residual=residual, pixel_scale=k)
    assert y.dtype == np.float32 and y.shape == expected.shape and y.flags.c_contiguous
    assert np.all(np.abs(y - expected) <= 4 * EPS * size + 1e-6 * bool(options))
    added = None if residual is None else np.ascontiguousarray(residual.transpose(0, 2, 3, 1))
    conv = case.conv(w, Scaled(scale, bias, **options, pixel_major=True))
    np.testing.assert_array_equal(conv(bits_of(x), residual=added, pixel_scale=k).transpose(0, 3, 1, 2), y)


@pytest.mark.parametrize("pad_value", [-1, 0, 1])
@pytest.mark.parametrize("channels", [1, 3, 20, 32, 63, 64, 65, 128, 130])
def test_channels(implementation: str, channels: int, pad_value: int) -> None:
    check(Case(channels=channels, out=33, size=(5, 4), pad_value=pad_value))


@pytest.mark.parametrize("out", [1, 2, 7, 8, 15, 16, 17, 31, 32, 48, 64, 65, 100])
def test_filters(implementation: str, out: int) -> None:
    check(Case(out=out, size=(3, 5)))


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (1, 5), (4, 3), (5, 5), (7, 7)])
@pytest.mark.parametrize("channels", [10, 64])
def test_kernels(implementation: str, kernel: tuple[int, int], channels: int) -> None:
    pads = (kernel[0] // 2, kernel[1] // 2) * 2
    check(Case(channels=channels, out=24, size=(8, 7), kernel=kernel, pads=pads, images=1))


@pytest.mark.parametrize(
    "case",
    [
        Case(strides=(2, 2)),
        Case(strides=(1, 3), size=(9, 9), pads=(0, 2, 1, 0)),
        Case(dilations=(2, 1), size=(9, 7)),
        Case(dilations=(2, 3), size=(9, 11), strides=(2, 1), channels=20, out=40),
        Case(pads=(5, 0, 0, 6), pad_value=1),
        Case(pads=(4, 4, 4, 4), size=(1, 1), pad_value=-1),
        Case(kernel=(1, 1), pads=(0, 0, 0, 0), strides=(2, 2), channels=128),
        Case(kernel=(1, 1), pads=(0, 0, 0, 0), size=(1, 1), images=9, channels=200, out=70),
    ],
)
def test_geometry(implementation: str, case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("channels", "out", "group"),
    [(6, 6, 3), (128, 64, 2), (130, 20, 2), (128, 128, 4), (96, 48, 3), (9, 9, 9), (64, 160, 2)],
)
def test_groups(implementation: str, channels: int, out: int, group: int) -> None:
    check(Case(channels=channels, out=out, group=group, size=(5, 6)))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (1, 6), (1, 7), (1, 8), (1, 11), (2, 5), (5, 5), (7, 7)])
def test_numbers_of_pixels(implementation: str, size: tuple[int, int]) -> None:
    check(Case(channels=5, out=35, size=size, kernel=(1, 1), pads=(0, 0, 0, 0), images=1))


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_convolution(data: st.DataObject) -> None:
    pick = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    group = pick(1, 3)
    case = Case(
        group * pick(1, 70), group * pick(1, 40), (pick(1, 9), pick(1, 9)), (pick(1, 4), pick(1, 4)),
        (pick(1, 3), pick(1, 3)), (pick(0, 3), pick(0, 3), pick(0, 3), pick(0, 3)), (pick(1, 2), pick(1, 2)), group,
        pick(-1, 1),
    )  # fmt: skip
    if case.fits:
        check(case, pick(0, 99))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "Relu"},
        {"activation": "Clip", "parameters": (-1.0, 2.0)},
        {"activation": "LeakyRelu", "parameters": (0.1,)},
        {"activation": "HardSwish"},
        {"activation": "Sigmoid"},
    ],
)
def test_epilogues(implementation: str, options: dict[str, Any]) -> None:
    for case in (Case(size=(5, 5)), Case(out=21, size=(3, 3)), Case(channels=12, out=30, group=3, size=(4, 4))):
        x, w = case.signs()
        counts = reference.conv2d(x, w, **case.geometry)
        for extra in (False, True):
            check_floats(case, x, w, counts, extra, **options)


def test_the_residual_may_be_the_result(implementation: str) -> None:
    for out, size in ((64, (5, 5)), (20, (2, 5)), (20, (1, 3))):
        case = Case(out=out, size=size)
        x, w = case.signs()
        for pixel_major in (False, True):
            conv = case.conv(w, Scaled(normal(out), pixel_major=pixel_major))
            y = normal(*conv(bits_of(x)).shape, seed=3)
            expected = conv(bits_of(x), residual=y.copy())
            assert conv(bits_of(x), residual=y, out=y) is y
            assert_same_bits(y, expected)


def test_thresholds_beyond_every_count(implementation: str) -> None:
    """And at the two counts that are there at all."""
    case = Case(channels=1, out=8, kernel=(1, 1), pads=(0, 0, 0, 0), size=(3, 3))
    x, w = case.signs()
    counts = reference.conv2d(x, w, **case.geometry)
    most = 2**31 - 1
    for at in ([most, -most - 1] * 4, [2, -2, 1, -1, 0, 3, -3, 1]):
        for below in (np.zeros(8, np.bool_), np.ones(8, np.bool_), np.arange(8) % 3 == 0):
            limits = np.array(at, np.int32)
            y = case.conv(w, Thresholds(limits, below))(bits_of(x))
            np.testing.assert_array_equal(unpack_pixels(y, 8), reference.threshold(counts, limits, below))


def test_threads_and_batches_give_the_same_bits(isa: str) -> None:
    for case in (
        Case(channels=128, out=100, size=(13, 14), images=3),
        Case(channels=24, out=60, size=(20, 20), group=3, images=3),
        Case(channels=64, out=64, size=(3, 3), pads=(0, 0, 0, 0), images=70),
    ):
        x, w = case.signs()
        bits = bits_of(x)
        for epilogue in (None, Scaled(normal(case.out)), Thresholds(np.zeros(case.out, np.int32))):
            results = []
            for threads in (1, 2, 3):
                with accel.using(threads=threads):
                    results.append(case.conv(w, epilogue)(bits))
            for other in results[1:]:
                assert_same_bits(other, results[0])
            one = case.conv(w, epilogue)(bits[1:2])
            assert_same_bits(one, results[0][1:2])


def test_a_prepared_convolution_serves_many_shapes_and_instruction_sets() -> None:
    case = Case()
    _, w = case.signs()
    conv = case.conv(w, Thresholds(np.zeros(64, np.int32)))
    for size in [(h, 5) for h in range(3, 22)] + [(4, 5)]:
        x = reference.sign(normal(1, 64, *size))
        expected = reference.threshold(reference.conv2d(x, w, **case.geometry), *conv.epilogue)  # type: ignore[misc]
        for isa in accel.isa_info()["supported"]:
            with accel.using(isa=isa):
                for _ in range(2):
                    np.testing.assert_array_equal(unpack_pixels(conv(bits_of(x)), 64), expected)


def test_no_images(implementation: str) -> None:
    case = Case(images=0)
    _, w = case.signs()
    assert case.conv(w)(np.zeros((0, 7, 6, 1), np.uint64)).shape == (0, 7, 6, 64)


def test_nothing_around_the_result_is_written(isa: str) -> None:
    for case in (Case(out=70), Case(out=18, group=3, channels=9), Case(out=5)):
        x, w = case.signs()
        for epilogue in (None, Scaled(pixel_major=True), Scaled(), Thresholds(np.zeros(case.out, np.int32))):
            conv = case.conv(w, epilogue)
            y = conv(bits_of(x))
            room = np.full(y.size + 128, 77, y.dtype)
            out = room[64 : 64 + y.size].reshape(y.shape)
            assert_same_bits(conv(bits_of(x), out=out), y)
            assert np.all(room[:64] == 77) and np.all(room[-64:] == 77)


def test_wrong_arguments(implementation: str) -> None:
    case = Case(channels=70, out=8)
    x, w = case.signs()
    bits, conv = bits_of(x), case.conv(w)
    for _ in range(2):  # also where a call was prepared before
        dirty = bits.copy()
        dirty[0, 0, 0, 1] |= np.uint64(1 << 63)
        with pytest.raises(ValueError, match="x: expected zeros after 70 bits"):
            conv(dirty)
        with pytest.raises(TypeError, match="x: expected uint64"):
            conv(bits.astype(np.int64))
        with pytest.raises(TypeError, match="x: expected a NumPy array"):
            conv(bits.tolist())  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="x: expected a C-contiguous"):
            conv(bits[:, ::-1])
        with pytest.raises(ValueError, match="x: expected 2 words for 70 bits"):
            conv(bits[..., :1].copy())
        with pytest.raises(ValueError, match=r"out: expected shape \(2, 7, 6, 8\)"):
            conv(bits, out=np.zeros((2, 7, 8, 6), np.int32))
        with pytest.raises(TypeError, match="out: expected int32"):
            conv(bits, out=np.zeros((2, 7, 6, 8), np.float32))
        read_only = np.zeros((2, 7, 6, 8), np.int32)
        read_only.flags.writeable = False
        with pytest.raises(ValueError, match="out: expected a writable"):
            conv(bits, out=read_only)
        conv(bits)
    with pytest.raises(ValueError, match="residual: expected none"):
        conv(bits, residual=normal(2, 8, 7, 6))
    with pytest.raises(ValueError, match=r"residual: expected shape \(2, 8, 7, 6\)"):
        case.conv(w, Scaled())(bits, residual=normal(2, 7, 6, 8))
    with pytest.raises(ValueError, match=r"pixel_scale: expected shape \(2, 7, 6\)"):
        case.conv(w, Scaled())(bits, pixel_scale=normal(7, 6))
    with pytest.raises(ValueError, match="does not fit"):
        case._replace(pads=(0, 0, 0, 0)).conv(w)(bits[:, :2].copy())


def test_wrong_filters() -> None:
    case = Case(channels=70, out=8)
    bits = pack_bits(np.ascontiguousarray(case.signs()[1].transpose(0, 2, 3, 1)))
    dirty = bits | np.uint64(1 << 40)
    for arguments, options, error, message in (
        ((bits, 60), {}, ValueError, "w_bits: expected 1 words"),
        ((dirty, 70), {}, ValueError, "w_bits: expected zeros after 70 bits"),
        ((bits.astype(np.int64), 70), {}, TypeError, "w_bits: expected uint64"),
        ((bits[0], 70), {}, ValueError, "w_bits: expected 4 axes"),
        ((bits[:, :0].copy(), 70), {}, ValueError, "w_bits: expected filters and taps"),
        ((bits, 0), {}, ValueError, "channels: expected"),
        ((bits, 70), {"group": 3}, ValueError, "filters a multiple of 3"),
        ((bits, 70), {"pad_value": 2}, ValueError, "pad_value: expected an integer in -1..1"),
        ((bits, 70), {"strides": 0}, ValueError, "strides: expected"),
        ((bits, 70), {"epilogue": "sign"}, TypeError, "epilogue: expected None, Scaled or Thresholds"),
        ((bits, 70), {"epilogue": Scaled(np.ones(7, np.float32))}, ValueError, r"scale: expected shape \(8,\)"),
        ((bits, 70), {"epilogue": Scaled(activation="Tanh")}, ValueError, "activation: expected one of"),
        ((bits, 70), {"epilogue": Thresholds(np.zeros(8))}, TypeError, "at: expected int32"),
        ((bits, 70), {"epilogue": Thresholds(np.zeros(8, np.int32), np.zeros(8))}, TypeError, "below: expected bool"),
    ):
        with pytest.raises(error, match=message):
            BinaryConv(*arguments, **options)
    with pytest.raises(ValueError, match="pad_value"):
        binary_conv2d(np.zeros((1, 3, 3, 2), np.uint64), bits, 70, pad_value=-2)


@pytest.mark.parametrize("pixel_major", [False, True])
def test_results_that_overlap_an_input_are_refused(implementation: str, pixel_major: bool) -> None:
    case = Case(channels=70, out=8)
    x, w = case.signs()
    bits, memory = bits_of(x), np.zeros(4096, np.float32)
    scaled, counts = case.conv(w, Scaled(pixel_major=pixel_major)), case.conv(w)
    shape = scaled(bits).shape
    out = memory[84 : 84 + 672].reshape(shape)
    for name, option in (("residual", memory[:672].reshape(shape)), ("pixel_scale", memory[1:85].reshape(2, 7, 6))):
        with pytest.raises(ValueError, match=f"out: expected memory of its own, got memory of {name}"):
            scaled(bits, out=out, **{name: option})
    held = np.zeros(2000, np.uint64)
    mine = held[: bits.size].reshape(bits.shape)
    for _ in range(2):  # also where a call was prepared before
        with pytest.raises(ValueError, match="out: expected memory of its own, got memory of x"):
            counts(mine, out=held.view(np.int32)[50 : 50 + 672].reshape(2, 7, 6, 8))
        counts(mine)


def test_images_without_pixels_are_refused(implementation: str) -> None:
    case = Case(channels=70, out=8)
    x, w = case.signs()
    with pytest.raises(ValueError, match=r"x: a kernel .* does not fit \(0, 6\)"):
        case._replace(pads=(2, 2, 2, 2)).conv(w)(bits_of(x)[:, :0])


@pytest.mark.parametrize(
    ("activation", "parameters", "error"),
    [
        ("Clip", (), ValueError),
        ("Clip", ("0", "1"), TypeError),
        ("HardSigmoid", (0.1,), ValueError),
        ("LeakyRelu", (0.1, 0.2), ValueError),
        ("Relu", (1.0,), ValueError),
        ("Relu", None, ValueError),
    ],
)
def test_parameters_are_those_of_the_activation(activation: str, parameters: Any, error: type) -> None:
    bits = pack_bits(np.ones((8, 1, 1, 70), np.float32))
    with pytest.raises(error, match="parameters: expected"):
        BinaryConv(bits, 70, epilogue=Scaled(activation=activation, parameters=parameters))
