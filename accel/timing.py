"""Timing of several implementations side by side in one process, so that what disturbs one disturbs all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

MIN_ROUNDS, WARM_UP = 5, 2


@dataclass(frozen=True)
class Timing:
    """Seconds per call: median, quartiles, fastest, and how many calls were timed."""

    median: float
    lower: float
    upper: float
    fastest: float
    rounds: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def alternate(calls: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, np.ndarray]:
    """Seconds of each call, one row of every implementation per round, the order reversed from round to round.

    Runs at least `MIN_ROUNDS` rounds, then until `seconds` have passed; `WARM_UP` rounds before are not counted.
    """
    for _ in range(WARM_UP):
        for call in calls.values():
            call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    order, end = list(calls), time.perf_counter() + seconds
    while len(taken[order[0]]) < MIN_ROUNDS or time.perf_counter() < end:
        for name in order:
            start = time.perf_counter()
            calls[name]()
            taken[name].append(time.perf_counter() - start)
        order.reverse()
    return {name: np.array(times) for name, times in taken.items()}


def summary(times: np.ndarray) -> Timing:
    """Median and quartiles of one row of times."""
    lower, median, upper = np.percentile(times, (25, 50, 75))
    return Timing(float(median), float(lower), float(upper), float(times.min()), len(times))


def ratio(peer: np.ndarray, ours: np.ndarray, resamples: int = 1000) -> tuple[float, float, float]:
    """Median peer time over median of ours (above 1: we are faster), and its 95 % interval by paired bootstrap."""
    picks = np.random.default_rng(0).integers(0, len(ours), (resamples, len(ours)))
    ratios = np.median(peer[picks], axis=1) / np.median(ours[picks], axis=1)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return float(np.median(peer) / np.median(ours)), float(low), float(high)
