"""Winograd convolution: every form against the float64 definition, the same bits however the work is cut, NaN and
infinities where direct convolution has them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from kernels.floats import Convolution, assert_same_bits, normal, using
from kernels.prepared import (
    Around,
    cases,
    check_alignment,
    check_not_finite,
    check_residual_and_activations,
    check_residual_not_finite,
    check_same_bits,
    image_error,
    method_of,
    run_prepared,
)

import accel
from accel.kernels import conv2d, program, runtime
from accel.kernels.conv_native import Route

if runtime.core is None:
    pytest.skip("the native kernels are not built", allow_module_level=True)

# |error| <= c eps sqrt(K) max over the image of (|bias| + sum |w| |x|), by tile, kernel and stride: c for 16 channels
# and more, and for fewer, whose errors do not average out. Half of each was seen, in images one pixel high.
BOUNDS = {
    (2, 3, 1): (0.25, 1.5),
    (4, 3, 1): (1.0, 8.0),
    (6, 3, 1): (6.0, 32.0),
    (4, 5, 1): (2.5, 16.0),
    (3, 3, 2): (0.5, 3.0),
    (5, 3, 2): (1.0, 8.0),
}
FORMS = list(BOUNDS)
Form = tuple[int, int, int]  # tile, kernel, stride
CHANNELS = [
    *((1, 1, 1), (15, 17, 1), (16, 16, 1), (33, 31, 1), (64, 48, 1)),
    *((130, 16, 1), (7, 100, 1), (32, 32, 2), (48, 96, 3)),
]


def bound(form: Form, case: Convolution) -> float:
    return BOUNDS[form][case.channels // case.group < 16]


def algorithm(form: Form) -> str:
    return f"winograd{form[0]}"


@pytest.mark.parametrize("form", FORMS)
def test_every_form_against_the_definition(isa: str, form: Form) -> None:
    m, r, s = form
    for i, case in enumerate(cases((r, r), m, CHANNELS, 90, s)):
        given = case.arrays(seed=i)
        around = Around(extra_halo=i % 3, halo=i % 2, threads=1 + i % 2)
        assert image_error(run_prepared(case, algorithm(form), given, around), case, given) <= bound(form, case), case


@pytest.mark.parametrize("form", FORMS)
def test_every_form_in_every_implementation(implementation: str, form: Form) -> None:
    """By name, on arrays, on every back end."""
    m, r, s = form
    for channels, out, group in ((5, 7, 1), (32, 64, 2)):
        case = Convolution(
            channels, out, (s * (2 * m + 3), s * (m + 1)), (r, r), (s, s), (r // 2, 1, 2, 0), group=group
        )
        given = case.arrays()
        y = conv2d(*given, **case.geometry, algorithm=algorithm(form))
        assert image_error(y, case, given) <= bound(form, case), case


FOLDS = [("winograd4", 5, 2), ("winograd3", 7, 2), ("winograd5", 7, 2), ("winograd5", 8, 2), ("winograd5", 13, 4)]


@pytest.mark.parametrize(("name", "kernel", "stride"), FOLDS)
def test_folded_strides_in_every_implementation(implementation: str, name: str, kernel: int, stride: int) -> None:
    case = Convolution(3, 18, (31, 26), (kernel,) * 2, (stride,) * 2, pads=(2, 1, 0, 3))
    given = case.arrays()
    assert image_error(conv2d(*given, **case.geometry, algorithm=name), case, given) <= 32, case


@pytest.mark.parametrize("form", FORMS)
def test_residual_and_activations(isa: str, form: Form) -> None:
    m, r, s = form
    for size in ((2 * m * s, m * s), ((2 * m + 1) * s, (m - 1) * s)):  # whole tiles and cut ones
        for channels in (5, 17):  # few: products by lines
            case = Convolution(channels, 33, size, (r, r), (s, s), (r // 2,) * 4)
            check_residual_and_activations(case, algorithm(form))


# -- the same bits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_threads_batch_and_blocking_do_not_change_a_bit(isa: str, form: Form) -> None:
    m, r, s = form
    blockings = [blocked(m, cut) for cut in itertools.product((1, 3, 14, 29, 10**6), (1, 2, 3, 10**6))]
    for channels, out, group in ((17, 40, 1), (32, 64, 2), (20, 130, 1), (3, 40, 1)):
        case = Convolution(
            channels, out, (s * (5 * m + 1), s * 3 * m), (r, r), (s, s), (r // 2,) * 4, group=group, images=3
        )
        check_same_bits(case, algorithm(form), blockings)


def blocked(m: int, blocking: tuple[int, int]) -> Any:
    return lambda spec: runtime.core.prepare_winograd(runtime.isa_index(), spec, m, 2, blocking)


@pytest.mark.parametrize("form", FORMS)
def test_where_the_arrays_lie_does_not_change_a_bit(isa: str, form: Form) -> None:
    m, r, s = form
    check_alignment(Convolution(19, 33, (s * (2 * m + 1), 9), (r, r), (s, s), (1, 2, 0, 1)), algorithm(form))


# -- values that are not finite ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_not_finite_reaches_what_it_reaches_directly(isa: str, form: Form, value: float) -> None:
    m, r, s = form
    for pads, (channels, out, group) in itertools.product(((0,) * 4, (1, 2, 0, 3)), ((17, 18, 1), (32, 32, 2))):
        case = Convolution(channels, out, (s * 2 * m + r, s * m + r + 1), (r, r), (s, s), pads, group=group)
        check_not_finite(case, algorithm(form), value)


@pytest.mark.parametrize("form", FORMS)
def test_a_residual_that_is_not_finite_stays_where_it_is(isa: str, form: Form) -> None:
    m, r, s = form
    case = Convolution(16, 17, (s * (2 * m + 1),) * 2, (r, r), (s, s), (r // 2,) * 4, images=1)
    check_residual_not_finite(case, algorithm(form))


def test_large_values_do_not_overflow_on_the_way(isa: str) -> None:
    """Up to 1e34; beyond that the products may, which the window's check does not see."""
    for form in FORMS:
        case = Convolution(4, 16, (9, 9), (form[1],) * 2, (form[2],) * 2, bias=False)
        x, w, _ = case.arrays()
        x = np.clip(x, -1, 1) * np.float32(1e34)
        assert image_error(run_prepared(case, algorithm(form), (x, w, None), Around()), case, (x, w, None)) <= 8


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name_and_fall_back_under_auto(value: float) -> None:
    x, w = normal(1, 64, 28, 28), normal(64, 64, 3, 3, seed=1)
    with using("native-" + str(runtime.isa_info()["supported"][-1])):
        usual = conv2d(x, w, pads=1)
        assert (usual != conv2d(x, w, pads=1, algorithm="direct")).any(), "auto takes Winograd here"
        w[5, 3, 1, 2] = value
        for name in ("winograd2", "winograd4", "winograd6"):
            with pytest.raises(ValueError, match=f"w: expected finite weights for {name}, got some that are not"):
                conv2d(x, w, pads=1, algorithm=name)
        assert_same_bits(conv2d(x, w, pads=1), conv2d(x, w, pads=1, algorithm="direct"))


