"""Networks in files: `load` tells by the content what a file is, `save` writes the `.accel` container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel.errors import FormatError
from accel.graph.limits import Limits
from accel.graph.network import Network
from accel.graph.onnx_reader import read_onnx
from accel.graph.passes import simplify as simplified
from accel.graph.serialize import network_from_dict, network_to_dict

if TYPE_CHECKING:
    import onnx


def load(
    source: str | os.PathLike[str] | bytes | Network | onnx.ModelProto,
    *,
    limits: Limits | None = None,
    simplify: bool = True,
) -> Network:
    """Read a network.

    Parameters
    ----------
    source : path or bytes of an `.accel` or ONNX file, told apart by their content, a parsed ONNX model, or a
        Network. External data of an ONNX model is read only for a path, and only below the model's folder.
    limits : what the model may cost, see Limits.
    simplify : fold constants, batch norm and the like (graph/passes.py). An `.accel` file holds what was saved and
        is given as it is.

    Returns
    -------
    Network

    Raises
    ------
    FormatError  not a model file, damaged, or not readable.
    UnsupportedError  the model needs operators, attributes or types that accel does not run; all are named.
    ModelError  the model makes no sense or exceeds a limit.
    MissingExtraError  an ONNX model, and the package onnx is not installed.
    """
    try:
        return _load(source, limits or Limits(), simplify)
    except FormatError as error:
        if not isinstance(source, (str, os.PathLike)):
            raise
        raise FormatError(f"{os.fspath(source)!r}: {error}") from error


def _load(source: Any, limits: Limits, simplify: bool) -> Network:
    from accel.formats.container import MAGIC

    if isinstance(source, Network):
        source.validate()
        network = source
    elif isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)):
        data = _bytes(source, limits)
        if data.startswith(MAGIC):
            return _from_container(data, limits)
        folder = None if isinstance(source, (bytes, bytearray, memoryview)) else Path(source).absolute().parent
        network = read_onnx(data, limits, folder=folder)
    else:
        network = read_onnx(source, limits)
    return simplified(network, limits) if simplify else network


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network as one `.accel` file; an old file is replaced only when the new one is complete.

    Raises
    ------
    ModelError  the network is not valid, or fused.
    SaveError  the file cannot be written; what was at `path` is unchanged.
    """
    from accel.formats import container

    container.write(path, {"graph": network_to_dict(network)}, network.constants)


def _bytes(source: Any, limits: Limits) -> bytes:
    from accel.formats.files import read_bytes
    from accel.formats.limits import Limits as FileLimits

    try:
        view = read_bytes(source, FileLimits(max_file=limits.max_file))
    except (OSError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        # ValueError: a path with a NUL byte.
        raise FormatError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return view.obj if isinstance(view.obj, bytes) else bytes(view)


def _from_container(data: bytes, limits: Limits) -> Network:
    from accel.formats import container
    from accel.formats.limits import Limits as FileLimits

    bounds = FileLimits(max_file=limits.max_file, max_tensor=limits.max_tensor_bytes, max_total=limits.max_total_bytes)
    header, tensors = container.read(data, bounds)
    if set(header) != {"graph"}:
        raise FormatError(f"header: expected a graph and nothing else, got {sorted(header)}")
    return network_from_dict(header["graph"], tensors, limits)
