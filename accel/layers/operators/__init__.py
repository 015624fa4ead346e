"""Every ONNX operator accel runs, as functions over NumPy arrays: the engine's fall-back and its constant folder."""

from accel.layers.operators.registry import Operator, operator, registry

__all__ = ["Operator", "operator", "registry"]
