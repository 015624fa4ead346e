"""Arrays to feed a network: checked against what it takes, or made up at random."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from accel.cli.data import load_arrays, shape_text
from accel.graph.network import Network, Value


def read_inputs(network: Network, path: Path) -> dict[str, np.ndarray]:
    """The arrays of the file by input name; an unnamed array goes to the only input.

    Raises ValueError when they are not what the network takes.
    """
    arrays = load_arrays(path)
    if "" in arrays and len(network.inputs) == 1:
        arrays = {network.inputs[0].name: arrays[""]}
    expected = {value.name for value in network.inputs}
    if set(arrays) != expected:
        got = ", ".join(name or "one unnamed array" for name in arrays) or "none"
        raise ValueError(f"{path}: expected arrays for the inputs {', '.join(sorted(expected))}, got {got}")
    for value in network.inputs:
        check_input(value, arrays[value.name])
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def check_input(value: Value, array: np.ndarray) -> None:
    """ValueError unless the array has the dtype and shape that the input declares."""
    fits = value.shape is None or (
        array.ndim == len(value.shape)
        and all(not isinstance(dim, int) or dim == size for dim, size in zip(value.shape, array.shape, strict=True))
    )
    if array.dtype != value.dtype or not fits:
        raise ValueError(
            f"input {value.name}: expected {value.dtype} of shape {shape_text(value.shape)}, "
            f"got {array.dtype} of shape {shape_text(array.shape)}"
        )


def random_inputs(network: Network, batch: int, sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Standard normal floats, or integers 0..9, for every input.

    The first free dimension of an input is the batch; any other free one must be in `sizes`, by its name or by
    `input.axis`.
    """
    rng = np.random.default_rng(seed)
    feeds = {}
    for value in network.inputs:
        shape = _shape(value, batch, sizes)
        if value.dtype.kind == "f":
            feeds[value.name] = rng.standard_normal(shape, np.float32).astype(value.dtype)
        else:
            feeds[value.name] = rng.integers(0, 10 if value.dtype != bool else 2, shape).astype(value.dtype)
    return feeds


def _shape(value: Value, batch: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    if value.shape is None:
        raise ValueError(f"input {value.name}: its rank is unknown, so no input can be made up")
    shape = []
    for axis, dim in enumerate(value.shape):
        keys = [f"{value.name}.{axis}", str(dim)]
        given = next((sizes[key] for key in keys if key in sizes), None)
        if isinstance(dim, int):
            shape.append(dim)
        elif given is not None:
            shape.append(given)
        elif axis == 0:
            shape.append(batch)
        else:
            free = dim if isinstance(dim, str) else keys[0]
            raise ValueError(
                f"input {value.name}: axis {axis} of {shape_text(value.shape)} is free; give --size {free}=SIZE"
            )
    return tuple(shape)


def parse_sizes(options: list[str]) -> dict[str, int]:
    """NAME=SIZE options as a dict."""
    sizes = {}
    for option in options:
        name, _, size = option.rpartition("=")
        digits = size.isascii() and size.isdigit() and len(size) <= 10
        if not name or not digits or not 0 < int(size) < 2**31:
            raise ValueError(f"--size: expected NAME=SIZE with a positive integer, got {option!r:.60}")
        sizes[name] = int(size)
    return sizes
