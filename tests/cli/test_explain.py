"""accel explain: what runs each step, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli.invoke import Invoke

import accel
from accel.engine import tuning, tuning_cache
from accel.graph import Network, Node, Value
from accel.kernels import runtime

native = pytest.mark.skipif(runtime.core is None, reason="only native kernels are chosen among")


@pytest.fixture(autouse=True)
def no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEL_CACHE_DIR", "")
    monkeypatch.setattr(tuning_cache, "_times", {})


@native
@pytest.mark.parametrize("tune", [True, False])
def test_json_holds_every_step_and_the_candidates(
    accel_cli: Invoke, digits: Path, tune: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "WITHIN", 100.0)
    data = accel_cli("explain", digits, "--json", "--threads", 1, "--batch", 2, *([] if tune else ["--no-tune"])).json()
    assert (data["file"], data["threads"], data["batch"], data["isa"]) == (str(digits), 1, 2, runtime.isa())
    steps = data["steps"]
    assert all(step.keys() - {"choice"} == {"node", "kernel", "shape", "native"} for step in steps)
    choices = [step["choice"] for step in steps if "choice" in step]
    assert len(choices) == 2 and steps[-1]["native"] and steps[-1]["shape"] == [2, 10]
    for choice in choices:
        measured = [c["seconds"] for c in choice["candidates"]]
        assert len(measured) > 1 and all(c["cycles"] > 0 for c in choice["candidates"])
        assert choice["method"] in [c["method"] for c in choice["candidates"]]
        assert choice["reason"] == ("measured" if tune else "predicted")
        assert all(0 < s < 1 for s in measured) if tune else measured == [None] * len(measured)


@native
def test_text_shows_the_same(accel_cli: Invoke, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "WITHIN", 100.0)
    out = accel_cli("explain", digits, "--no-tune").out
    assert f"{digits}: batch 1, {runtime.threads()} threads, {runtime.isa()}" in out
    for word in ("candidates", "reason", "predicted", "Mcycles", "conv ", "direct"):
        assert word in out
    measured = accel_cli("explain", digits).out
    assert "measured" in measured and "Mcycles" not in measured and " us" in measured


@native
def test_sizes_of_open_dimensions(accel_cli: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "open.accel"
    value = Value("x", np.dtype(np.float32), ("N", 16, "H", "W"))
    constants = {"w": np.ones((8, 16, 1, 1), np.float32)}
    Network("open", [value], [Value("y", value.dtype, None)], [Node("Conv", ["x", "w"], ["y"])], constants).save(path)
    data = accel_cli("explain", path, "--json", "--size", "H=6", "--size", "W=9").json()
    assert data["steps"][-1]["shape"] == [1, 8, 6, 9]


def test_a_network_that_is_interpreted(accel_cli: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "dynamic.accel"
    x, y = Value("x", np.dtype(np.float32), (3, 4)), Value("y", np.dtype(np.int64), None)
    Network("dynamic", [x], [y], [Node("NonZero", ["x"], ["y"])], {}).save(path)
    assert accel_cli("explain", path, "--json").json()["steps"] == []
    assert accel_cli("explain", path).out.startswith(f"{path}: interpreted node by node (a shape depends on data")


def test_other_back_ends_interpret(accel_cli: Invoke, digits: Path) -> None:
    with accel.using(backend="numpy"):
        assert accel_cli("explain", digits, "--json").json()["steps"] == []


def test_what_is_refused(accel_cli: Invoke, tmp_path: Path, digits: Path) -> None:
    assert "no such file" in accel_cli("explain", tmp_path / "none.accel").refused().lower()
    assert accel_cli("explain", digits, "--batch", 0).code == 2
