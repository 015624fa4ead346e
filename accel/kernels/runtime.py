"""Which implementation runs: back end, instruction set and thread count, and how to choose them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from accel.errors import shown

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

core: Any = None
_reason = ""
try:
    from accel import _core

    core = _core
except ImportError as _why:
    _reason = str(_why) if importlib.util.find_spec("accel._core") else "no extension was built"

BACKENDS = ("native", "numba", "numpy")
MOST_THREADS = 1024
MOST_DIGITS = 20
"""Of a number of threads in the environment; Python reads no numbers of more than 4300."""


@dataclass(frozen=True)
class Settings:
    """What `using` has set; None means the default."""

    backend: str | None = None
    isa: str | None = None
    threads: int | None = None
    tune: bool | None = None


_DEFAULTS = Settings()
_settings: ContextVar[Settings] = ContextVar("accel_settings", default=_DEFAULTS)


def _available_backends() -> tuple[str, ...]:
    native = ("native",) if core is not None else ()
    numba = ("numba",) if importlib.util.find_spec("numba") is not None else ()
    return (*native, *numba, "numpy")


_backends = _available_backends()
_isa_names: tuple[str, ...] = tuple(core.isa_names()) if core is not None else ()
_supported: tuple[str, ...] = tuple(core.supported_isas()) if core is not None else ()


_isa_numbers: dict[str | None, int] = {name: number for number, name in enumerate(_isa_names)}


def _default_isa() -> str | None:
    wanted = os.environ.get("ACCEL_ISA")
    if not wanted:
        return _supported[-1] if _supported else None
    if core is None:
        return None
    if wanted not in _supported:
        raise ImportError(f"ACCEL_ISA: expected one of {', '.join(_supported)} (supported here), got {wanted!r}")
    return wanted


_isa = _default_isa()

empty: Callable[[int | Sequence[int], DTypeLike], np.ndarray] = np.empty if core is None else core.empty
"""`numpy.empty` for results and scratch memory: large ones, of a megabyte or more, are in memory that earlier ones have
left (`keep_memory`). Not for what lives long, as weights do."""


def keep_memory(nbytes: int) -> int:
    """Set how much memory of large results that are freed is kept for later ones, at most.

    Parameters
    ----------
    nbytes : bytes; 0 keeps none, and what was kept goes back to the system at once.

    Returns
    -------
    int   the bound before.

    Raises
    ------
    TypeError, ValueError  nbytes is no integer, or negative.

    Notes
    -----
    For the whole process. At first it is what the environment variable ACCEL_KEEP_MEMORY says, or 256 MiB. What is kept
    counts as resident, but the system may take it (its pages of 2 MB, on Linux) when it runs short: docs/memory.md.
    """
    if type(nbytes) is not int:
        raise TypeError(f"nbytes: expected an integer >= 0, got {shown(nbytes)}")
    if not 0 <= nbytes <= sys.maxsize:
        raise ValueError(f"nbytes: expected an integer in 0..{sys.maxsize}, got {shown(nbytes)}")
    if core is None:
        return 0
    before: int = core.kept_results()[1]
    core.keep_results(nbytes)
    return before


def _memory_to_keep() -> None:
    wanted = os.environ.get("ACCEL_KEEP_MEMORY")
    if not wanted:
        return
    digits = wanted.isascii() and wanted.isdigit() and len(wanted) <= len(str(sys.maxsize))
    if not (digits and int(wanted) <= sys.maxsize):
        raise ImportError(f"ACCEL_KEEP_MEMORY: expected a number of bytes, got {shown(wanted)}")
    keep_memory(int(wanted))


_memory_to_keep()

if core is None:
    warnings.warn(
        f"accel: native kernels are not built ({_reason}); {_backends[0]} kernels are used, which are slower. "
        "Install with a C++20 compiler to build them.",
        RuntimeWarning,
        stacklevel=2,
    )


@contextlib.contextmanager
def using(
    *, backend: str | None = None, isa: str | None = None, threads: int | None = None, tune: bool | None = None
) -> Iterator[None]:
    """Choose the implementation inside a `with` block, for the current thread or task.

    Parameters
    ----------
    backend : "native" (C++ and Cython), "numba" or "numpy"; the default is the first of these that is installed.
    isa : instruction set of the native kernels, one of `isa_info()["supported"]`.
    threads : number of threads, 1..MOST_THREADS.
    tune : whether sessions measure which algorithm is fastest for a convolution (the default) or take the one that
        should be.

    Raises
    ------
    ValueError  a name is unknown or not available on this machine, or threads is out of bounds.
    TypeError  tune is not a bool.
    """
    if backend is not None and backend not in _backends:
        raise ValueError(f"backend: expected one of {', '.join(_backends)} (installed here), got {shown(backend)}")
    if isa is not None and isa not in _supported:
        raise ValueError(f"isa: expected one of {', '.join(_supported) or 'none'} (supported here), got {shown(isa)}")
    if threads is not None and (type(threads) is not int or not 1 <= threads <= MOST_THREADS):
        raise ValueError(f"threads: expected an integer in 1..{MOST_THREADS}, got {shown(threads)}")
    if tune is not None and type(tune) is not bool:
        raise TypeError(f"tune: expected a bool, got {shown(tune)}")
    now = _settings.get()
    token = _settings.set(
        Settings(backend or now.backend, isa or now.isa, threads or now.threads, now.tune if tune is None else tune)
    )
    try:
        yield
    finally:
        _settings.reset(token)


def settings(threads: int) -> Settings:
    """Everything in force, with this thread count, for `under`."""
    return Settings(backend(), isa(), threads, tune())


class under:
    """`with under(settings)`: what `using` does, without its checks and in a tenth of its time."""

    __slots__ = ("_token", "_wanted")

    def __init__(self, wanted: Settings) -> None:
        self._wanted = wanted

    def __enter__(self) -> None:
        self._token = _settings.set(self._wanted)

    def __exit__(self, *error: object) -> None:
        _settings.reset(self._token)


def backend() -> str:
    """The back end in force: "native", "numba" or "numpy"."""
    return _settings.get().backend or _backends[0]


def isa() -> str | None:
    """The instruction set in force, None without native kernels."""
    return _settings.get().isa or _isa


def lanes() -> int:
    """float32 numbers in a vector of the instruction set in force."""
    return {"avx512": 16, "avx2": 8}.get(isa() or "", 4)


def native_index() -> int:
    """`isa_index()` where the native back end is in force, else -1; for calls of a microsecond."""
    now = _settings.get()
    if (now.backend or _backends[0]) != "native":
        return -1
    return _isa_numbers[now.isa or _isa]


def isa_index() -> int:
    """The instruction set in force, as the native bindings take it."""
    name = isa()
    assert name is not None
    return _isa_names.index(name)


def _environment(variable: str) -> bytes:
    if core is not None:
        return bytes(core.environment(variable))
    return os.environ.get(variable, "").encode(errors="replace")


def threads() -> int:
    """The thread count in force: `using`, threadpoolctl's limit, ACCEL_NUM_THREADS, OMP_NUM_THREADS, or all usable."""
    chosen = _settings.get().threads or (core.thread_limit() if core is not None else 0)
    if chosen:
        return int(chosen)
    for variable in ("ACCEL_NUM_THREADS", "OMP_NUM_THREADS"):
        first = _environment(variable).split(b",")[0].strip()
        if first.isdigit() and len(first) < MOST_DIGITS and int(first) > 0:
            return min(int(first), MOST_THREADS)
    return int(core.usable_threads()) if core is not None else 1


def tune() -> bool:
    """Whether sessions measure before they choose."""
    return _settings.get().tune is not False


def fma_peak() -> float:
    """Multiplications and additions per second that one core does at most with the instruction set in force.

    Measured in some milliseconds; a yardstick for benchmarks.
    """
    return float(core.fma_peak(isa_index()))


def read_peak(nbytes: int) -> float:
    """Bytes per second at which one core reads so many, over and over: from memory, or the cache that holds them."""
    numbers = core.aligned_buffer(nbytes).view("float32")
    numbers[:] = 1  # pages that were never written are all the same one
    return float(core.read_peak(isa_index(), numbers))


def isa_info() -> dict[str, Any]:
    """Back ends, instruction sets, threads and memory to keep: what is there and what is in force."""
    return {
        "backend": backend(),
        "backends": list(_backends),
        "isa": isa(),
        "supported": list(_supported),
        "compiled": list(_isa_names),
        "threads": threads(),
        "keep_memory": core.kept_results()[1] if core is not None else 0,
    }
