"""Progress of a compression: one event per finished step, to a callback, a bar on the terminal, or nowhere."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from accel.errors import RecipeError
from accel.kernels.checks import describe


@dataclass(frozen=True, slots=True)
class Event:
    """Step `done` of `total` in `stage` is finished: about `layer`, after `seconds`, with the result in `note`."""

    stage: str
    layer: str
    done: int
    total: int
    seconds: float
    note: str = ""


Callback = Callable[[Event], None]


@contextlib.contextmanager
def reporter(progress: bool | Callback) -> Iterator[Callback]:
    """The callback itself; for True a bar where `rich` is installed and stderr is a terminal; else a silent one."""
    if callable(progress):
        yield progress
    elif not isinstance(progress, bool):
        raise RecipeError(f"progress: expected True, False or a callable, got {describe(progress)}")
    elif progress and sys.stderr.isatty() and importlib.util.find_spec("rich") is not None:
        with _bar() as callback:
            yield callback
    else:
        yield _silent


def _silent(event: Event) -> None:
    pass


@contextlib.contextmanager
def _bar() -> Iterator[Callback]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(event: Event) -> None:
            if event.stage not in tasks:
                tasks[event.stage] = bar.add_task(event.stage, total=event.total)
            bar.update(tasks[event.stage], completed=event.done, description=f"{event.stage} {event.layer}")

        yield show
