"""Rounding to a codebook that keeps sums: the error of a layer's output, not of its weights, is made small.

A layer's inputs behind a ReLU have a mean, and neighbouring pixels are alike. So errors of single weights that sum to
zero over a kernel, and over an output's whole row, cancel in the output. Nothing but the weights is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel.kernels import checks

BLOCK = 1 << 21
"""Weights rounded together: 16 MB for each of the work arrays."""


@dataclass(frozen=True, slots=True)
class InputModel:
    """What is assumed of a layer's inputs x: E[x x^T] = single * I + kernel * (ones inside a channel) + row * ones.

    The defaults are those of a ReLU of a standard normal variable, mean square 1/2 and squared mean 1/(2 pi), with a
    third of the variance shared by the pixels under one kernel. The result hardly depends on that share: see
    docs/methods/rounding.md.
    """

    single: float = (0.5 - 0.5 / np.pi) * 2 / 3
    kernel: float = (0.5 - 0.5 / np.pi) / 3
    row: float = 0.5 / np.pi


def round_keeping_sums(
    w: np.ndarray, values: np.ndarray, pruned: np.ndarray, model: InputModel | None = None, sweeps: int = 3
) -> np.ndarray:
    """For each weight the index of one of the two codebook values around it, so that output errors are small.

    Minimises, for every output, e^T E[x x^T] e with e = values[index] - w by coordinate descent, weight by weight.

    Parameters
    ----------
    w : float32 (out, channels, taps), finite: the weights before pruning.
    values : float32 (k,), ascending, 1 <= k <= 256.
    pruned : bool (out, channels, taps). These get the index of 0.0, and the others make up for their error.
    sweeps : passes over all weights, at least 1.

    Returns
    -------
    uint8 (out, channels, taps): indices into values.

    Raises
    ------
    TypeError   another dtype.
    ValueError  another shape, values that do not ascend, weights are pruned and 0.0 is not among the values.

    References
    ----------
    .. [1] Guo et al.: SQuant, on-the-fly data-free quantization via diagonal Hessian approximation, ICLR 2022:
       the same structure of the Hessian, for uniform grids and with flips instead of coordinate descent.
    """
    checks.array("w", w, np.float32, 3)
    checks.array("values", values, np.float32, 1)
    checks.array("pruned", pruned, np.bool_, 3)
    checks.integer("sweeps", sweeps, 1)
    if pruned.shape != w.shape:
        raise ValueError(f"pruned: expected shape {w.shape}, got {pruned.shape}")
    if not 1 <= values.size <= 256 or (values[1:] <= values[:-1]).any():
        raise ValueError(f"values: expected 1..256 ascending values, got {checks.describe(values)}")
    if pruned.any() and not (values == 0).any():
        raise ValueError("values: expected 0.0 among them where weights are pruned")
    out = np.empty(w.shape, np.uint8)
    rows = max(1, BLOCK // max(1, w.shape[1] * w.shape[2]))
    for start in range(0, w.shape[0], rows):
        part = slice(start, start + rows)
        out[part] = _round_rows(w[part], values.astype(np.float64), pruned[part], model or InputModel(), sweeps)
    return out


def _round_rows(w: np.ndarray, values: np.ndarray, pruned: np.ndarray, model: InputModel, sweeps: int) -> np.ndarray:
    """Rows are independent: one weight of every row is chosen at a time. Work arrays are (channels * taps, out)."""
    out, channels, taps = w.shape
    target = np.ascontiguousarray(w.reshape(out, -1).T, np.float64)
    low = np.clip(np.searchsorted(values, target, side="right") - 1, 0, None)
    high = np.clip(low + (target > values[0]), None, values.size - 1)
    gone = pruned.reshape(out, -1).T
    zero = int(np.searchsorted(values, 0.0))
    low[gone] = high[gone] = zero
    error_low, error_high = values[low] - target, values[high] - target
    take_high = np.abs(error_high) < np.abs(error_low)
    error = np.where(take_high, error_high, error_low)
    kernel_sum = error.reshape(channels, taps, out).sum(axis=1)
    row_sum = error.sum(axis=0)
    for at in [*range(channels * taps)] * sweeps:
        kernel = kernel_sum[at // taps] - error[at]
        row = row_sum - error[at]
        cost_low, cost_high = (
            model.single * e * e + model.kernel * (kernel + e) ** 2 + model.row * (row + e) ** 2
            for e in (error_low[at], error_high[at])
        )
        take_high[at] = cost_high < cost_low
        error[at] = np.where(take_high[at], error_high[at], error_low[at])
        kernel_sum[at // taps] = kernel + error[at]
        row_sum = row + error[at]
    chosen: np.ndarray = np.where(take_high, high, low).T.reshape(w.shape).astype(np.uint8)
    return chosen
