"""Run a network on calibration data, and say how good its answers are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel.errors import RecipeError
from accel.graph.network import Network
from accel.kernels.checks import describe

BATCH = 64
Runner = Callable[[Network, Mapping[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Calibration:
    """Inputs by name, all with the same number of samples along axis 0, and a label for each sample if known."""

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None

    @property
    def samples(self) -> int:
        return int(next(iter(self.inputs.values())).shape[0])

    def first(self, count: int) -> Calibration:
        """The first `count` samples."""
        labels = None if self.labels is None else self.labels[:count]
        return Calibration({name: array[:count] for name, array in self.inputs.items()}, labels)


def calibration(data: Any, network: Network) -> Calibration:
    """`data` as the user gives it: inputs or (inputs, labels); inputs an array for the only input, or arrays by name.

    Raises RecipeError when it does not fit the network.
    """
    inputs, labels = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    if isinstance(inputs, np.ndarray) and len(network.inputs) == 1:
        inputs = {network.inputs[0].name: inputs}
    expected = [value.name for value in network.inputs]
    if not isinstance(inputs, Mapping) or set(inputs) != set(expected):
        raise RecipeError(f"data: expected arrays for the inputs {', '.join(expected)}, got {describe(inputs)}")
    arrays = {name: np.ascontiguousarray(inputs[name]) for name in expected}
    counts = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    if len(counts) != 1 or 0 in counts:
        raise RecipeError(f"data: expected the same number of samples for every input, at least 1, got {counts}")
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (counts.pop(),) or labels.dtype.kind not in "iu":
            raise RecipeError(f"data: expected one integer label for each sample, got {describe(labels)}")
    return Calibration(arrays, labels)


def outputs(network: Network, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The first output for all samples, run in batches; one by one where the network has a fixed batch of 1."""
    from accel.engine.session import InferenceSession

    session = InferenceSession(network)
    fixed = [value.shape[0] for value in network.inputs if value.shape and isinstance(value.shape[0], int)]
    batch = min([BATCH, *fixed])
    samples = next(iter(inputs.values())).shape[0]
    parts = []
    for start in range(0, samples - samples % batch if fixed else samples, batch):
        feed = {name: np.ascontiguousarray(array[start : start + batch]) for name, array in inputs.items()}
        parts.append(session.run(None, feed)[0])
    return np.concatenate(parts)


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Top-1 accuracy in per cent; scores (samples, ..., classes) with one score per class on the last axis."""
    chosen = scores.reshape(scores.shape[0], -1).argmax(axis=1)
    return 100.0 * float(np.mean(chosen == labels[: chosen.size]))


def relative_error(scores: np.ndarray, reference: np.ndarray) -> float:
    """Mean squared difference over the mean square of the reference."""
    reference = reference.astype(np.float64)
    energy = float(np.square(reference).mean())
    return float(np.square(scores - reference).mean()) / energy if energy else 0.0
