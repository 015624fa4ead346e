"""Plans: what is joined, written in place or shared must not show in any result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, check, convolving, expected, normal

import accel
from accel.engine.plan import Plan
from accel.kernels import runtime

pytestmark = pytest.mark.skipif(runtime.core is None, reason="plans are made of native kernels")


def plan_of(session: accel.InferenceSession) -> Plan:
    (plan,) = session._plans.values()
    assert isinstance(plan, Plan)
    return plan


def kernels(session: accel.InferenceSession) -> list[str]:
    """Of every step; of a convolution just that, whichever method computes it."""
    return ["conv" if step.choice else step.kernel for step in plan_of(session).steps]


@pytest.fixture(params=["direct", "winograd4"], autouse=True)
def method(request: pytest.FixtureRequest) -> Iterator[None]:
    """Methods differ in the halos that they want and in what they can write over."""
    with convolving(request.param):
        yield


IMAGE = normal(2, 16, 6, 5)
FEEDS = {"x0": IMAGE}


def image() -> tuple[Sketch, str]:
    sketch = Sketch()
    return sketch, sketch.input("N", 16, "H", "W")


# -- concatenations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(16, 16), (16, 7), (32, 16, 24), (64, 1)])
def test_parts_of_whole_blocks_are_written_in_place(widths: tuple[int, ...]) -> None:
    s, x = image()
    parts = [s.add("Relu", s.conv(x, 16, width, 1 + 2 * (i % 2))) for i, width in enumerate(widths)]
    session = check(s.network(s.conv(s.add("Concat", *parts, axis=1), sum(widths), 16)), FEEDS)
    assert kernels(session) == ["import", *["conv"] * (len(widths) + 1), "export"]


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
def test_concatenations_along_any_axis(axis: int) -> None:
    s, x = image()
    parts = [s.conv(x, 16, 16, 3), s.conv(x, 16, 16, 1)]
    whole = s.add("Concat", *parts, axis=axis)
    check(s.network(s.conv(whole, 32 if axis % 4 == 1 else 16, 8)), FEEDS)


def test_a_part_or_the_whole_may_have_readers_of_any_kind() -> None:
    """Of wider halo, as plain array, as residual, in a second concatenation, twice in one, and as output."""
    s, x = image()
    a, b = s.conv(x, 16, 16, 3), s.conv(x, 16, 16, 1)
    whole = s.add("Concat", a, b, axis=1)
    outputs = [
        s.conv(a, 16, 8, 5),
        s.add("Transpose", a, perm=[0, 2, 3, 1]),
        s.add("Add", s.conv(x, 16, 16), a),
        s.add("Concat", b, a, axis=1),
        s.conv(s.add("Concat", b, b, axis=1), 32, 4),
        s.conv(whole, 32, 4, 7),
        s.add("Add", s.conv(whole, 32, 32), whole),
        s.add("GlobalAveragePool", whole),
        s.add("Flatten", whole),
    ]
    check(s.network(*outputs), FEEDS)
    check(s.network(*outputs, a), FEEDS)
    check(s.network(*outputs, whole), FEEDS)


def test_a_concatenation_of_concatenations() -> None:
    s, x = image()
    parts = [s.conv(x, 16, 16, 1) for _ in range(3)]
    inner = s.add("Concat", *parts[:2], axis=1)
    check(s.network(s.conv(s.add("Concat", inner, parts[2], axis=1), 48, 8)), FEEDS)


def test_a_part_that_ends_in_a_residual_sum() -> None:
    """It is written into the concatenation, not over the shortcut."""
    s, x = image()
    shortcut = s.conv(x, 16, 16, 1)
    total = s.add("Relu", s.add("Add", s.conv(x, 16, 16), shortcut))
    whole = s.add("Concat", s.conv(x, 16, 16), total, axis=1)
    check(s.network(s.conv(whole, 32, 8)), FEEDS)


def test_a_whole_is_not_overwritten_while_a_part_is_read_later() -> None:
    s, x = image()
    parts = [s.conv(x, 16, 16, 1), s.conv(x, 16, 16)]
    whole = s.add("Concat", *parts, axis=1)
    total = s.add("Add", s.conv(x, 16, 32), whole)
    check(s.network(s.conv(total, 32, 8), s.conv(parts[0], 16, 8), s.conv(parts[1], 16, 8, 1)), FEEDS)


def test_pools_in_a_concatenation() -> None:
    s, x = image()
    window: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1]}
    parts = [
        s.conv(x, 16, 16),
        s.add("MaxPool", x, **window),
        s.add("MaxPool", x, storage_order=1, **window),
        s.add("AveragePool", x, count_include_pad=1, **window),
    ]
    check(s.network(s.conv(s.add("Concat", *parts, axis=1), 64, 8)), FEEDS)


# -- residuals -----------------------------------------------------------------------------------------------------


def test_a_residual_is_added_in_place_where_nothing_else_reads_it() -> None:
    s, x = image()
    shortcut = s.conv(x, 16, 16, 3)
    total = s.add("Relu", s.add("Add", s.conv(shortcut, 16, 16), s.conv(x, 16, 16, 1)))
    session = check(s.network(s.conv(total, 16, 16, 1)), FEEDS)
    plan = plan_of(session)
    fused = [step for step in plan.steps if len(step.reads) == 2]
    assert len(fused) == 1 and fused[0].writes[0].storage is fused[0].reads[1].storage


READERS: dict[str, Any] = {
    "conv later": lambda s, r: s.conv(r, 16, 8),
    "residual later": lambda s, r: s.add("Add", s.conv(r, 16, 16), r),
    "plain later": lambda s, r: s.add("Softmax", r, axis=1),
    "reshaped later": lambda s, r: s.add("Neg", s.add("Flatten", r)),
    "reshaped output": lambda s, r: s.add("Flatten", r),
    "output": lambda s, r: r,
    "mean later": lambda s, r: s.add("GlobalAveragePool", r),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("early", [False, True])
def test_a_residual_with_other_readers_survives(reader: str, early: bool) -> None:
    s, x = image()
    shortcut = s.conv(x, 16, 16)
    other = READERS[reader](s, shortcut) if early else ""
    total = s.conv(s.add("Add", s.conv(x, 16, 16), shortcut), 16, 16)
    other = other or READERS[reader](s, shortcut)
    check(s.network(total, other), FEEDS)


def test_residuals_that_are_inputs_outputs_or_the_conv_s_own_input() -> None:
    s, x = image()
    y = s.input("N", 16, "H", "W")
    own = s.add("Add", s.conv(x, 16, 16), x)
    given = s.add("Add", s.conv(own, 16, 16), y)
    twice = s.add("Add", given, given)
    check(s.network(own, twice), {"x0": IMAGE, "x1": normal(*IMAGE.shape, seed=5)})


@pytest.mark.parametrize(("channels", "group"), [(16, 1), (16, 16), (32, 2), (34, 2), (4, 1), (34, 34)])
def test_residuals_on_every_route(channels: int, group: int) -> None:
    s = Sketch()
    x = s.input(2, channels, 6, 5)
    y = s.conv(x, channels, channels, 1)
    for _ in range(3):
        y = s.add("Relu", s.add("Add", s.conv(y, channels, channels, 3, group=group), y))
    check(s.network(y), {"x0": normal(2, channels, 6, 5)})


def test_a_sum_that_broadcasts_is_no_residual() -> None:
    s, x = image()
    a = s.conv(x, 16, 16)
    outputs = [
        s.add("Add", a, s.constant(normal(16, 1, 1))),
        s.add("Add", a, s.constant(np.float32(2))),
        s.add("Add", a, s.add("GlobalAveragePool", a)),
        s.add("Mul", s.add("GlobalAveragePool", a), a),
        s.add("Sub", s.add("GlobalAveragePool", a), a),
        s.add("Add", a, s.add("GlobalMaxPool", x)),
    ]
    check(s.network(*outputs), FEEDS)
    check(s.network(*outputs), {"x0": normal(3, 16, 1, 1)})


# -- outputs -------------------------------------------------------------------------------------------------------


def test_inputs_and_constants_as_outputs() -> None:
    s, x = image()
    c = s.constant(normal(3, 4))
    y = s.conv(x, 16, 8)
    session = check(s.network(x, c, y), FEEDS)
    given, constant, _ = session.run(None, FEEDS)
    given[:], constant[:] = 0, 0
    assert IMAGE.any() and session.run([c], FEEDS)[0].any(), "outputs must be copies"


def test_one_value_as_two_outputs() -> None:
    s, x = image()
    y = s.conv(x, 16, 8)
    for network in (s.network(y, y), s.network(x, x), s.network(y, s.add("Identity", y))):
        session = accel.InferenceSession(network)
        a, b = session.run(None, FEEDS)
        np.testing.assert_array_equal(a, b)
        a[:] = 7
        assert not (b == 7).any(), "each output is an array of its own"
        a, b = session.run([session.get_outputs()[0].name] * 2, FEEDS)
        assert not np.shares_memory(a, b)


def test_reshapes_as_outputs() -> None:
    """Of an input, of a constant's result, of one value twice, of each other, and of a value that is read later."""
    s, x = image()
    y = s.conv(x, 16, 16)
    first, second = s.add("Flatten", y), s.add("Unsqueeze", y, s.constant(np.array([0])))
    third = s.add("Flatten", first, axis=0)
    check(s.network(s.add("Flatten", x), first, second, third, y, s.conv(y, 16, 8)), FEEDS)
    check(s.network(third, first), FEEDS)
    check(s.network(first, s.add("Neg", third)), FEEDS)


