"""Tensors read one at a time: what is asked for and nothing else, and damage found in each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accel.errors import FormatError
from accel.formats import container
from accel.formats.limits import Limits
from accel.formats.opened import OpenFile
from accel.weights import Codebook


@pytest.fixture
def tensors() -> dict[str, container.Tensor]:
    rng = np.random.default_rng(0)
    codes = np.where(rng.random((40, 50)) < 0.8, 0, rng.integers(1, 16, (40, 50))).astype(np.uint8)
    return {
        "w": Codebook(codes, rng.standard_normal(16).astype(np.float32)),
        "floats": rng.standard_normal(5000).astype(np.float32),
        "bias": np.arange(7, dtype=np.float32),
    }


@pytest.fixture
def path(tmp_path: Path, tensors: dict[str, container.Tensor]) -> Path:
    path = tmp_path / "a.accel"
    container.write(path, {"graph": {"name": "x"}}, tensors)
    return path


def test_tensors_come_one_by_one_in_any_order(path: Path, tensors: dict[str, container.Tensor]) -> None:
    with OpenFile(path) as opened:
        assert list(opened) == list(tensors) and len(opened) == 3
        assert opened.header == {"graph": {"name": "x"}}
        assert "bias" in opened and "nothing" not in opened
        for name in ("bias", "floats", "bias"):
            np.testing.assert_array_equal(opened[name], tensors[name])
        weight = opened["w"]
    assert isinstance(weight, Codebook)
    np.testing.assert_array_equal(weight.codes, tensors["w"].codes)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="closed"):
        opened["bias"]


def test_a_name_that_is_not_there_is_a_key_error(path: Path) -> None:
    with OpenFile(path) as opened, pytest.raises(KeyError, match="nothing"):
        opened["nothing"]


def test_damage_is_named_and_does_not_touch_the_others(path: Path, tensors: dict[str, container.Tensor]) -> None:
    data = bytearray(path.read_bytes())
    at = len(data) - 32 - 28 - 100  # inside the floats: the bias is raw behind them
    data[at] ^= 4
    path.write_bytes(data)
    with OpenFile(path) as opened:
        with pytest.raises(FormatError, match="tensor 'floats': float stream, block 0: a block's checksum"):
            opened["floats"]
        np.testing.assert_array_equal(opened["bias"], tensors["bias"])


def test_every_bit_flip_outside_the_digest_is_found(tmp_path: Path) -> None:
    path = tmp_path / "small.accel"
    container.write(path, {"graph": {}}, {"a": np.arange(70, dtype=np.uint8), "b": np.float32([1, 2])})
    data = path.read_bytes()
    for bit in range(8 * (len(data) - 32)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(FormatError), OpenFile(path) as opened:
            dict(opened)


def test_every_truncation_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for size in (0, 5, 27, 28, 40, 59, 60, 200, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError, match=r"truncated|not an .accel file"):
            OpenFile(path)


def test_a_file_that_shrinks_meanwhile_is_truncated(path: Path) -> None:
    with OpenFile(path) as opened:
        path.write_bytes(path.read_bytes()[:-60])  # the same file: it is not replaced
        with pytest.raises(FormatError, match="tensor 'bias': truncated"):
            opened["bias"]


def test_limits_hold(path: Path) -> None:
    for limits in (Limits(max_header=40), Limits(max_tensor=100), Limits(max_file=50), Limits(max_tensors=1)):
        with pytest.raises(FormatError, match="exceeds the limit"):
            OpenFile(path, limits)
