"""Nodes whose parts do not fit: refused by name before a native kernel or a view of the arena relies on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, normal

import accel
from accel.kernels import runtime

BACKENDS = [b for b in ("native", "numpy") if b in accel.isa_info()["backends"]]


def i64(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def refused(sketch: Sketch, output: str, shape: tuple[int, ...], *messages: str) -> None:
    """Each back end refuses, and names the last node."""
    network = sketch.network(output)
    for backend in BACKENDS:
        with accel.using(backend=backend), pytest.raises(accel.ModelError) as caught:
            accel.InferenceSession(network).run(None, {"x0": normal(*shape)})
        for message in (network.nodes[-1].name, *messages):
            assert message in str(caught.value), backend


VIEWS: list[tuple[str, list[np.ndarray], dict[str, Any], str]] = [
    ("Reshape", [i64(1, 5000)], {}, "expected 8 elements, got [1, 5000]"),
    ("Reshape", [i64(-1, -4)], {}, "expected values >= -1"),
    ("Reshape", [i64(1, 2)], {}, "expected 8 elements, got [1, 2]"),
    ("Squeeze", [i64(1)], {}, "expected axes of size 1"),
    ("Unsqueeze", [i64(0, 0)], {}, "distinct"),
    ("Flatten", [], {"axis": 9}, "expected in -2..2, got 9"),
    ("Gemm", [normal(5000, 3)], {}, "expected a matrix that fits A of shape (1, 8)"),
    ("Gemm", [normal(3, 5000)], {"transB": 1}, "expected a matrix that fits A of shape (1, 8)"),
    ("Gemm", [normal(4, 3)], {}, "expected a matrix that fits A of shape (1, 8)"),
    ("Gemm", [normal(8, 3), normal(1, 1, 3)], {}, "[1, 1, 3]"),
    ("Gemm", [normal(8, 3), normal(2, 3)], {}, "[2, 3]"),
    ("MatMul", [normal(5000, 3)], {}, "expected a matrix that fits A of shape (1, 8)"),
]


@pytest.mark.parametrize(("op", "constants", "attributes", "message"), VIEWS)
def test_a_matrix_or_shape_that_does_not_fit_reads_no_foreign_memory(
    op: str, constants: list[np.ndarray], attributes: dict[str, Any], message: str
) -> None:
    s = Sketch()
    x = s.add("Relu", s.input(1, 8))
    refused(s, s.add(op, x, *[s.constant(c) for c in constants], **attributes), (1, 8), op, message)


IMAGES: list[tuple[str, list[np.ndarray], dict[str, Any], str]] = [
    ("Conv", [normal(20, 3, 1, 1), normal(1)], {}, "B: expected shape (20,), got (1,)"),
    ("Conv", [normal(20, 3, 1, 1), normal(1, 20)], {}, "B: expected shape (20,), got (1, 20)"),
    ("Conv", [normal(20, 3, 1, 1), normal(5)], {}, "B: expected shape (20,), got (5,)"),
    ("Conv", [normal(20, 3, 1, 1)], {"kernel_shape": (3, 3)}, "kernel_shape: expected (1, 1) as in W"),
    ("Conv", [normal(20, 3, 1, 1)], {"auto_pad": "FOO"}, "got 'FOO'"),
    ("Conv", [normal(20, 3, 1, 1)], {"pads": (-1, 0, 0, 0)}, "pads: expected values >= 0"),
    ("MaxPool", [], {"kernel_shape": (2, 2), "auto_pad": "FOO"}, "got 'FOO'"),
    ("AveragePool", [], {"kernel_shape": (2, 2), "pads": (-1, 0, 0, 0)}, "pads: expected values >= 0"),
    ("Conv", [normal(20, 3, 1, 1)], {"group": "one"}, "group: expected"),
    ("Conv", [normal(20, 3, 1, 1)], {"pads": 2.5}, "pads: expected"),
    ("AveragePool", [], {"kernel_shape": (2, 2), "strides": 2.5}, "strides: expected"),
    ("ReduceMean", [i64(2, 3)], {"keepdims": "no"}, "keepdims: expected"),
    ("ReduceMean", [np.array(2.5)], {}, "axes: expected"),
    ("Concat", [np.ones((1, 3, 4, 4), np.int64)], {"axis": 1}, "int64"),
    ("Add", [np.array(1)], {}, "int64"),
    ("Conv", [np.ones((20, 3, 1, 1))], {}, "float64"),
    ("Clip", [np.array(0), np.array(1)], {}, "expected float32 like input 0, got int64"),
    ("BatchNormalization", [normal(5)] * 4, {}, "scale: expected one value per channel"),
    ("Split", [i64(50, 60)], {"axis": 1}, "with sum 3"),
    ("Tile", [i64(1, 1, 100_000, 100_000)], {}, "bytes, got shape"),
]


@pytest.mark.parametrize(("op", "constants", "attributes", "message"), IMAGES)
def test_a_layer_that_does_not_fit_is_refused(
    op: str, constants: list[np.ndarray], attributes: dict[str, Any], message: str
) -> None:
    s = Sketch()
    x = s.add("Relu", s.input(1, 3, 4, 4))
    count = 2 if op == "Split" else 1
    output = s.add_many(op, x, *[s.constant(c) for c in constants], count=count, **attributes)[0]
    refused(s, output, (1, 3, 4, 4), op, message)


@pytest.mark.parametrize("scales", [(1, 1, -1, 2), (1, 1, 0, 2), (1, 1, 1e9, 1)])
def test_a_resize_to_a_size_that_cannot_be_is_refused(scales: tuple[float, ...]) -> None:
    s = Sketch()
    x = s.add("Relu", s.input(1, 3, 4, 4))
    refused(s, s.add("Resize", x, "", s.constant(np.array(scales, np.float32))), (1, 3, 4, 4), "Resize")


def test_a_transposed_convolution_that_leaves_nothing_is_refused() -> None:
    s = Sketch()
    x = s.add("Relu", s.input(1, 3, 2, 2))
    refused(s, s.add("ConvTranspose", x, s.weights(3, 4, 1, 1), pads=(3, 3, 3, 3)), (1, 3, 2, 2), "ConvTranspose")


@pytest.mark.parametrize("kernels", [(1, 3), (3, 1)])
def test_parts_of_different_sizes_are_not_joined(kernels: tuple[int, int]) -> None:
    s = Sketch()
    x = s.input(1, 16, 6, 6)
    parts = [s.conv(x, 16, 16, kernel, pad=0) for kernel in kernels]
    refused(s, s.add("Concat", *parts, axis=1), (1, 16, 6, 6), "expected shapes like")


@pytest.mark.parametrize("bounds", [(np.nan, 1.0), (0.0, np.nan)])
@pytest.mark.parametrize("image", [True, False])
def test_a_bound_that_is_nan_gives_nan_on_every_back_end(bounds: tuple[float, float], image: bool) -> None:
    s = Sketch()
    x = s.input(1, 3, 4, 4)
    x = s.conv(x, 3, 5) if image else x
    network = s.network(s.add("Clip", x, *[s.constant(np.array(b, np.float32)) for b in bounds]))
    for backend in BACKENDS:
        with accel.using(backend=backend):
            (y,) = accel.InferenceSession(network).run(None, {"x0": normal(1, 3, 4, 4)})
        assert np.isnan(y).all(), backend


@pytest.mark.skipif(runtime.core is None, reason="plans are made of native kernels")
def test_an_arena_that_cannot_be_had_is_an_error_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(nbytes: int) -> np.ndarray:
        raise MemoryError("std::bad_alloc")

    s = Sketch()
    session = accel.InferenceSession(s.network(s.add("Relu", s.input(1, 8))))
    session.run(None, {"x0": normal(1, 8)})
    session = accel.InferenceSession(session.network)
    monkeypatch.setattr("accel.engine.plan.Workspace.__init__", lambda self, plan: refuse(0))
    with pytest.raises(accel.ModelError, match=r"not enough memory to run with inputs .*: x0 \(1, 8\)"):
        session.run(None, {"x0": normal(1, 8)})
