"""The official `onnx.backend` interface: accel where a tool expects any ONNX runtime.

    import accel.integrations.onnx_backend as backend
    outputs = backend.prepare(model).run([x])

The functions of this module are those of `onnx.backend.base.Backend`, as in `onnxruntime.backend`. The official test
suite (`onnx.backend.test`) runs over it in tests/integrations/test_onnx_backend.py.
"""

from __future__ import annotations

import unittest
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from accel.engine import InferenceSession
from accel.errors import ModelError, UnsupportedError, missing_extra
from accel.graph import load

try:
    import onnx
    from onnx.backend.base import Backend, BackendRep, Device, DeviceType
except ImportError as error:
    raise missing_extra("onnx", "onnx", "accel.integrations.onnx_backend") from error

__all__ = ["AccelBackend", "AccelBackendRep", "NotSupported", "is_compatible", "prepare", "run_model", "run_node",
           "supports_device"]  # fmt: skip


class NotSupported(UnsupportedError, unittest.SkipTest):
    """A model that accel does not run.

    Also a SkipTest: the official suite counts `BackendIsNotSupposedToImplementIt`, its own exception, as a pass.
    """


class AccelBackendRep(BackendRep):  # type: ignore[misc]  # onnx has no types
    """A model ready to run."""

    def __init__(self, session: InferenceSession) -> None:
        self.session = session

    def run(self, inputs: Any, **kwargs: Any) -> tuple[np.ndarray, ...]:
        """Run the model once.

        Parameters
        ----------
        inputs : the arrays in the order of the model's inputs, a mapping by name, or the one array of a single input.

        Returns
        -------
        tuple of ndarray
            The outputs in the model's order.

        Raises
        ------
        ModelError    the number of inputs is wrong, or they do not fit the model.
        NotSupported  an input is no tensor (a sequence, an optional), or the run meets what accel does not do.
        """
        if kwargs:
            raise TypeError(f"run: expected no further options, got {', '.join(kwargs)}")
        try:
            return tuple(self.session.run(None, self._feeds(inputs)))
        except UnsupportedError as error:
            raise NotSupported(str(error)) from error

    def _feeds(self, inputs: Any) -> dict[str, np.ndarray]:
        if isinstance(inputs, Mapping):
            return {name: _tensor(name, value) for name, value in inputs.items()}
        values = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        names = [value.name for value in self.session.get_inputs()]
        if len(values) != len(names):
            raise ModelError(f"inputs: expected {len(names)} ({', '.join(names)}), got {len(values)}")
        return {name: _tensor(name, value) for name, value in zip(names, values, strict=True)}


def _tensor(name: str, value: Any) -> np.ndarray:
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value)
    raise NotSupported(f"{name}: expected an array, got {type(value).__name__}; accel runs tensors only")


class AccelBackend(Backend):  # type: ignore[misc]  # onnx has no types
    """`onnx.backend.base.Backend` over `accel.load` and `accel.InferenceSession`."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether accel runs this model on this device."""
        if not cls.supports_device(device):
            return False
        try:
            load(model)
        except UnsupportedError:
            return False
        return True

    @classmethod
    def prepare(
        cls, model: onnx.ModelProto, device: str = "CPU", *, threads: int | None = None, **kwargs: Any
    ) -> AccelBackendRep:
        """The model ready to run many times; `threads` as in InferenceSession.

        Raises NotSupported for an operator, type or device accel lacks, ModelError for an invalid model.
        """
        if not cls.supports_device(device):
            raise NotSupported(f"device: expected CPU, got {device!r}")
        try:
            return AccelBackendRep(InferenceSession(load(model), threads=threads))
        except UnsupportedError as error:
            raise NotSupported(str(error)) from error

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Sequence[np.ndarray],
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype[Any], tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[np.ndarray, ...]:
        """Run one node; `opset_version` says which opset it is of, the newest by default."""
        opset = int(kwargs.pop("opset_version", onnx.defs.onnx_opset_version()))
        return cls.prepare(_model_of(node, inputs, opset), device, **kwargs).run(list(inputs))

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether this is a CPU."""
        try:
            return bool(Device(device).type == DeviceType.CPU)
        except (AttributeError, ValueError):
            return False


def _model_of(node: onnx.NodeProto, inputs: Sequence[np.ndarray], opset: int) -> onnx.ModelProto:
    """A model of one node whose inputs have the types and shapes of these arrays."""
    names = [name for name in node.input if name]
    if len(names) != len(inputs):
        raise ModelError(f"inputs: expected {len(names)} ({', '.join(names)}), got {len(inputs)}")
    arrays = dict(zip(names, map(np.asarray, inputs), strict=True))
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = onnx.helper.make_graph([node], node.op_type, infos, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, opset)])
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"{node.op_type}: {error}") from error


is_compatible = AccelBackend.is_compatible
prepare = AccelBackend.prepare
run_model = AccelBackend.run_model
run_node = AccelBackend.run_node
supports_device = AccelBackend.supports_device
