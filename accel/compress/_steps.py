"""Go through the layers and report each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from accel.compress.progress import Callback, Event
from accel.compress.targets import Layer

T = TypeVar("T")


def each(stage: str, layers: Sequence[Layer], work: Callable[[Layer], tuple[T, str]], report: Callback) -> dict[str, T]:
    """`work` on every layer, which gives a result and a note on it; results by the layer's name."""
    results: dict[str, T] = {}
    for at, layer in enumerate(layers):
        start = time.perf_counter()
        results[layer.name], note = work(layer)
        report(Event(stage, layer.name, at + 1, len(layers), time.perf_counter() - start, note))
    return results
