"""Reader of the original Deep Compression artefact: SqueezeNet's .net file, onto a network with the same layers.

Specified in docs/formats/deep_compression.md. There is no magic, no shape and no checksum in the format: the network
says how many layers there are and how large, and everything must fit it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

import numpy as np

from accel.errors import FormatError
from accel.formats.files import Source, read_bytes
from accel.formats.limits import DEFAULT, Limits
from accel.kernels.gaps import gaps_decode
from accel.weights.base import Weight
from accel.weights.codebook import Codebook

VALUES = 256
"""Entries of every codebook in the format."""


class _Network(Protocol):
    """What the reader needs of accel.graph.network.Network, which formats may not import."""

    constants: dict[str, Any]

    def weights(self) -> Iterator[tuple[Any, str, np.ndarray | Weight]]: ...

    def with_constants(self, changed: dict[str, Any]) -> Any: ...


N = TypeVar("N", bound=_Network)


def read(source: Source, network: N, limits: Limits = DEFAULT) -> N:
    """`network` with the weights and biases of its Conv layers taken from a Deep Compression file.

    Parameters
    ----------
    source : path or bytes of the .net file.
    network : its Conv layers, in order, have the shapes of the file's layers, each with a bias.

    Returns
    -------
    A network whose Conv weights are `Codebook`s with the codes and codebooks of the file, bit by bit.

    Raises
    ------
    OSError      the file cannot be opened or read.
    FormatError  the file does not fit the network, is truncated, damaged, or has trailing bytes.
    """
    reader = _Reader(read_bytes(source, limits))
    layers = list(_conv_layers(network))
    entries = reader.take(np.dtype("<u4"), len(layers), "entry counts")
    changed: dict[str, Any] = {}
    for (weight, shape, bias), count in zip(layers, entries.tolist(), strict=True):
        changed[weight], changed[bias] = _layer(reader, weight, shape, count)
    if reader.rest:
        raise FormatError(f"trailing bytes: {reader.rest} after the last layer")
    changed_network: N = network.with_constants(changed)
    return changed_network


def _conv_layers(network: _Network) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """(weight name, shape, bias name) of every Conv layer."""
    for node, name, weight in network.weights():
        if node.op != "Conv":
            continue
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        if bias not in network.constants or network.constants[bias].shape != weight.shape[:1]:
            raise FormatError(f"network: the format has a bias for every layer, {node} has no constant one")
        yield name, weight.shape, bias


def _layer(reader: _Reader, name: str, shape: tuple[int, ...], count: int) -> tuple[Codebook, np.ndarray]:
    """One layer: codebook, bias, codes, 4-bit gaps."""
    size = int(np.prod(shape))
    codebook = reader.take(np.dtype("<f4"), VALUES, f"codebook of {name}")
    bias = reader.take(np.dtype("<f4"), shape[0], f"bias of {name}")
    values = reader.take(np.dtype(np.uint8), count, f"codes of {name}")
    packed = reader.take(np.dtype(np.uint8), (count + 1) // 2, f"gaps of {name}")
    if codebook[0] != 0 or not np.isfinite(codebook).all() or not np.isfinite(bias).all():
        raise FormatError(f"{name}: expected finite numbers and 0.0 as entry 0 of the codebook, fillers stand for it")
    gaps = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)
    if gaps[count:].any():
        raise FormatError(f"{name}: the unused last half byte of the gaps is not zero")
    try:
        positions = gaps_decode(gaps[:count], size, bits=4, dtype=np.int64)
    except FormatError as error:
        raise FormatError(f"{name} of shape {shape}: {error}") from error
    codes = np.zeros(size, np.uint8)
    codes[positions] = values
    return Codebook(codes.reshape(shape), codebook), bias


class _Reader:
    """Takes arrays off the front of the file."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    @property
    def rest(self) -> int:
        return len(self._data)

    def take(self, dtype: np.dtype[Any], count: int, what: str) -> np.ndarray:
        """A read-only array of `count` elements in native byte order."""
        need = count * dtype.itemsize
        if need > len(self._data):
            raise FormatError(f"truncated: {what} needs {need} bytes, {len(self._data)} are left")
        array = np.frombuffer(self._data[:need], dtype).astype(dtype.newbyteorder("="))
        self._data = self._data[need:]
        array.flags.writeable = False
        return array
