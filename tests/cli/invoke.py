"""Calls of the command line in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


class Result:
    """What one call of the command line gave."""

    def __init__(self, result: Any) -> None:
        self.code: int = result.exit_code
        self.out: str = result.stdout
        self.err: str = result.stderr

    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        assert self.code == 0, self.err
        data: dict[str, Any] = json.loads(self.out)
        return data

    def refused(self) -> str:
        """The message of a refusal: one line on stderr, nothing on stdout, exit code 2."""
        assert (self.code, self.out) == (2, ""), (self.code, self.out, self.err)
        lines = [line for line in self.err.splitlines() if line]
        assert len(lines) == 1 and lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


Invoke = Callable[..., Result]
