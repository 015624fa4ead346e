"""Matrix products with product-quantized weights: tables of partial products, then look-ups."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels import program as native
from accel.kernels._row_product import RowProduct
from accel.kernels.codebook import MOST_VALUES


def product_quantized_matmul(
    x: np.ndarray,
    codes: np.ndarray,
    centroids: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """y[..., o] = bias[o] + sum_j t[..., j, codes[o, j]], t[..., j, c] = sum_s centroids[j, c, s] x[..., j size + s].

    That is x W^T + bias for the W whose row o is made of the sub-vectors centroids[j, codes[o, j]].

    Parameters
    ----------
    x : (..., in) float32, C-contiguous, (subs - 1) size < in <= subs size: the last sub-vectors are cut off there.
    codes : (out, subs) uint8, C-contiguous, out and subs >= 1; every code below k.
    centroids : (subs, k, size) float32, C-contiguous, finite, 1 <= k <= 256, size >= 1.
    bias : (out,) float32, optional.
    out : (..., out) float32, optional; must not overlap an input.

    Returns
    -------
    (..., out) float32

    Raises
    ------
    TypeError   an array has another dtype (nothing is converted).
    ValueError  shapes do not fit, a code has no centroid, a centroid is not finite.

    Notes
    -----
    in k multiply-adds and out subs look-ups a row of x, where the dense product has out in. Codes are packed at every
    call; `accel.Linear` packs them once. Error below 4 eps sqrt(in) sum |w| |x|; on the native back end a row has the
    same bits in any batch and on any number of threads.

    References
    ----------
    .. [1] Gong, Liu, Yang, Bourdev: Compressing deep convolutional networks using vector quantization, 2014.
    .. [2] Jegou, Douze, Schmid: Product quantization for nearest neighbor search, IEEE TPAMI 33(1), 2011.
    """
    checks.array("x", x, np.float32)
    check_quantized(codes, centroids)
    subs, _, size = centroids.shape
    if x.ndim == 0 or not (subs - 1) * size < x.shape[-1] <= subs * size:
        raise ValueError(
            f"x: expected shape (..., in) with in in {(subs - 1) * size + 1}..{subs * size}, got {x.shape}"
        )
    if bias is not None and checks.array("bias", bias, np.float32, 1).shape != codes.shape[:1]:
        raise ValueError(f"bias: expected shape ({codes.shape[0]},), got {bias.shape}")
    shape = (*x.shape[:-1], codes.shape[0])
    y = checks.output("out", out, np.float32, shape, x=x, codes=codes, centroids=centroids, bias=bias)
    return PackedProduct(codes, centroids, x.shape[-1], bias)(x, y)


def check_quantized(codes: np.ndarray, centroids: np.ndarray) -> None:
    """Raises TypeError or ValueError unless the arrays are codes and centroids as above."""
    checks.array("codes", codes, np.uint8, 2)
    checks.array("centroids", centroids, np.float32, 3)
    if 0 in codes.shape:
        raise ValueError(f"codes: expected shape (out, subs), both at least 1, got {codes.shape}")
    subs, values, size = centroids.shape
    if subs != codes.shape[1] or size == 0:
        raise ValueError(f"centroids: expected shape ({codes.shape[1]}, k, size), got {centroids.shape}")
    if not 1 <= values <= MOST_VALUES:
        raise ValueError(f"centroids: expected 1..{MOST_VALUES} for each sub-vector, got {values}")
    if not np.isfinite(centroids).all():
        raise ValueError("centroids: expected finite values, got NaN or infinity")
    top = int(codes.max(initial=0))
    if top >= values:
        raise ValueError(f"codes: expected codes below {values}, the number of centroids, got {top}")


class PackedProduct(RowProduct):
    """`product_quantized_matmul` with weights that are packed once, and a program ready for each number of rows.

    The arrays are those that `check_quantized` has seen; `depth` is the number of inputs.
    """

    def __init__(self, codes: np.ndarray, centroids: np.ndarray, depth: int, bias: np.ndarray | None) -> None:
        super().__init__(depth)
        self.codes, self.centroids, self.depth, self._bias = codes, centroids, depth, bias
        self._native: Any = None

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        y = runtime.empty((*x.shape[:-1], self.codes.shape[0]), np.float32) if out is None else out
        if y.size == 0:
            return y
        if native.native():
            self._run(x, y)
        else:
            self._add_tables(x.reshape(-1, self.depth), y.reshape(-1, y.shape[-1]))
        return y

    def packed(self) -> Any:
        """The weights as the native kernels read them; it has `out`, `depth`, `scratch_floats` and `nbytes`."""
        if self._native is None:
            self._native = pack_product(self.codes, self.centroids, self.depth)
        return self._native

    def _add(self, program: Any, rows: int, x: Any, y: Any, scratch: Any, threads: int) -> int:
        packed = self.packed()
        bias = native.pack_bias(self._bias, packed.out)
        program.product(packed, rows, native.activation(None), x, y, scratch, bias)
        return int(packed.scratch_floats)

    def _add_tables(self, x: np.ndarray, y: np.ndarray) -> None:
        subs, _, size = self.centroids.shape
        filled = np.zeros((len(x), subs * size), np.float32)
        filled[:, : self.depth] = x
        used = np.zeros(subs * size, np.bool_)
        used[: self.depth] = True  # what is beyond must not make NaN of infinity
        centroids = np.where(used.reshape(subs, 1, size), self.centroids, np.float32(0))
        bias = np.zeros(y.shape[1], np.float32) if self._bias is None else self._bias
        with np.errstate(over="ignore", invalid="ignore"):
            for row, result in zip(filled, y, strict=True):
                tables = np.einsum("jcs,js->jc", centroids, row.reshape(subs, size))
                self._look_up(tables, bias, result)

    def _look_up(self, tables: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
        if runtime.backend() == "numba":
            from accel.kernels.codebook_numba import add_looked_up

            add_looked_up(tables, self.codes, bias, y)
        else:
            y[:] = bias + np.take_along_axis(tables, self.codes.T.astype(np.intp), 1).sum(0, dtype=np.float64)


def pack_product(codes: np.ndarray, centroids: np.ndarray, depth: int) -> Any:
    """The weights as the native kernels read them: codes of four bits for up to 16 centroids, else of eight."""
    return runtime.core.pack_product(codes, centroids, depth, runtime.threads())
