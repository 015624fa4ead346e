"""accel: compressed neural networks that really run faster on a CPU.

    net = accel.load("model.onnx")
    small = accel.compress(net, "deep-compression")
    small.save("model.accel")
    out = accel.InferenceSession("model.accel", threads=1).run(None, {"input": x})

Heavier parts are imported when first named, so that importing accel costs little more than importing NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from accel import errors, kernels
from accel.errors import (
    AccelError,
    FormatError,
    MissingExtraError,
    ModelError,
    RecipeError,
    UnsupportedError,
)
from accel.kernels.runtime import isa_info, keep_memory, using

if TYPE_CHECKING:
    from accel import weights
    from accel.compress.api import compress
    from accel.engine import InferenceSession
    from accel.graph import load
    from accel.graph.network import Network
    from accel.layers import Conv2d, Linear

__version__ = "0.1.0"

_HOMES = {
    "InferenceSession": "accel.engine",
    "Network": "accel.graph.network",
    "Conv2d": "accel.layers",
    "Linear": "accel.layers",
    "load": "accel.graph",
}
_SUBPACKAGES = ("compress", "engine", "formats", "graph", "integrations", "layers", "metrics", "reference", "weights")

__all__ = [
    "AccelError",
    "Conv2d",
    "FormatError",
    "InferenceSession",
    "Linear",
    "MissingExtraError",
    "ModelError",
    "Network",
    "RecipeError",
    "UnsupportedError",
    "__version__",
    "compress",
    "errors",
    "isa_info",
    "keep_memory",
    "kernels",
    "load",
    "metrics",
    "using",
    "weights",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _SUBPACKAGES:
        value = importlib.import_module(f"accel.{name}")
    else:
        raise AttributeError(f"module 'accel' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_SUBPACKAGES})
