from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli.invoke import Invoke

import accel
from accel.cli import shell

COMMANDS = ["demo", "info", "run", "eval", "compress", "bench", "verify", "doctor"]


def process(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "accel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_help_lists_every_command(accel_cli: Invoke) -> None:
    result = accel_cli("--help")
    assert result.code == 0
    for command in COMMANDS:
        assert f" {command} " in result.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(accel_cli: Invoke, command: str) -> None:
    result = accel_cli(command, "--help")
    assert result.code == 0 and "--json" in result.out


def test_version(accel_cli: Invoke) -> None:
    assert accel_cli("--version").out == f"accel {accel.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "No such command 'nope'"),
        (["info"], "Missing argument 'MODEL'"),
        (["bench", "x.onnx", "--threads", "0"], "Invalid value for '--threads'"),
        (["run", "x.onnx"], "Missing option '--input'"),
        (["info", "--what"], "No such option"),
    ],
)
def test_wrong_usage_is_one_line(accel_cli: Invoke, arguments: list[str], message: str) -> None:
    assert message in accel_cli(*arguments).refused()


@pytest.mark.parametrize(
    "command", [["info"], ["verify"], ["bench"], ["run", "-i", "x.npz"], ["eval", "--data", "x.npz"]]
)
def test_a_missing_model_is_one_line(accel_cli: Invoke, command: list[str]) -> None:
    message = accel_cli(*command, "none.onnx").refused()
    assert "none.onnx" in message and message.endswith("No such file or directory")


@pytest.mark.parametrize("name", ["bad.onnx", "bad.accel"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"hello\n" * 50, b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_model_is_one_line(accel_cli: Invoke, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert accel_cli("info", tmp_path / name).refused()


def test_a_damaged_model_is_refused(accel_cli: Invoke, tmp_path: Path, digits: Path) -> None:
    data = bytearray(digits.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "damaged.accel"
    path.write_bytes(data)
    for command in ("info", "verify", "bench"):
        assert "damaged" in accel_cli(command, path).refused()
    path.write_bytes(digits.read_bytes()[:-100])
    assert "truncated" in accel_cli("verify", path).refused()


def test_debug_shows_the_traceback() -> None:
    done = process("--debug", "info", "none.onnx")
    assert "Traceback" in done.stderr and "No such file or directory" in done.stderr


def test_the_process_exits_with_2_and_one_line() -> None:
    done = process("info", "none.onnx")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and line.endswith("No such file or directory")


def test_json_is_the_only_thing_on_stdout(digits: Path) -> None:
    done = process("info", str(digits), "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["nodes"] > 0


def test_a_reader_that_goes_away_is_no_error_message(digits: Path) -> None:
    command = f"{sys.executable} -m accel info {digits} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr and "error" not in done.stderr


def test_without_typer_it_says_what_to_install() -> None:
    done = process(code="import sys; sys.modules['typer'] = None; import accel.cli; accel.cli.main()")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: the command line needs the package 'typer': pip install 'accel[cli]'"


def test_a_defect_of_the_program_is_not_hidden(accel_cli: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accel.cli.doctor.report", lambda: {}["lost"])
    assert accel_cli("doctor").code == 1


def test_without_a_command_the_help_is_shown(accel_cli: Invoke) -> None:
    shown = accel_cli()
    assert shown.code == 2
    assert "error:" not in shown.err and len((shown.out + shown.err).splitlines()) > len(COMMANDS)


def test_errors_in_one_line() -> None:
    assert shell.describe(FileNotFoundError(2, "No such file", "a.npz")) == "a.npz: No such file"
    assert shell.describe(ValueError("two\n  lines")) == "two lines"
    assert shell.describe(MemoryError()) == "not enough memory"
    assert shell.describe(ValueError()) == "ValueError"


def test_json_has_no_nan() -> None:
    import numpy as np

    data = shell.plain({"a": float("nan"), "b": np.float32(1), "c": (np.int64(2),), "d": Path("x"), "e": np.arange(2)})
    assert json.dumps(data, allow_nan=False) == '{"a": null, "b": 1.0, "c": [2], "d": "x", "e": [0, 1]}'
