"""BinaryConnect: real activations times +-1 weights of one bit. Public through accel.kernels.binary."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels._binary_bits import backend, packed


class SignWeights:
    """Weights of one bit for `sign_linear`, packed once: 1/32 of float32's bytes are read by a product.

    Parameters
    ----------
    bits : (out, ceil(n / 64)) uint64, from `pack_bits`.
    n : columns, at least 1.
    scale : (out,) float32, optional: of each row.

    Raises
    ------
    TypeError   an array has another dtype. ValueError  shapes do not fit, or bits after the first n are set.
    """

    def __init__(self, bits: np.ndarray, n: int, scale: np.ndarray | None = None) -> None:
        self.columns = checks.integer("n", n, 1)
        self.bits = packed("bits", bits, self.columns, 2)
        if scale is not None and checks.array("scale", scale, np.float32, 1).shape != bits.shape[:1]:
            raise ValueError(f"scale: expected shape ({bits.shape[0]},), got {scale.shape}")
        self.rows, self.scale = bits.shape[0], scale
        self._matrix: Any = None

    def native(self) -> Any:
        """The matrix as `Program.sign_linear` takes it, for every instruction set; made once."""
        if self._matrix is None:
            self._matrix = runtime.core.SignMatrix(self.bits, self.columns)
        return self._matrix

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.bits.nbytes + (0 if self.scale is None else self.scale.nbytes)


def sign_linear(
    x: np.ndarray, weights: SignWeights, bias: np.ndarray | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """y[..., o] = scale[o] sum_i s[o, i] x[..., i] + bias[o], s of +-1.

    Parameters
    ----------
    x : (..., n) float32, C-contiguous.
    weights : of n columns.
    bias : (out,) float32, optional.
    out : (..., out) float32, optional; must not overlap x or bias.

    Returns
    -------
    (..., out) float32

    Raises
    ------
    TypeError   an array is not float32, or weights not a SignWeights. ValueError  shapes do not fit, or out overlaps.

    Notes
    -----
    Error against float64 below 4 eps sqrt(n) (|bias| + |scale| sum |x|). A row of x has the same result in any batch
    and on any number of threads.
    """
    checks.array("x", x, np.float32)
    if not isinstance(weights, SignWeights):
        raise TypeError(f"weights: expected SignWeights, got {checks.describe(weights)}")
    if x.ndim == 0 or x.shape[-1] != weights.columns:
        raise ValueError(f"x: expected shape (..., {weights.columns}), got {x.shape}")
    if bias is not None and checks.array("bias", bias, np.float32, 1).shape != (weights.rows,):
        raise ValueError(f"bias: expected shape ({weights.rows},), got {bias.shape}")
    y = checks.output("out", out, np.float32, (*x.shape[:-1], weights.rows), x=x, bias=bias)
    if y.size:
        backend().sign_linear(x.reshape(-1, weights.columns), weights, bias, y.reshape(-1, weights.rows))
    return y