# -- what cannot be computed ---------------------------------------------------------------------------------------

CANNOT: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("winograd2", (16, 16, 5, 5), {}),
    ("winograd6", (16, 16, 5, 5), {}),
    ("winograd4", (16, 16, 3, 5), {}),
    ("winograd4", (16, 16, 7, 7), {}),
    ("winograd4", (16, 16, 3, 3), {"strides": (2, 1)}),
    ("winograd4", (16, 16, 3, 3), {"dilations": 2}),
    ("winograd5", (16, 16, 3, 3), {}),
    ("winograd5", (16, 16, 3, 3), {"strides": 3}),
    ("winograd5", (32, 16, 3, 3), {"strides": (2, 1), "group": 2}),
    ("winograd4", (16, 1, 3, 3), {"group": 16}),
    ("winograd2", (24, 8, 3, 3), {"group": 2}),
]


@pytest.mark.parametrize(("name", "shape", "options"), CANNOT)
def test_what_winograd_cannot_compute_is_refused(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    x = normal(1, shape[1] * options.get("group", 1), 9, 9)
    message = f"algorithm: {name} cannot compute a convolution with weights of shape .*{shape[2]}, {shape[3]}"
    with pytest.raises(ValueError, match=message):
        conv2d(x, normal(*shape), algorithm=name, **options)
    with pytest.raises(ValueError, match=message):
        accel.Conv2d(normal(*shape), algorithm=name, **options)(x)


def test_the_layer_computes_what_the_function_does() -> None:
    x, w, bias = Convolution(20, 33, (9, 8)).arrays()
    for name in ("winograd2", "winograd4", "winograd6"):
        layer = accel.Conv2d(w, bias, pads=1, algorithm=name)
        assert_same_bits(layer(x), conv2d(x, w, bias, pads=1, algorithm=name))


def test_weights_are_the_same_bits_on_every_instruction_set() -> None:
    for m, kernel, stride in (*FORMS, (3, 4, 1), (5, 4, 1)):
        w = normal(37, 20, kernel, kernel)
        packed = []
        for isa in runtime.isa_info()["supported"]:
            with accel.using(isa=isa):
                packed.append(program.pack_winograd(w, m, stride, 1))
        for other in packed[1:]:
            assert_same_bits(other, packed[0])


def test_the_native_binding_refuses_what_does_not_fit() -> None:
    core, isa = runtime.core, runtime.isa_index()
    method = method_of(Convolution(), "winograd4")
    assert method.route is Route.BLOCKED and method.tile == 4
    w = normal(16, 16, 3, 3)
    for bad, message in (
        (lambda: core.pack_winograd(isa, w, 3, 1, 1, program.aligned(10**6)), "winograd: no such form"),
        (lambda: core.pack_winograd(isa, w, 4, 1, 1, program.aligned(99)), "pack_winograd: out is too small"),
        (
            lambda: core.pack_winograd(isa, w[:, :, :2].copy(), 4, 1, 1, program.aligned(10**6)),
            "expected .out, depth, k, k.",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            bad()
    source, target = program.blocked_map((1, 16, 4, 4), 2), program.blocked_map((1, 16, 4, 4))
    fields: dict[str, Any] = {"strides": (1, 1), "before": (1, 1), "dilations": (1, 1)}
    plain, small = program.plain_map((1, 16, 4, 4), 2), program.blocked_map((1, 16, 2, 4))
    for spec, message in (
        (program.conv_spec(source, target, (5, 5), **{**fields, "before": (2, 2)}), "winograd: no such form"),
        (program.conv_spec(source, target, (3, 1), **{**fields, "before": (1, 0)}), "winograd: kernel, strides"),
        (program.conv_spec(plain, target, (3, 3), **fields), "winograd: kernel, strides"),
        (program.conv_spec(source, small, (3, 3), **{**fields, "strides": (2, 1)}), "winograd: no such form"),
    ):
        with pytest.raises(ValueError, match=message):
            core.prepare_winograd(isa, spec, 2, 1)
    good = program.conv_spec(source, target, (3, 3), **fields)
    for threads, blocking in ((0, (0, 0)), (1, (-1, 0)), (1, (0, -1))):
        with pytest.raises(ValueError, match="winograd: kernel, strides, dilations or blocking do not fit"):
            core.prepare_winograd(isa, good, 2, threads, blocking)
