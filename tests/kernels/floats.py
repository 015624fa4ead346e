"""What the tests of the float kernels share: implementations, inputs, geometries and the error bound."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

import accel
from accel.kernels import runtime
from accel.reference import conv as reference

EPS = float(np.finfo(np.float32).eps)
IMPLEMENTATIONS = [
    *(f"native-{isa}" for isa in runtime.isa_info()["supported"]),
    *(name for name in ("numba", "numpy") if name in runtime.isa_info()["backends"]),
]


def using(implementation: str, threads: int | None = None) -> AbstractContextManager[None]:
    backend, _, isa = implementation.partition("-")
    return accel.using(backend=backend, isa=isa or None, threads=threads)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def assert_same_bits(a: np.ndarray, b: np.ndarray) -> None:
    assert a.shape == b.shape and a.dtype == b.dtype
    assert a.tobytes() == b.tobytes()


class Convolution(NamedTuple):
    """A convolution to try: channels in and out, the image, and the geometry."""

    channels: int = 16
    out: int = 16
    size: tuple[int, int] = (7, 5)
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilations: tuple[int, int] = (1, 1)
    group: int = 1
    images: int = 2
    bias: bool = True

    @property
    def geometry(self) -> dict[str, Any]:
        return {"strides": self.strides, "pads": self.pads, "dilations": self.dilations, "group": self.group}

    @property
    def fits(self) -> bool:
        size, kernel, dilations = self.size, self.kernel, self.dilations
        return all(size[i] + self.pads[i] + self.pads[2 + i] > dilations[i] * (kernel[i] - 1) for i in (0, 1))

    def arrays(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        x = normal(self.images, self.channels, *self.size, seed=seed)
        w = normal(self.out, self.channels // self.group, *self.kernel, seed=seed + 1)
        return x, w, normal(self.out, seed=seed + 2) if self.bias else None


def conv_error(y: np.ndarray, case: Convolution, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None) -> float:
    """The largest error in units of eps sqrt(K) (|bias| + sum |w| |x|), K = C/group kh kw. The kernels promise 4."""
    expected = reference.conv2d(x, w, bias, **case.geometry)
    assert y.shape == expected.shape and y.dtype == np.float32 and y.flags.c_contiguous
    if y.size == 0:
        return 0.0
    scale = reference.conv2d(np.abs(x), np.abs(w), None if bias is None else np.abs(bias), **case.geometry)
    unit = EPS * np.sqrt(w[0].size) * scale
    return float((np.abs(y - expected) / np.where(unit > 0, unit, EPS)).max())
