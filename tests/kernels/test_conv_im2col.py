"""Convolution by im2col: any geometry, within direct convolution's bound of every output, bit for bit on threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernels.floats import Convolution, assert_same_bits, conv_error
from kernels.prepared import (
    Around,
    check_alignment,
    check_not_finite,
    check_residual_and_activations,
    check_residual_not_finite,
    check_same_bits,
    run_prepared,
)

from accel.kernels import conv2d, program, runtime

if runtime.core is None:
    pytest.skip("the native kernels are not built", allow_module_level=True)

BOUND = 4.0  # as test_conv.py states it
CHANNELS = [
    *((1, 1, 1), (3, 64, 1), (15, 17, 1), (16, 16, 1), (33, 31, 1), (130, 16, 1), (32, 32, 2), (6, 32, 2)),
    *((34, 34, 2), (33, 99, 11), (35, 35, 35), (3, 6, 3)),
]
WINDOWS: list[dict[str, Any]] = [
    {},
    {"kernel": (1, 1), "pads": (0, 0, 0, 0), "strides": (2, 3)},
    {"kernel": (2, 4), "dilations": (4, 2), "pads": (4, 0, 0, 5), "strides": (1, 2)},
    {"kernel": (7, 7), "pads": (3, 3, 3, 3), "strides": (2, 2)},
    {"kernel": (2, 2), "pads": (5, 4, 3, 6)},
    {"kernel": (9, 11), "pads": (0, 0, 0, 0)},
]


@pytest.mark.parametrize(("channels", "out", "group"), CHANNELS)
def test_against_the_definition(isa: str, channels: int, out: int, group: int) -> None:
    for i, window in enumerate(WINDOWS):
        case = Convolution(channels, out, (9, 11 + i), group=group, **window)
        given = case.arrays()
        around = Around(extra_halo=i % 3, halo=i % 2, threads=1 + i % 2)
        assert conv_error(run_prepared(case, "im2col", given, around), case, *given) <= BOUND, case


def test_in_every_implementation(implementation: str) -> None:
    for channels, out, group in CHANNELS:
        for window in WINDOWS:
            case = Convolution(channels, out, (9, 11), group=group, **window)
            given = case.arrays()
            assert conv_error(conv2d(*given, **case.geometry, algorithm="im2col"), case, *given) <= BOUND, case


def test_residual_and_activations(isa: str) -> None:
    check_residual_and_activations(Convolution(5, 33, (9, 7), (3, 2), (2, 1), pads=(1, 1, 0, 0)), "im2col")


def test_threads_and_batch_do_not_change_a_bit(isa: str) -> None:
    for channels, out, group in ((17, 40, 1), (32, 64, 2), (300, 20, 1)):
        check_same_bits(Convolution(channels, out, (23, 19), group=group, images=3), "im2col", [])


def test_where_the_arrays_lie_does_not_change_a_bit(isa: str) -> None:
    check_alignment(Convolution(19, 33, (6, 6)), "im2col")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_not_finite_reaches_what_it_reaches_directly(isa: str, value: float) -> None:
    for channels, out, group in ((17, 18, 1), (32, 32, 2)):
        check_not_finite(Convolution(channels, out, (9, 8), (3, 2), pads=(1, 0, 2, 0), group=group), "im2col", value)
    check_residual_not_finite(Convolution(16, 17, (9, 9), images=1), "im2col")


def test_weights_may_be_anything() -> None:
    x, w, bias = Convolution(5, 7).arrays()
    w[2, 1, 0, 0] = np.nan
    y = conv2d(x, w, bias, pads=1, algorithm="im2col")
    assert np.isnan(y[:, 2]).all() and np.isfinite(np.delete(y, 2, 1)).all()
    assert_same_bits(np.isnan(y), np.isnan(conv2d(x, w, bias, pads=1, algorithm="direct")))


def test_the_native_binding_refuses_what_does_not_fit() -> None:
    target = program.blocked_map((1, 16, 4, 4))
    fields: dict[str, Any] = {"strides": (1, 1), "before": (1, 1), "dilations": (1, 1)}
    blocked = program.conv_spec(program.blocked_map((1, 16, 4, 4), 1), target, (3, 3), **fields)
    plain = program.conv_spec(program.plain_map((1, 16, 4, 4), 1), target, (3, 3), **fields)
    for spec, threads in ((blocked, 1), (plain, 0)):
        with pytest.raises(ValueError, match="im2col: input map or threads do not fit"):
            runtime.core.prepare_im2col(runtime.isa_index(), spec, threads)
    assert runtime.core.prepare_im2col(runtime.isa_index(), plain, 2).scratch_floats == 2 * 144 * 16
