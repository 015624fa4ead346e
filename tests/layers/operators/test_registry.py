"""The table itself: what a call checks, and that nothing but our own errors leaves it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel.errors import AccelError, ModelError, UnsupportedError
from accel.layers.operators import common, operator, registry
from accel.layers.operators.dtypes import DTYPES

X = np.ones((2, 3), np.float32)


def test_a_name_is_registered_once():
    with pytest.raises(RuntimeError, match="Relu is registered twice"):
        operator("Relu")(lambda x: x)


@pytest.mark.parametrize(
    ("name", "inputs", "attributes", "message"),
    [
        ("Relu", [], {}, "Relu: inputs: expected 1 to 1, got 0"),
        ("Relu", [X, X], {}, "Relu: inputs: expected 1 to 1, got 2"),
        ("Add", [None, X], {}, "Add: a: expected a tensor, got none"),
        ("Concat", [X, None, X], {"axis": 0}, "Concat: input 1: expected a tensor, got none"),
        ("Concat", [], {"axis": 0}, "Concat: inputs: expected 1 or more, got 0"),
        ("Relu", [[1.0]], {}, "Relu: x: expected a NumPy array, got list"),
        ("Concat", [X], {}, "Concat: attribute axis: expected an integer, got none"),
        ("Concat", [X], {"axis": 0.5}, "Concat: attribute axis: expected an integer, got 0.5"),
        ("Concat", [X], {"axis": True}, "Concat: attribute axis: expected an integer, got True"),
        ("Elu", [X], {"alpha": "1"}, "Elu: attribute alpha: expected a number, got '1'"),
        ("Transpose", [X], {"perm": 1}, "Transpose: attribute perm: expected a list of integers, got 1"),
        ("Transpose", [X], {"perm": [0.5]}, "Transpose: attribute perm: expected a list of integers, got [0.5]"),
        ("Gelu", [X], {"approximate": b"\xff"}, "Gelu: attribute approximate: expected a string"),
        ("Constant", [], {"value": 1}, "Constant: attribute value: expected a tensor, got 1"),
        (
            "Constant",
            [],
            {"value_floats": 1.0},
            "Constant: attribute value_floats: expected a list of numbers, got 1.0",
        ),
        (
            "Add",
            [X, np.ones(4, np.float32)],
            {},
            "Add: expected inputs that fit together, got float32[2, 3], float32[4]",
        ),
    ],
)
def test_what_does_not_fit_is_a_model_error(name, inputs, attributes, message):
    with pytest.raises(ModelError, match=re.escape(message)):
        registry()[name](inputs, attributes)


def test_an_unknown_attribute_is_unsupported_and_never_ignored():
    with pytest.raises(
        UnsupportedError, match=r"Relu: attribute beta: expected one of those supported \(none\), got 2"
    ):
        registry()["Relu"]([X], {"beta": 2})


@pytest.mark.parametrize("dtype", ["complex64", "U1", "O", ">f4", "longdouble", "M8[s]"])
def test_foreign_element_types_are_unsupported(dtype):
    with pytest.raises(UnsupportedError, match=r"Identity: x: expected one of float32, uint8, .*, got"):
        registry()["Identity"]([np.zeros(2, dtype)], {})


def test_absent_inputs_at_the_end_may_be_given_or_left_out():
    clip = registry()["Clip"]
    assert np.array_equal(clip([X, None, None], {})[0], clip([X], {})[0])


def test_text_may_come_as_bytes():
    (y,) = registry()["Gelu"]([X], {"approximate": b"tanh"})
    assert np.array_equal(y, registry()["Gelu"]([X], {"approximate": "tanh"})[0])


def test_results_are_arrays_even_without_axes():
    (y,) = registry()["Add"]([np.ones((), np.float32), np.ones((), np.float32)], {})
    assert isinstance(y, np.ndarray) and y.shape == ()


def test_no_warning_leaves_an_operator(recwarn):
    registry()["Log"]([-X], {})
    registry()["Div"]([np.ones(2, np.int32), np.zeros(2, np.int32)], {})
    assert not recwarn.list


_HUGE = st.sampled_from([2**40, 2**62, -(2**63), 2**63 - 1])
_INTS = st.one_of(st.integers(-3, 4), _HUGE)
_ATTRIBUTES = {
    "an integer": _INTS,
    "a number": st.sampled_from([0.0, -1.5, 0.5, 3.0, 1e30, float("nan"), float("inf")]),
    "a string": st.sampled_from(
        ["linear", "cubic", "reflect", "wrap", "SAME_UPPER", "VALID", "CRD", "add", "ij->ji", ""]
    ),
    "a list of integers": st.lists(_INTS, max_size=4),
    "a list of numbers": st.lists(st.floats(width=32), max_size=3),
    "a tensor": st.sampled_from([np.zeros(1, np.float32), np.zeros((2, 2), np.int64)]),
}
_SHAPES = st.lists(st.integers(0, 3), max_size=5).map(tuple)


@st.composite
def _arrays(draw):
    if draw(st.integers(0, 2)) == 0:
        return np.array(draw(st.lists(_INTS, max_size=4)), np.int64)
    dtype = draw(st.sampled_from(list(DTYPES.values())))
    shape = draw(_SHAPES)
    values = draw(st.lists(st.sampled_from([0, 1, 2, 3, 100, 255]), min_size=1, max_size=4))
    return np.resize(np.array(values), shape).astype(dtype)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", sorted(registry()))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_hostile_calls_return_arrays_or_raise_our_errors(name, data, monkeypatch):
    monkeypatch.setattr(common, "MAX_BYTES", 2**24)
    op = registry()[name]
    alike = data.draw(_arrays())
    more = max(len(op.contract.names), 2)
    inputs = data.draw(st.lists(st.one_of(st.just(alike), st.just(None), _arrays()), max_size=more))
    attributes = {
        label: data.draw(_ATTRIBUTES[expected])
        for label, (expected, _) in op.contract.kinds.items()
        if label in op.contract.needed or data.draw(st.booleans())
    }
    before = [None if x is None else x.copy() for x in inputs]
    try:
        results = op(inputs, attributes, data.draw(st.integers(1, 3)))
    except AccelError as error:
        assert str(error).startswith(f"{name}: ")
    else:
        assert all(isinstance(y, np.ndarray) and y.dtype in DTYPES.values() for y in results)
    for x, old in zip(inputs, before, strict=True):
        assert x is None or np.array_equal(x, old, equal_nan=x.dtype.kind == "f"), "an input was changed"


def test_a_bound_call_follows_the_values_of_its_arrays() -> None:
    x = np.array([0.4, 1.6], np.float32)
    call = registry()["Round"].bound([x], {})
    np.testing.assert_array_equal(call()[0], [0, 2])
    x[:] = [2.6, -3.2]
    np.testing.assert_array_equal(call()[0], [3, -3])


def test_what_does_not_fit_is_refused_when_bound_or_called() -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ModelError, match="Round: inputs: expected 1 to 1, got 2"):
        registry()["Round"].bound([x, x], {})
    with pytest.raises(UnsupportedError, match="Round: attribute axis"):
        registry()["Round"].bound([x], {"axis": 1})
    indices = np.array([0])
    call = registry()["Gather"].bound([x, indices], {})
    call()
    indices[0] = 7
    with pytest.raises(ModelError, match="Gather: indices"):
        call()
