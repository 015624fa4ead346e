"""Progress: a callback, a bar on terminals, or silence."""

from __future__ import annotations

import io
import sys

import pytest

from accel.compress.progress import Event, reporter
from accel.errors import RecipeError

EVENT = Event("share", "w0", 1, 2, 0.1, "16 values")


def test_a_callback_gets_the_events() -> None:
    seen: list[Event] = []
    with reporter(seen.append) as report:
        report(EVENT)
    assert seen == [EVENT]


@pytest.mark.parametrize("progress", [True, False])
def test_without_a_terminal_there_is_silence(progress: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with reporter(progress) as report:
        report(EVENT)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with reporter(True) as report:
        report(EVENT)
        report(Event("share", "w1", 2, 2, 0.1))
    assert "share w1" in terminal.getvalue()


def test_other_values_are_named() -> None:
    with (
        pytest.raises(RecipeError, match="progress: expected True, False or a callable, got str 'yes'"),
        reporter("yes"),
    ):  # type: ignore[arg-type]
        pass
