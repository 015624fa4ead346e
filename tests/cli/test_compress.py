from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli.invoke import Invoke

import accel
from accel.cli.compress import per_layer


def test_numbers_hold_for_all_weights_or_for_one() -> None:
    assert per_layer("--bits", None, int) is None
    assert per_layer("--bits", ["4"], int) == 4
    assert per_layer("--bits", ["4", "fc=2"], int) == {"*": 4, "fc": 2}
    assert per_layer("--sparsity", ["a=b=0.5"], float) == {"a=b": 0.5}


@pytest.mark.parametrize(
    ("values", "message"), [(["x"], "expected NUMBER or NAME=NUMBER, got 'x'"), (["1", "2"], "given twice")]
)
def test_other_numbers_are_refused(values: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"--bits: .*{message}"):
        per_layer("--bits", values, int)


def test_compress_writes_a_smaller_file_that_runs(accel_cli: Invoke, digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.accel"
    report = accel_cli("compress", digits, "-o", out, "--sparsity", "0.4", "--json").json()
    assert report["bytes"] == out.stat().st_size < digits.stat().st_size / 5
    assert report["metrics"]["alpha"] > 1
    x = np.zeros((2, 1, 8, 8), np.float32)
    assert accel.InferenceSession(out).run(None, {"pixels": x})[0].shape == (2, 10)
    text = accel_cli("compress", digits, "-o", out, "--bits", "4", "--sparsity", "0.5").out
    assert "in the file" in text and "Codebook" in text


def test_the_same_seed_gives_the_same_bytes(accel_cli: Invoke, digits: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert accel_cli("compress", digits, "-o", tmp_path / name, "--seed", 3).code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_target_in_bytes_is_met(accel_cli: Invoke, digits: Path, tmp_path: Path) -> None:
    report = accel_cli("compress", digits, "-o", tmp_path / "s.accel", "--target-bytes", 20_000, "--json").json()
    assert report["bytes"] <= 20_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "nope"], "recipe: expected one of"),
        (["--sparsity", "1.5"], "sparsity: expected a share in 0..1"),
        (["--bits", "9"], "bits: expected an integer in 1..8"),
        (["--bits", "nope=4"], "nope"),
        (["--target-bytes", "10"], "target"),
        (["--max-loss", "1"], "data"),
        (["--data", "none.npz"], "none.npz: No such file"),
        (["--data", "none.npz", "--preprocess", "x"], "preprocess: expected one of"),
    ],
)
def test_a_recipe_that_cannot_be_met_is_one_line(
    accel_cli: Invoke, digits: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    out = tmp_path / "small.accel"
    out.write_bytes(b"old")
    assert message in accel_cli("compress", digits, "-o", out, *options).refused()
    assert out.read_bytes() == b"old"


def test_data_bounds_the_loss(accel_cli: Invoke, digits: Path, digits_npz: Path, tmp_path: Path) -> None:
    arguments = ("compress", digits, "-o", tmp_path / "s.accel", "--data", digits_npz, "--preprocess", "raw255")
    assert accel_cli(*arguments, "--bits", 4, "--sparsity", 0.3, "--max-loss", 5, "--json").json()["bytes"] > 0
    message = accel_cli(*arguments, "--bits", 1, "--sparsity", 0.95, "--max-loss", 0).refused()
    assert "max_loss" in message


def test_saving_into_a_missing_folder_is_one_line(accel_cli: Invoke, digits: Path, tmp_path: Path) -> None:
    assert accel_cli("compress", digits, "-o", tmp_path / "none" / "s.accel").refused()
