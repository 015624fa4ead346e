"""The official ONNX backend suite over accel, held against a committed list of the cases that pass.

The list, onnx_backend_pass.txt, only grows. After more cases pass, add them with

    ACCEL_UPDATE_PASS_LIST=1 python -m pytest tests/integrations/test_onnx_backend.py
"""

from __future__ import annotations

import os
import re
import unittest
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the official suite is part of the package onnx")

from onnx import TensorProto, helper  # noqa: E402
from onnx.backend.test import BackendTest  # noqa: E402

from accel.errors import ModelError, UnsupportedError  # noqa: E402
from accel.integrations import onnx_backend  # noqa: E402

PASS_LIST = Path(__file__).with_name("onnx_backend_pass.txt")
UPDATE = "ACCEL_UPDATE_PASS_LIST"


@dataclass
class Outcome(unittest.TestResult):
    """What became of each CPU case, by '<category> <name>'."""

    passed: set[str] = field(default_factory=set)
    skipped_because: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    @staticmethod
    def _case(test: unittest.TestCase) -> str:
        *_, category, name = test.id().split(".")
        return f"{re.sub('^OnnxBackend|ModelTest$', '', category)} {name}".removesuffix("_cpu")

    def addSuccess(self, test):
        self.passed.add(self._case(test))

    def addSkip(self, test, reason):
        self.skipped_because[self._case(test)] = reason

    def addFailure(self, test, error):
        self.failed[self._case(test)] = f"{error[0].__name__}: {' '.join(str(error[1]).split())[:200]}"

    addError = addFailure


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> Outcome:
    """The whole suite, run once."""
    result = Outcome()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite's own generators overflow on purpose
        patch.setenv("ONNX_HOME", str(tmp_path_factory.mktemp("onnx")))
        patch.delenv("ONNX_MODELS", raising=False)
        BackendTest(onnx_backend.AccelBackend, __name__).test_suite.run(result)
    return result


def _listed() -> list[str]:
    return PASS_LIST.read_text().splitlines()


def test_every_listed_case_still_passes(outcome):
    if os.environ.get(UPDATE):
        PASS_LIST.write_text("".join(f"{case}\n" for case in sorted(outcome.passed | set(_listed()))))
    listed = set(_listed())
    assert len(outcome.passed & listed) >= 1300  # also with an onnx that lacks some of the cases
    lost = [
        f"{case}: {why}"
        for case, why in {**outcome.skipped_because, **outcome.failed}.items()
        if case in listed and not case.endswith("_cuda")
    ]
    assert not lost, f"{len(lost)} cases of {PASS_LIST.name} no longer pass:\n" + "\n".join(lost)


def test_cases_that_are_not_on_the_list_are_told(outcome):
    new = sorted(outcome.passed - set(_listed()))
    if new:
        warnings.warn(f"set {UPDATE}=1 to add to {PASS_LIST.name}: {', '.join(new)}", stacklevel=1)


def test_the_list_is_sorted_and_free_of_repetition():
    assert _listed() == sorted(set(_listed()))


KNOWN_FAILURES = {
    "Node test_attention_4d_causal_fp16_expanded": "made with a Softmax in float16; ours sums in float32",
}


def test_what_is_not_supported_says_so(outcome):
    """A case may be skipped as not supported; none may give wrong numbers or an error of another kind."""
    assert set(outcome.failed) <= set(KNOWN_FAILURES), outcome.failed
    assert not set(KNOWN_FAILURES) & set(_listed())


def test_no_case_counts_as_passed_by_the_exception_that_the_suite_swallows(outcome):
    sequences = [case for case in outcome.skipped_because if "sequence" in case]
    assert sequences and not any(case in outcome.passed for case in sequences)


def _relu_model(opset: int = 21) -> onnx.ModelProto:
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", info[:1], info[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


X = np.array([[-1.0, 0.0, 2.0]], np.float32)


