"""The command `accel`. It needs the extra 'cli' (typer and rich)."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exit code 2 and one line on stderr for bad input."""
    try:
        from accel.cli.app import app
    except ModuleNotFoundError as why:
        if (why.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        print(f"error: the command line needs the package {why.name!r}: pip install 'accel[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    app(prog_name="accel")
