"""Trained binary perceptrons from a NumPy archive."""

from __future__ import annotations

import io
import itertools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accel
from accel.errors import FormatError
from accel.formats import bnn_pynq


def arrays_of(*widths: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for k, (before, after) in enumerate(itertools.pairwise(widths)):
        made[f"L{k}.weight"] = rng.choice(np.array([-1, 1], np.int8), (after, before))
        made[f"L{k}.threshold_sum"] = rng.integers(-9, 9, after).astype(np.int32)
    return made


def archive(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_scores_are_those_of_the_definition(backend: str) -> None:
    arrays = arrays_of(70, 40, 33, 10)
    x = np.random.default_rng(1).choice(np.array([-1, 1], np.float32), (5, 70))
    y = x.astype(np.int64)
    for k in range(3):
        y = y @ arrays[f"L{k}.weight"].T.astype(np.int64)
        if k < 2:
            y = np.where(y > arrays[f"L{k}.threshold_sum"], 1, -1)
    network = bnn_pynq.read(archive({**arrays, "other": np.zeros(3)}))
    np.testing.assert_array_equal(accel.InferenceSession(network).run(None, {"input": x})[0], y)


def test_the_trained_network_has_its_scores(shared_data: Path) -> None:
    network = bnn_pynq.read(shared_data / "models" / "bnn_lfcW1A1_mnist.npz")
    with np.load(shared_data / "images" / "mnist_test.npz") as data:
        x = np.where(data["images"].reshape(-1, 784) >= 128, np.float32(1), np.float32(-1))
    with np.load(shared_data / "models" / "bnn_lfcW1A1_mnist_scores.npz") as data:
        scores = data["scores"]
    np.testing.assert_array_equal(accel.InferenceSession(network, threads=1).run(None, {"input": x})[0], scores)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"L0.weight": None}, "expected the arrays L0.weight"),
        ({"L1.threshold_sum": None}, "layer 1: expected the arrays"),
        ({"L1.weight": np.ones((3, 8), np.int8)}, r"L1.weight: expected int8 \(out, 7\)"),
        ({"L1.weight": np.ones((3, 7), np.float32)}, "L1.weight: expected int8"),
        ({"L0.weight": np.zeros((7, 5), np.int8)}, r"L0.weight: signs: expected \+1 and -1"),
        ({"L0.threshold_sum": np.zeros(7, np.int64)}, "L0.threshold_sum: expected int32"),
        ({"L0.threshold_sum": np.full(7, 1 << 30, np.int32)}, "L0.threshold_sum: expected int32"),
        ({"L0.threshold_sum": np.full(7, -(1 << 31), np.int32)}, "L0.threshold_sum: expected int32"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    arrays = {**arrays_of(5, 7, 3), **change}
    with pytest.raises(FormatError, match=message):
        bnn_pynq.read(archive({name: a for name, a in arrays.items() if a is not None}))


def test_damaged_files_are_refused() -> None:
    data = archive(arrays_of(5, 7, 3))
    for damaged in (b"", b"PK", data[:100], data[:-30], b"x" + data[5:], archive({})):
        with pytest.raises(FormatError):
            bnn_pynq.read(damaged)
    pickled = io.BytesIO()
    np.savez(pickled, **{"L0.weight": np.array([{}], object)}, allow_pickle=True)
    with pytest.raises(FormatError):
        bnn_pynq.read(pickled.getvalue())


@pytest.mark.parametrize("content", [b"", b"no array"])
def test_a_member_that_is_no_array_is_named(content: bytes) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("L0.weight.npy", content)
        members.writestr("L0.threshold_sum.npy", content)
    with pytest.raises(FormatError, match="expected an array, got bytes"):
        bnn_pynq.read(file.getvalue())
