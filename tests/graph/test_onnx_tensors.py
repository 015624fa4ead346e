"""External data: every way out of the model's folder is closed, and no byte outside is read."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph.builders import model, random

from accel.errors import ModelError
from accel.graph.onnx_reader import read_onnx
from accel.graph.onnx_tensors import open_inside

SECRET = np.full(6, 42, np.float32)


def external(location: str, **more: str) -> onnx.ModelProto:
    proto = model([onnx.helper.make_node("Add", ["x", "w"], ["y"])], {"x": [6]}, ["y"])
    tensor = proto.graph.initializer.add(name="w", data_type=1, dims=[6], data_location=1)
    for key, text in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=text)
    return proto


def read(folder: Path, location: str, **more: str) -> np.ndarray:
    array = read_onnx(external(location, **more), folder=folder).constants["w"]
    assert isinstance(array, np.ndarray)
    return array


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder beside one with a secret, in a place of its own."""
    (tmp_path / "secret.bin").write_bytes(SECRET.tobytes())
    inside = tmp_path / "model"
    (inside / "deep").mkdir(parents=True)
    (inside / "w.bin").write_bytes(random(0, 6).tobytes())
    (inside / "deep" / "w.bin").write_bytes(b"head" + random(1, 6).tobytes())
    return inside


def test_plain_files_below_the_folder_are_read(folder: Path) -> None:
    np.testing.assert_array_equal(read(folder, "w.bin"), random(0, 6))
    np.testing.assert_array_equal(read(folder, "deep/w.bin", offset="4", length="24"), random(1, 6))


ESCAPES = ["../secret.bin", "deep/../../secret.bin", "..", ".", "", "/etc/hostname", "./w.bin", "deep//w.bin",
           "..\\secret.bin", "deep\\..\\..\\secret.bin", "C:secret.bin", "C:\\secret.bin", "w.bin\0.txt",
           "/proc/self/environ", "//host/share", "w.bin/", "x" * 100_000]  # fmt: skip


@pytest.mark.parametrize("location", ESCAPES, ids=lambda text: repr(text[:24]))
def test_a_path_that_is_not_plain_is_refused(folder: Path, location: str) -> None:
    with pytest.raises(ModelError, match="initializer 'w': external data"):
        read(folder, location)


def link(folder: Path) -> None:
    (folder / "bad").symlink_to(folder.parent / "secret.bin")


def link_inside(folder: Path) -> None:
    (folder / "bad").symlink_to(folder / "w.bin")


def link_folder(folder: Path) -> None:
    (folder / "side").symlink_to(folder.parent)


def hard_link(folder: Path) -> None:
    os.link(folder.parent / "secret.bin", folder / "bad")


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "bad")


def directory(folder: Path) -> None:
    (folder / "bad").mkdir()


CASES = [(link, "bad"), (link_inside, "bad"), (link_folder, "side/secret.bin"), (hard_link, "bad"), (fifo, "bad"),
         (directory, "bad"), (lambda folder: None, "missing")]  # fmt: skip


@pytest.mark.parametrize(("prepare", "location"), CASES)
def test_what_is_not_a_plain_file_is_refused(folder: Path, prepare, location: str) -> None:
    prepare(folder)
    with pytest.raises(ModelError, match=r"cannot be opened|not a regular file with a single name"):
        read(folder, location)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"offset": "1"}, "bytes 1..25 of a file of 24 bytes"),
        ({"offset": "-1"}, "offset of external data: expected a number >= 0, got '-1'"),
        ({"offset": "9223372036854775807"}, "of a file of 24 bytes"),
        ({"offset": "1e3"}, "expected a number"),
        ({"offset": "٣"}, "expected a number"),
        ({"length": "20"}, "external data of 20 bytes, its shape needs 24"),
        ({"length": "99999999999999999999999"}, "expected a number"),
        ({"basepath": "/"}, r"external data has the keys \['basepath', 'location'\]"),
    ],
)
def test_offset_length_and_keys_are_checked(folder: Path, more: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(folder, "w.bin", **more)


def test_a_model_without_a_folder_has_no_external_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ModelError, match="its data is in another file"):
        read_onnx(external("w.bin"))


def test_a_file_exchanged_for_a_link_meanwhile_is_never_followed(folder: Path) -> None:
    """One thread swaps the file for a link to the secret and back; the secret is never what is read."""
    good, bad, name = folder / "good", folder / "evil", folder / "w.bin"
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            good.write_bytes(random(0, 6).tobytes())
            os.replace(good, name)
            bad.symlink_to(folder.parent / "secret.bin")
            os.replace(bad, name)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        outcomes = set()
        for _ in range(2000):
            try:
                with open_inside(folder, "w.bin", "w") as file:
                    outcomes.add(file.read())
            except ModelError:
                outcomes.add(b"refused")
    finally:
        stop.set()
        thread.join()
    assert outcomes <= {b"refused", random(0, 6).tobytes()} and b"refused" in outcomes
