"""Pruning by magnitude: the smallest weights of a layer become zero."""

from __future__ import annotations

import numpy as np

from accel.kernels import checks


def keep_mask(w: np.ndarray, *, sparsity: float | None = None, quality: float | None = None) -> np.ndarray:
    """Which weights of a layer stay.

    Parameters
    ----------
    w : float32, C-contiguous, finite.
    sparsity : share of weights to remove, in 0..1: round(sparsity * size) of them, zeros that are there included. Of
        weights of equal magnitude all go or none, so that it can be fewer: a binary layer is not pruned by chance.
    quality : remove |w| < quality * std(w) instead, the rule of Deep Compression. Give one of the two.

    Returns
    -------
    bool array of w's shape, False where a weight goes.

    Raises
    ------
    TypeError   w is not a float32 array.
    ValueError  w is not finite; both or none of sparsity and quality; out of range.

    References
    ----------
    .. [1] Han, Pool, Tran, Dally: Learning both weights and connections for efficient neural networks, NeurIPS 2015.
    """
    checks.array("w", w, np.float32)
    if (sparsity is None) == (quality is None):
        raise ValueError("expected either sparsity or quality")
    if not np.isfinite(w).all():
        raise ValueError("w: expected finite values, got NaN or infinity")
    size = np.abs(w)
    if quality is not None:
        if not quality >= 0:
            raise ValueError(f"quality: expected a number >= 0, got {quality}")
        below: np.ndarray = size < quality * float(w.std(dtype=np.float64))
        stays: np.ndarray = ~below & (w != 0)
        return stays
    if sparsity is None or not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity: expected a share in 0..1, got {sparsity}")
    remove = round(sparsity * w.size)
    if remove == w.size:
        return np.zeros(w.shape, np.bool_)
    keep: np.ndarray = (size >= np.partition(size, remove, axis=None)[remove]) & (w != 0)
    return keep


def prune(w: np.ndarray, *, sparsity: float | None = None, quality: float | None = None) -> np.ndarray:
    """`w` with the weights that `keep_mask` removes set to 0.0, as a new array."""
    pruned: np.ndarray = np.where(keep_mask(w, sparsity=sparsity, quality=quality), w, np.float32(0))
    return pruned
