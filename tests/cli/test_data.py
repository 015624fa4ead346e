from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accel.cli.data import load_arrays, load_images, shape_text
from accel.errors import FormatError


def test_arrays_come_back_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.float32(2))
    arrays = load_arrays(tmp_path / "a.npz")
    assert list(arrays) == ["x", "y"] and arrays["x"].tolist() == [0, 1, 2]
    np.save(tmp_path / "b.npy", np.arange(2))
    assert load_arrays(tmp_path / "b.npy")[""].tolist() == [0, 1]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x93NUMPY\x01\x00", b"some text", bytes(64)])
def test_files_that_are_no_arrays_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"bad\.npz: not a readable .npy or .npz file"):
        load_arrays(path)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", images=np.array([{}], dtype=object))
    np.save(tmp_path / "p.npy", np.array([{}], dtype=object))
    for name in ("p.npz", "p.npy"):
        with pytest.raises(FormatError, match="not a readable"):
            load_arrays(tmp_path / name)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "none.npz")


def test_images_from_an_npz_come_in_batches(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", images=np.zeros((5, 4, 4), np.uint8), labels=np.arange(5, dtype=np.uint8))
    images = load_images(tmp_path / "d.npz")
    batches = list(images.batches(2))
    assert [len(x) for x, _ in batches] == [2, 2, 1]
    assert np.concatenate([labels for _, labels in batches]).tolist() == [0, 1, 2, 3, 4]
    limited = list(load_images(tmp_path / "d.npz", limit=3).batches(2))
    assert [(len(x), len(labels)) for x, labels in limited] == [(2, 2), (1, 1)]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(2)}, "expected the arrays 'images' and 'labels', got x"),
        ({"images": np.zeros((2, 4, 4)), "labels": np.zeros(2)}, "labels: expected integers of one axis, got float64"),
        ({"images": np.zeros((2, 4, 4)), "labels": np.zeros(3, int)}, "images: expected 3 arrays of numbers"),
        ({"images": np.zeros((0, 4, 4)), "labels": np.zeros(0, int)}, "holds no images"),
        ({"images": np.array([["a", "b"]]), "labels": np.zeros(1, int)}, "images: expected 1 arrays of numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(FormatError, match=message):
        load_images(tmp_path / "d.npz")


def folder(path: Path, lines: str) -> Path:
    image = pytest.importorskip("PIL.Image")
    for name, size in (("a.png", (3, 2)), ("b.png", (3, 2))):
        image.new("L", size, 200).save(path / name)
    (path / "labels.csv").write_text(lines)
    return path


def test_images_from_a_folder_follow_labels_csv(tmp_path: Path) -> None:
    images = load_images(folder(tmp_path, "file,name,label\nb.png,x,7\na.png,y,3\n"))
    ((stored, labels),) = images.batches(10)
    assert labels.tolist() == [7, 3]
    assert [image.shape for image in stored] == [(2, 3, 3)] * 2 and (stored[0] == 200).all()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("name,label\na.png,1\n", "expected the columns 'file' and 'class_index' or 'label', got name, label"),
        ("file,label\n../a.png,1\n", r"line 2: expected a file name inside the folder, got '\.\./a\.png'"),
        ("file,label\n/etc/a.png,1\n", "line 2: expected a file name inside the folder"),
        ("file,label\na.png,-1\n", "line 2: expected a class number, got '-1'"),
        ("file,label\na.png\n", "line 2: expected a class number, got None"),
        ("file,label\n", "holds no images"),
        ("", "expected the columns"),
    ],
)
def test_bad_label_files_are_refused(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        load_images(folder(tmp_path, lines))


def test_label_files_of_other_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"file,label\n\xff\xfe,1\n")
    with pytest.raises(FormatError, match="not a readable CSV file"):
        load_images(tmp_path)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_files_that_are_no_images_are_refused(tmp_path: Path, content: bytes) -> None:
    images = load_images(folder(tmp_path, "file,label\na.png,1\n"))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(FormatError, match=r"a\.png: (not an image file|damaged image)"):
        list(images.batches(1))


def test_shapes_in_words() -> None:
    assert shape_text(("N", 3, None)) == "N x 3 x ?"
    assert shape_text(None) == "?" and shape_text(()) == "scalar"