@pytest.mark.parametrize("inputs", [[X], (X,), X, {"x": X}], ids=["list", "tuple", "array", "mapping"])
def test_run_takes_inputs_in_order_by_name_or_alone(inputs):
    (y,) = onnx_backend.prepare(_relu_model(), threads=1).run(inputs)
    assert np.array_equal(y, [[0.0, 0.0, 2.0]])


def test_run_model_prepares_and_runs():
    (y,) = onnx_backend.run_model(_relu_model(), [X])
    assert np.array_equal(y, [[0.0, 0.0, 2.0]])


@pytest.mark.parametrize("options", [{}, {"opset_version": 13}])
def test_run_node_infers_what_the_node_makes(options):
    node = helper.make_node("Concat", ["a", "b"], ["y"], axis=1)
    (y,) = onnx_backend.run_node(node, [X, X], **options)
    assert y.shape == (1, 6) and y.dtype == np.float32


def test_run_node_counts_only_the_inputs_that_are_there():
    node = helper.make_node("Clip", ["x", "", "high"], ["y"])
    (y,) = onnx_backend.run_node(node, [X, np.array(1, np.float32)])
    assert np.array_equal(y, [[-1.0, 0.0, 1.0]])
    with pytest.raises(ModelError, match=r"inputs: expected 2 \(x, high\), got 1"):
        onnx_backend.run_node(node, [X])


def test_a_node_that_makes_no_sense_is_a_model_error():
    with pytest.raises(ModelError, match="Concat"):
        onnx_backend.run_node(helper.make_node("Concat", ["a", "b"], ["y"], axis=9), [X, X])


@pytest.mark.parametrize(("device", "supported"), [("CPU", True), ("CPU:0", True), ("CUDA", False), ("XPU", False)])
def test_devices(device, supported):
    assert onnx_backend.supports_device(device) is supported
    assert onnx_backend.is_compatible(_relu_model(), device) is supported


def _foreign_model() -> onnx.ModelProto:
    model = _relu_model()
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


def test_what_is_not_supported_is_a_skip_and_our_error():
    assert not onnx_backend.is_compatible(_foreign_model())
    for kind in (unittest.SkipTest, UnsupportedError, onnx_backend.NotSupported):
        with pytest.raises(kind, match="Relu"):
            onnx_backend.prepare(_foreign_model())
    with pytest.raises(onnx_backend.NotSupported, match="device: expected CPU, got 'CUDA'"):
        onnx_backend.prepare(_relu_model(), "CUDA")


def test_wrong_inputs_are_named():
    rep = onnx_backend.prepare(_relu_model())
    with pytest.raises(ModelError, match=r"inputs: expected 1 \(x\), got 2"):
        rep.run([X, X])
    with pytest.raises(onnx_backend.NotSupported, match="x: expected an array, got list"):
        rep.run([[1.0, 2.0]])
    with pytest.raises(TypeError, match="run: expected no further options, got speed"):
        rep.run([X], speed=9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("constant", [False, True])
def test_what_the_engine_fuses_without_a_kernel_of_its_own_still_runs(constant, rank, dtype):
    """Conv + Add + Relu for any number of axes, type, and weights that come as an input."""
    x, w = np.ones((1, 2, *[5] * rank), dtype), -np.ones((3, 2, *[3] * rank), dtype)
    other = np.full((1, 3, *[3] * rank), 2.0 * 3**rank + 1, dtype)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = {"x": x, "other": other} if constant else {"x": x, "other": other, "w": w}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Add", ["c", "other"], ["s"]),
        helper.make_node("Relu", ["s"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(name, kind, array.shape) for name, array in values.items()],
        [helper.make_tensor_value_info("y", kind, other.shape)],
        [onnx.numpy_helper.from_array(w, "w")] if constant else [],
    )  # fmt: skip
    (y,) = onnx_backend.run_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), values)
    assert y.dtype == dtype and np.array_equal(y, np.ones_like(other))
