"""The table of commands."""

from __future__ import annotations

from typing import Annotated

import typer

import accel
from accel.cli import bench, compress, demo, doctor, explain, models, running, shell

app = typer.Typer(
    cls=shell.Shell,
    help="Compress neural networks and run them fast on a CPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"accel {accel.__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Compress neural networks and run them fast on a CPU."""


app.command("demo")(demo.demo)
app.command("info")(models.info)
app.command("run")(running.run)
app.command("eval")(running.eval_)
app.command("compress")(compress.compress)
app.command("bench")(bench.bench)
app.command("explain")(explain.explain)
app.command("verify")(models.verify)
app.command("doctor")(doctor.doctor)
