"""FFT convolution: large kernels of any shape against the float64 definition, the same bits however the work is cut,
NaN and infinities where direct convolution has them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from kernels.floats import Convolution, assert_same_bits, normal
from kernels.prepared import (
    Around,
    cases,
    check_alignment,
    check_not_finite,
    check_residual_and_activations,
    check_residual_not_finite,
    check_same_bits,
    image_error,
    run_prepared,
)

import accel
from accel.kernels import conv2d, program, runtime
from accel.kernels.conv_native import FFT_KERNEL, methods

if runtime.core is None:
    pytest.skip("the native kernels are not built", allow_module_level=True)

BOUND = 1.0
"""|error| <= 1 eps sqrt(K) max over the image of (|bias| + sum |w| |x|); half of it was seen, for 1 x 11."""
KERNELS = [(5, 5), (7, 7), (11, 11), (13, 13), (3, 5), (6, 4), (1, 11), (9, 2), (13, 1)]
CHANNELS = [(1, 1, 1), (15, 17, 1), (16, 16, 1), (33, 31, 1), (64, 48, 1), (7, 100, 1), (32, 32, 2), (48, 96, 3)]


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_against_the_definition(isa: str, kernel: tuple[int, int]) -> None:
    for i, case in enumerate(cases(kernel, 17 - max(kernel), CHANNELS, 36)):
        given = case.arrays(seed=i)
        around = Around(extra_halo=i % 3, halo=i % 2, threads=1 + i % 2)
        assert image_error(run_prepared(case, "fft", given, around), case, given) <= BOUND, case


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_in_every_implementation(implementation: str, kernel: tuple[int, int]) -> None:
    """By name, on arrays, on every back end."""
    for channels, out, group in ((5, 7, 1), (32, 64, 2)):
        case = Convolution(channels, out, (21, 16), kernel, pads=(kernel[0] // 2, 1, 2, 0), group=group)
        given = case.arrays()
        assert image_error(conv2d(*given, **case.geometry, algorithm="fft"), case, given) <= BOUND, case


def test_residual_and_activations(isa: str) -> None:
    for size in ((24, 12), (25, 11)):  # whole tiles and cut ones, odd and even rows
        check_residual_and_activations(Convolution(17, 33, size, (5, 5), pads=(2,) * 4), "fft")
    check_residual_and_activations(Convolution(3, 17, (9, 7), (7, 4), pads=(3, 2, 3, 1)), "fft")


def test_threads_batch_and_blocking_do_not_change_a_bit(isa: str) -> None:
    blockings = [blocked(cut) for cut in itertools.product((1, 3, 10**6), (1, 2, 3, 10**6))]
    for channels, out, group in ((17, 40, 1), (32, 64, 2), (20, 130, 1)):
        case = Convolution(channels, out, (29, 17), (5, 7), pads=(2, 3, 2, 3), group=group, images=3)
        check_same_bits(case, "fft", blockings)


def blocked(blocking: tuple[int, int]) -> Any:
    return lambda spec: runtime.core.prepare_fft(runtime.isa_index(), spec, 2, blocking)


def test_where_the_arrays_lie_does_not_change_a_bit(isa: str) -> None:
    check_alignment(Convolution(19, 33, (13, 9), (5, 5), pads=(1, 2, 0, 1)), "fft")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_not_finite_reaches_what_it_reaches_directly(isa: str, value: float) -> None:
    for pads, (channels, out, group) in itertools.product(((0,) * 4, (1, 2, 0, 3)), ((17, 18, 1), (32, 32, 2))):
        check_not_finite(Convolution(channels, out, (18, 20), (5, 7), pads=pads, group=group), "fft", value)


def test_a_residual_that_is_not_finite_stays_where_it_is(isa: str) -> None:
    check_residual_not_finite(Convolution(16, 17, (13, 14), (5, 5), pads=(2,) * 4, images=1), "fft")


def test_large_values_do_not_overflow_on_the_way(isa: str) -> None:
    """Up to 1e34; a window whose spectrum overflows is computed directly, but its products may overflow unseen."""
    case = Convolution(4, 16, (19, 19), (7, 7), pads=(3,) * 4, bias=False)
    x, w, _ = case.arrays()
    x = np.clip(x, -1, 1) * np.float32(1e34)
    assert image_error(run_prepared(case, "fft", (x, w, None), Around()), case, (x, w, None)) <= BOUND


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name_and_fall_back_under_auto(value: float) -> None:
    x, w = normal(1, 64, 28, 28), normal(64, 64, 7, 7, seed=1)
    usual = conv2d(x, w, pads=3)
    assert_same_bits(usual, conv2d(x, w, pads=3, algorithm="fft"))
    w[5, 3, 1, 2] = value
    with pytest.raises(ValueError, match="w: expected finite weights for fft, got some that are not"):
        conv2d(x, w, pads=3, algorithm="fft")
    assert_same_bits(conv2d(x, w, pads=3), conv2d(x, w, pads=3, algorithm="direct"))


def test_which_kernels_it_takes() -> None:
    def taken(kernel: tuple[int, int], **changes: Any) -> bool:
        given: dict[str, Any] = {"strides": (1, 1), "dilations": (1, 1), "group": 1, **changes}
        return "fft" in [m.algorithm for m in methods((32, 16, *kernel), **given)]

    assert FFT_KERNEL == (5, 13) and all(taken(kernel) for kernel in KERNELS)
    assert not any(taken(kernel) for kernel in ((1, 1), (3, 3), (4, 4), (14, 1), (1, 14), (14, 14)))
    assert not taken((5, 5), strides=(2, 1)) and not taken((5, 5), dilations=(1, 2))
    assert taken((5, 5), group=2) and not taken((5, 5), group=4)


@pytest.mark.parametrize("options", [{"strides": (2, 1)}, {"dilations": 2}, {"group": 8}])
def test_what_it_cannot_compute_is_refused(options: dict[str, Any]) -> None:
    x, w = normal(1, 16, 19, 19), normal(16, 16 // options.get("group", 1), 5, 5)
    message = r"algorithm: fft cannot compute a convolution with weights of shape \(16, .*5, 5\)"
    with pytest.raises(ValueError, match=message):
        conv2d(x, w, algorithm="fft", **options)
    with pytest.raises(ValueError, match=message):
        accel.Conv2d(w, algorithm="fft", **options)(x)


def test_the_native_binding_refuses_what_does_not_fit() -> None:
    core, isa = runtime.core, runtime.isa_index()
    for w, room, message in (
        (normal(16, 16, 14, 3), 10**7, "kh and kw at most 13"),
        (normal(16, 16, 5), 10**7, "expected .out, depth, kh, kw."),
        (normal(16, 16, 5, 5), core.fft_size(16, 16, 25) - 1, "pack_fft: out is too small"),
    ):
        with pytest.raises(ValueError, match=message):
            core.pack_fft(w, 1, program.aligned(room)[:room])
    source, target = program.blocked_map((1, 16, 9, 9), 2), program.blocked_map((1, 16, 9, 9))
    fields: dict[str, Any] = {"strides": (1, 1), "before": (2, 2), "dilations": (1, 1)}
    plain, small = program.plain_map((1, 16, 9, 9), 2), program.blocked_map((1, 16, 4, 9))
    message = "fft: kernel, strides, dilations or blocking do not fit"
    for spec in (
        program.conv_spec(plain, target, (5, 5), **fields),
        program.conv_spec(source, small, (5, 5), **{**fields, "strides": (2, 1)}),
        program.conv_spec(source, small, (2, 14), **{**fields, "strides": (2, 1)}),
        program.conv_spec(source, small, (3, 5), **{**fields, "dilations": (2, 1)}),
    ):
        with pytest.raises(ValueError, match=message + "|halo too small"):
            core.prepare_fft(isa, spec, 1)
    good = program.conv_spec(source, target, (5, 5), **fields)
    for threads, blocking in ((0, (0, 0)), (1, (-1, 0)), (1, (0, -1))):
        with pytest.raises(ValueError, match=message):
            core.prepare_fft(isa, good, threads, blocking)