def test_outputs_of_different_sizes_and_types() -> None:
    s, x = image()
    y = s.conv(x, 16, 16)
    shape, flat = s.add("Shape", y), s.add("ArgMax", y, axis=1)
    positive = s.add("Greater", y, s.constant(np.float32(0)))
    values, indices = s.add_many("TopK", y, s.constant(np.array([2])), count=2, axis=1)
    check(s.network(shape, flat, positive, values, indices, y), FEEDS)


def test_unused_inputs_nodes_and_outputs() -> None:
    s, x = image()
    unused = s.input(3, name="unused")
    s.conv(x, 16, 16)
    y = s.conv(x, 16, 8)
    values, _ = s.add_many("TopK", y, s.constant(np.array([1])), count=2, axis=1)
    feeds = {**FEEDS, unused: normal(3)}
    check(s.network(values), feeds)


def test_optional_outputs_that_are_absent() -> None:
    s, x = image()
    s.nodes.append(accel.graph.Node("MaxPool", [x], ["pooled", ""], {"kernel_shape": [2, 2]}))
    check(s.network("pooled"), FEEDS)


# -- what has no native kernel -------------------------------------------------------------------------------------


def test_convolutions_with_dynamic_weights() -> None:
    s, x = image()
    w, b = s.input(8, 16, 3, 3), s.input(8)
    y = s.add("Relu", s.add("Add", s.add("Conv", x, w, b, pads=[1] * 4), s.conv(x, 16, 8)))
    check(s.network(y), {"x0": IMAGE, "x1": normal(8, 16, 3, 3), "x2": normal(8)})
    s, x = image()
    z = s.add("Conv", x, s.weights(8, 16, 1, 1), s.input(8))
    check(s.network(z), {"x0": IMAGE, "x1": normal(8)})


