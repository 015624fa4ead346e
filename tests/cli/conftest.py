from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rich")
testing = pytest.importorskip("typer.testing")

from cli.invoke import Invoke, Result  # noqa: E402

from accel.demo import network_path  # noqa: E402


@pytest.fixture
def accel_cli() -> Invoke:
    """Call the command line in this process: `accel_cli("info", path).json()`."""
    from accel.cli.app import app

    def invoke(*arguments: object) -> Result:
        return Result(testing.CliRunner().invoke(app, [str(argument) for argument in arguments]))

    return invoke


@pytest.fixture
def digits() -> Path:
    """The network that ships with the package."""
    return network_path()


@pytest.fixture
def digits_npz(tmp_path: Path) -> Path:
    """The held-out digits as an image file: 8 x 8 pixels of 0..16, and labels."""
    pytest.importorskip("sklearn")
    from accel.demo import held_out, load_digits

    images, labels = load_digits()
    test = held_out(len(labels))
    path = tmp_path / "digits.npz"
    np.savez(path, images=images[test, 0].astype(np.uint8), labels=labels[test])
    return path
