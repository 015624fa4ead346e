"""What every command shares: errors in one line, data on stdout, progress on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from typer.core import TyperGroup

ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="An .onnx or .accel file.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads; the default is what the process may use.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]

BAD_INPUT = 2


class Shell(TyperGroup):
    """A command group that turns bad input into `error: ...` on stderr and exit code 2; --debug shows the traceback."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line and exit the process."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output went away: nothing is left to say
            code = 1
        except Exception as why:
            # click's usage errors, whether typer brings its own click or uses the installed one
            if not hasattr(why, "format_message"):
                if type(why).__name__ != "Abort":
                    raise
                code = 130
            else:
                message = why.format_message()
                help_alone = type(why).__name__ == "NoArgsIsHelpError"
                print(message if help_alone else f"error: {one_line(message)}", file=sys.stderr)
                code = BAD_INPUT
        raise SystemExit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = show_warning
                return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (ValueError, TypeError, OSError, ImportError, MemoryError) as why:
            if ctx.params.get("debug"):
                raise
            print(f"error: {describe(why)}", file=sys.stderr)
            raise typer.Exit(BAD_INPUT) from None


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """One line on stderr, without the place in the source."""
    note(f"warning: {one_line(str(message))}")


def describe(why: BaseException) -> str:
    """One line that says what was wrong, for any error that bad input causes."""
    if isinstance(why, OSError) and why.strerror:
        return f"{why.filename}: {why.strerror}" if why.filename else why.strerror
    if isinstance(why, MemoryError):
        return f"not enough memory {one_line(str(why))}".strip()
    return one_line(str(why)) or type(why).__name__


def one_line(text: str) -> str:
    """The text with every run of white space made one space."""
    return " ".join(text.split())


def emit(data: dict[str, Any], text: str, as_json: bool) -> None:
    """Print the result: the object as JSON, or the text."""
    print(json.dumps(plain(data), allow_nan=False) if as_json else text)


def plain(value: Any) -> Any:
    """The value in JSON's types; NaN and infinities become null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def note(text: str) -> None:
    """A remark for the person at the terminal, on stderr."""
    print(text, file=sys.stderr)


@contextlib.contextmanager
def progress(task: str, total: float | None = None) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr while it is a terminal; yields `advance(by=1, description=None, total=None)`."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        current = bar.add_task(task, total=total)

        def advance(by: float = 1, description: str | None = None, total: float | None = None) -> None:
            bar.update(current, advance=by, description=description, total=total)

        yield advance
