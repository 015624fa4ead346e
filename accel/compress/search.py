"""How many values each layer's codebook gets: the least total error for a number of bits, or the reverse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accel.kernels.kmeans import kmeans_1d

LEVELS = (4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 256)
SAMPLE = 4096
"""Weights of a layer that its candidates are measured on. The chosen codebook is fitted to all of them."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A codebook of `levels` values for one layer: its bits in a file, and its error relative to the weights."""

    levels: int
    bits: float
    error: float


def candidates(w: np.ndarray, keep: np.ndarray, rng: np.random.Generator) -> list[Candidate]:
    """What codebooks of different size would cost one layer, by the entropy of the codes.

    Parameters
    ----------
    w, keep : the weights, and which of them are not pruned.
    rng : picks the sample.
    """
    values = w[keep]
    kept = values.size
    if kept > SAMPLE:
        values = rng.choice(values, SAMPLE, replace=False)
    energy = float(np.square(w, dtype=np.float64).sum()) or 1.0
    pruned_error = float(np.square(w[~keep], dtype=np.float64).sum()) / energy
    position_bits = w.size * _entropy(np.array([kept, w.size - kept]))
    zero = int(kept < w.size)
    found = []
    for levels in LEVELS:
        centroids, codes = kmeans_1d(values, levels - zero)
        error = float(np.square(values - centroids[codes], dtype=np.float64).mean()) * kept if kept else 0.0
        bits = kept * _entropy(np.bincount(codes)) + position_bits + 32 * levels
        found.append(Candidate(levels, bits, error / energy + pruned_error))
        if centroids.size < levels - zero:
            break  # every distinct value has its own entry: more entries change nothing
    return found


def choose(layers: Mapping[str, Sequence[Candidate]], importance: Mapping[str, float], bits: float) -> dict[str, int]:
    """Levels per layer with the least sum of importance * error that fits into `bits` in total.

    Every layer takes the candidate with the least importance * error + price * bits, for the lowest price at which
    all fit (bisection). With more bits than all candidates can use, every layer gets its best; with fewer than the
    cheapest need, its cheapest.
    """
    low, high = 1e-15, 1e3  # from "bits are free" to "errors do not matter"
    for _ in range(60):
        price = float(np.sqrt(low * high))
        if sum(candidate.bits for candidate in _at_price(layers, importance, price).values()) > bits:
            low = price
        else:
            high = price
    return {name: candidate.levels for name, candidate in _at_price(layers, importance, high).items()}


def _at_price(
    layers: Mapping[str, Sequence[Candidate]], importance: Mapping[str, float], price: float
) -> dict[str, Candidate]:
    return {
        name: min(found, key=lambda candidate: importance[name] * candidate.error + price * candidate.bits)
        for name, found in layers.items()
    }


def _entropy(counts: np.ndarray) -> float:
    """Bits per symbol of an ideal code for symbols with these counts."""
    share = counts[counts > 0] / max(1, counts.sum())
    return float(-(share * np.log2(share)).sum())
