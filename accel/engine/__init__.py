"""The inference engine."""

from accel.engine.session import InferenceSession, NodeArg

__all__ = ["InferenceSession", "NodeArg"]
