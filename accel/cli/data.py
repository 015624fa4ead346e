"""Arrays and labelled images from files that nobody vouches for."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accel.errors import FormatError, missing_extra


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, or the one array of an .npy file under the name ''."""
    try:
        stored = np.load(path, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            return {"": stored}
        with stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError, NotImplementedError, SyntaxError) as why:
        reason = "" if "pickle" in str(why) else f" ({why})"  # NumPy advises to load, unsafely, whatever it is
        raise FormatError(f"{path}: not a readable .npy or .npz file of plain numbers{reason}") from None


@dataclass
class Images:
    """Labelled images, read in batches: `arrays` in memory, or `files` in a folder."""

    source: Path
    labels: np.ndarray
    arrays: np.ndarray | None = None
    files: Sequence[Path] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[tuple[Sequence[np.ndarray], np.ndarray]]:
        """(images, labels), `size` at a time; the last batch may be smaller, images from files may differ in size."""
        for start in range(0, len(self), size):
            labels = self.labels[start : start + size]
            if self.arrays is not None:
                yield list(self.arrays[start : start + size]), labels
            else:
                yield [_read_image(file) for file in self.files[start : start + size]], labels


def load_images(path: Path, limit: int | None = None) -> Images:
    """Labelled images: an .npz with `images` and `labels`, or a folder of image files with labels.csv.

    labels.csv has a head line with the columns `file` and `class_index` (or `label`), an integer.
    """
    images = _from_folder(path) if path.is_dir() else _from_npz(path)
    if limit is not None:
        images.labels = images.labels[:limit]
        images.files = images.files[:limit]
        images.arrays = None if images.arrays is None else images.arrays[:limit]
    if len(images) == 0:
        raise FormatError(f"{path}: holds no images")
    return images


def _from_npz(path: Path) -> Images:
    arrays = load_arrays(path)
    missing = [name for name in ("images", "labels") if name not in arrays]
    if missing:
        raise FormatError(f"{path}: expected the arrays 'images' and 'labels', got {', '.join(arrays) or 'none'}")
    images, labels = arrays["images"], arrays["labels"]
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise FormatError(f"{path}: labels: expected integers of one axis, got {labels.dtype} of shape {labels.shape}")
    if images.ndim < 2 or images.dtype.kind not in "uif" or len(images) != len(labels):
        raise FormatError(
            f"{path}: images: expected {len(labels)} arrays of numbers, one per label, "
            f"got {images.dtype} of shape {images.shape}"
        )
    return Images(path, labels.astype(np.int64), images)


def _from_folder(folder: Path) -> Images:
    files, labels = [], []
    with open(folder / "labels.csv", newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        try:
            heads = rows.fieldnames or []
            column = next((head for head in ("class_index", "label") if head in heads), None)
            if "file" not in heads or column is None:
                raise FormatError(
                    f"{stream.name}: expected the columns 'file' and 'class_index' or 'label', got {', '.join(heads)}"
                )
            for row in rows:
                files.append(_inside(folder, row["file"] or "", rows.line_num))
                labels.append(_label(row[column], stream.name, rows.line_num))
        except (csv.Error, UnicodeDecodeError) as why:
            raise FormatError(f"{stream.name}: not a readable CSV file ({why})") from None
    return Images(folder, np.array(labels, np.int64), files=files)


def _inside(folder: Path, name: str, line: int) -> Path:
    """The file in the folder; a name that leads out of it is refused."""
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise FormatError(f"{folder / 'labels.csv'}: line {line}: expected a file name inside the folder, got {name!r}")
    return folder / name


def _label(text: str | None, name: str, line: int) -> int:
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise FormatError(f"{name}: line {line}: expected a class number, got {text!r}")
    return int(text)


def _read_image(path: Path) -> np.ndarray:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise missing_extra("pillow", "image", "reading image files") from None
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:
        raise FormatError(f"{path}: not an image file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as why:
        if isinstance(why, OSError) and why.strerror:
            raise
        raise FormatError(f"{path}: damaged image ({why})") from None


def shape_text(shape: Sequence[Any] | None) -> str:
    """N x 3 x 32 x 32; an unknown dimension is '?'."""
    if shape is None:
        return "?"
    return " x ".join("?" if dim is None else str(dim) for dim in shape) or "scalar"
