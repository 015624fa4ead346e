"""Measured times of convolution methods, kept in the process and on disk.

One JSON file per version of accel, processor and instruction set, in the directory that ACCEL_CACHE_DIR names (empty:
nothing on disk), else in accel/ under XDG_CACHE_HOME or ~/.cache. A file that is missing, damaged or of another machine
counts as empty and is written anew; a directory that cannot be written is no error.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import platform
import threading
from pathlib import Path

from accel.errors import SaveError
from accel.formats.atomic import replace_file
from accel.kernels import runtime

_MOST_BYTES = 4 << 20
_MOST_ENTRIES = 10_000
_lock = threading.Lock()
_times: dict[str, dict[str, dict[str, float]]] = {}
"""By identity of machine and library, then by layer, then by method."""


def get(layer: str) -> dict[str, float] | None:
    """Seconds by method, None for a layer that was not measured."""
    with _lock:
        return _table().get(layer)


def put(layer: str, seconds: dict[str, float]) -> dict[str, float]:
    """Keep the times of a layer; returns those in force. Times that are known stay: other plans may rest on them."""
    with _lock:
        table = _table()
        kept = table[layer] = {**seconds, **table.get(layer, {})}
        path = _path()
        if path is not None:
            _save(path, {**_load(path), **table})
    return kept


def _table() -> dict[str, dict[str, float]]:
    identity = _identity()
    if identity not in _times:
        path = _path()
        _times[identity] = {} if path is None else _load(path)
    return _times[identity]


def _identity() -> str:
    from accel import __version__

    return f"accel {__version__}, {_processor()}, {runtime.isa()}"


@functools.cache
def _processor() -> str:
    """The processor's name, and what is behind a hypervisor's word for it: family, model, stepping and cache."""
    wanted = ("model name", "cpu family", "model", "stepping", "cache size")
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return " ".join(facts.get(key, "?") for key in wanted)


def _path() -> Path | None:
    folder = os.environ.get("ACCEL_CACHE_DIR")
    if folder == "":
        return None
    try:
        base = Path(folder) if folder else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "accel"
    except RuntimeError:  # no home
        return None
    return base / f"convolutions-{hashlib.sha256(_identity().encode()).hexdigest()[:16]}.json"


def _load(path: Path) -> dict[str, dict[str, float]]:
    """What a file holds; nothing where it is not one of ours."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(document, dict) or document.get("for") != _identity():
        return {}
    layers = document.get("seconds")
    if not isinstance(layers, dict) or len(layers) > _MOST_ENTRIES:
        return {}
    return {layer: times for layer, times in layers.items() if _valid(times)}


def _valid(times: object) -> bool:
    return isinstance(times, dict) and all(
        type(seconds) is float and math.isfinite(seconds) and seconds > 0 for seconds in times.values()
    )


def _save(path: Path, layers: dict[str, dict[str, float]]) -> None:
    newest = dict(list(layers.items())[-_MOST_ENTRIES:])
    text = json.dumps({"for": _identity(), "seconds": newest}, indent=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, [text.encode()])
    except (OSError, SaveError):
        pass  # read-only home, full disk: the times are measured again next time


def _renew_lock() -> None:
    """In a forked child: a thread that held the lock in the parent is not there to release it."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