@pytest.mark.parametrize("axes", [1, 3])
def test_convolutions_of_signals_and_volumes(axes: int) -> None:
    s = Sketch()
    size = (7, 5, 6)[:axes]
    x = s.input(2, 6, *size)
    w = s.weights(8, 3, *(3,) * axes)
    y = s.add("Relu", s.add("Conv", x, w, s.weights(8), group=2, pads=[1] * 2 * axes, strides=[2] * axes))
    z = s.add("Conv", y, s.weights(4, 8, *(1,) * axes))
    pooled = s.add("MaxPool", z, kernel_shape=[2] * axes)
    check(s.network(s.add("Add", z, z), pooled, s.add("GlobalAveragePool", z)), {"x0": normal(2, 6, *size)})


def test_types_beside_float32() -> None:
    s = Sketch()
    x, i, b = s.input(2, 16, 4, 4, dtype=np.float64), s.input(3, dtype=np.int64), s.input(3, dtype=np.bool_)
    w = s.constant(normal(8, 16, 3, 3).astype(np.float64))
    outputs = [
        s.add("Relu", s.add("Conv", x, w)),
        s.add("Add", i, i),
        s.add("Div", i, s.constant(np.array(2))),
        s.add("Not", b),
        s.add("Where", b, i, s.constant(np.array(-1))),
        s.add("Cast", i, to=1),
        s.add("Concat", i, i, axis=0),
        s.add("MaxPool", x, kernel_shape=[2, 2]),
    ]
    feeds = {
        "x0": normal(2, 16, 4, 4).astype(np.float64),
        "x1": np.array([5, -6, 7]),
        "x2": np.array([True, False, True]),
    }
    check(s.network(*outputs), feeds)


