"""What the training scripts share: data as tensors, augmentation, the answers of PyTorch and accel, the result file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import accel
from accel.demo import held_out, load_digits

ROOT = Path(__file__).parents[1]
BATCH = 100

Images = tuple[torch.Tensor, torch.Tensor]
"""(N, C, H, W) float32 in [-1, 1], and labels (N,)."""


def image_folder() -> Path:
    """Where the data sets are that ACCEL_DATA names."""
    return Path(os.environ.get("ACCEL_DATA") or ROOT.parent / "shared" / "data") / "images"


def tensors(images: np.ndarray, labels: np.ndarray) -> Images:
    return torch.from_numpy(np.ascontiguousarray(images, np.float32)), torch.from_numpy(labels.astype(np.int64))


def split(images: np.ndarray, labels: np.ndarray) -> tuple[Images, Images]:
    """Images to train on, and every fourth one held out."""
    test = held_out(len(labels))
    return tensors(images[~test], labels[~test]), tensors(images[test], labels[test])


def digit_images() -> tuple[Images, Images]:
    """The 8x8 digits of scikit-learn."""
    pixels, labels = load_digits()
    return split(pixels / np.float32(8) - 1, labels)


def augmented(images: torch.Tensor, mirror: bool, generator: torch.Generator) -> torch.Tensor:
    """The batch moved by at most an eighth of its width, every second one mirrored where that keeps the class."""
    most = images.shape[-1] // 8
    down, right = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
    padded = nn.functional.pad(images, (most,) * 4)
    rows, columns = (slice(most + d, most + d + images.shape[-1]) for d in (down, right))
    moved = padded[:, :, rows, columns]
    return moved.flip(3) if mirror and torch.rand((), generator=generator) < 0.5 else moved


def scores(model: nn.Module, images: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([model(batch).numpy() for batch in images.split(BATCH)])


def engine_scores(network: Path, images: torch.Tensor) -> np.ndarray:
    session = accel.InferenceSession(network, threads=1)
    return np.concatenate([session.run(None, {"input": batch.numpy()})[0] for batch in images.split(BATCH)])


def same_predictions(ours: np.ndarray, torchs: np.ndarray, sure: np.ndarray) -> int:
    """How many images get another class from accel than from PyTorch; none of those that are decided may."""
    other = ours.argmax(1) != torchs.argmax(1)
    if (other & sure).any():
        raise AssertionError(f"accel and PyTorch disagree on the images {np.flatnonzero(other & sure).tolist()}")
    return int(other.sum())


def write(path: Path, kind: str, flags: str, results: list[dict[str, Any]]) -> None:
    """The results as JSON, with the command that made them and the machine."""
    sys.path[:0] = [str(ROOT / "bench")]
    from conftest import machine

    command = f"python scripts/{Path(sys.argv[0]).name} {flags} --out bench/results/{path.name}"
    document = {"kind": kind, "command": command, "machine": machine(), "results": results}
    path.write_text(json.dumps(document, indent=1) + "\n")