def test_weights_that_follow_from_the_shape_of_the_input() -> None:
    """The same names stand for other numbers in the plan of another shape."""
    s, x = image()
    size = s.add("Slice", s.add("Shape", x), s.constant(np.array([3])), s.constant(np.array([4])))
    w = s.add("Mul", s.constant(normal(8, 16, 1, 1)), s.add("Cast", size, to=1))
    y = s.add("Conv", x, w)
    matrix = s.add("Mul", s.constant(normal(8, 16)), s.add("Cast", size, to=1))
    z = s.add("Gemm", s.add("Flatten", s.add("GlobalAveragePool", x)), matrix, transB=1)
    network = s.network(y, z)
    session = accel.InferenceSession(network)
    for width in (3, 5, 4, 3):
        feeds = {"x0": normal(1, 16, 2, width)}
        for got, wanted in zip(session.run(None, feeds), expected(network, feeds), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_one_weight_in_several_roles() -> None:
    """The same constant as weight of convolutions of different groups, of a Gemm both ways round, and as a summand."""
    s = Sketch()
    x, y = s.input(2, 16, 4, 4), s.input(2, 32, 4, 4)
    w = s.constant(normal(32, 16, 1, 1) / 4)
    square = s.constant(normal(16, 16) / 4)
    flat = s.add("Flatten", s.add("GlobalAveragePool", x))
    outputs = [
        s.add("Conv", x, w),
        s.add("Conv", y, w, group=2),
        s.add("Gemm", flat, square, transB=1),
        s.add("Gemm", flat, square),
        s.add("Gemm", flat, square, alpha=0.5),
        s.add("MatMul", flat, square),
        s.add("MatMul", square, square),
    ]
    check(s.network(*outputs), {"x0": normal(2, 16, 4, 4), "x1": normal(2, 32, 4, 4)})


@pytest.mark.parametrize(
    "attributes",
    [
        {"transB": 1, "alpha": 0.5, "beta": 2.0},
        {"transB": 0, "beta": 0.25},
        {"transA": 1},
    ],
)
@pytest.mark.parametrize("bias", [(), (1,), (12,), (1, 12), (5, 1), (5, 12)])
def test_gemm_of_every_form(attributes: dict[str, Any], bias: tuple[int, ...]) -> None:
    s = Sketch()
    x = s.input(*((7, 5) if attributes.get("transA") else (5, 7)))
    w = s.weights(*((12, 7) if attributes.get("transB") else (7, 12)))
    outputs = [s.add("Relu", s.add("Gemm", x, w, s.constant(normal(*bias) if bias else np.float32(3)), **attributes))]
    outputs.append(s.add("Gemm", x, w, **attributes))
    check(s.network(*outputs), {"x0": normal(*((7, 5) if attributes.get("transA") else (5, 7)))})


@pytest.mark.parametrize("shape", [(3, 7), (2, 3, 7), (2, 1, 3, 7)])
def test_matmul_of_every_rank(shape: tuple[int, ...]) -> None:
    s = Sketch()
    x = s.input(*shape)
    y = s.add("MatMul", x, s.weights(7, 9))
    check(s.network(y, s.add("MatMul", s.constant(normal(4, shape[-2])), x)), {"x0": normal(*shape)})


def test_every_fused_activation() -> None:
    s, x = image()
    lows = [s.constant(np.float32(v)) for v in (-0.5, 0.5)]
    outputs = []
    for op, more, attributes in (
        ("Relu", (), {}),
        ("LeakyRelu", (), {"alpha": 0.3}),
        ("LeakyRelu", (), {}),
        ("HardSigmoid", (), {"alpha": 0.3, "beta": 0.1}),
        ("HardSwish", (), {}),
        ("Sigmoid", (), {}),
        ("Tanh", (), {}),
        ("Elu", (), {"alpha": 0.5}),
        ("Clip", tuple(lows), {}),
        ("Clip", (lows[0],), {}),
        ("Clip", ("", lows[1]), {}),
        ("Clip", (), {}),
    ):
        for host in (s.conv(x, 16, 17), s.conv(x, 16, 16, group=16), x, s.add("Flatten", s.conv(x, 16, 3))):
            outputs.append(s.add(op, host, *more, **attributes))
    y = s.conv(x, 16, 16)
    outputs.append(s.add("Mul", y, s.add("Sigmoid", y)))
    check(s.network(*outputs), FEEDS)


def test_special_values_pass_through_a_plan() -> None:
    x = IMAGE.copy()
    x[0, 3, 2, 2], x[1, 5, 0, 0] = np.nan, np.inf
    s, name = image()
    y = s.add("Relu", s.add("Add", s.conv(name, 16, 24), s.conv(name, 16, 24, 1)))
    network = s.network(y, s.add("MaxPool", y, kernel_shape=[2, 2]))
    for got, wanted in zip(
        accel.InferenceSession(network).run(None, {"x0": x}), expected(network, {"x0": x}), strict=True
    ):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
