"""Accuracy of a classifier on labelled images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel.cli.data import Images
from accel.cli.preprocess import Preprocess


@dataclass(frozen=True)
class Accuracy:
    """Hits among `images`; `top5` is None for fewer than six classes."""

    images: int
    classes: int
    top1: int
    top5: int | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "classes": self.classes,
            "top1": self.top1 / self.images,
            "top5": None if self.top5 is None else self.top5 / self.images,
            "seconds": self.seconds,
        }


def evaluate(
    run: Callable[[np.ndarray], np.ndarray],
    images: Images,
    preprocess: Preprocess,
    batch: int,
    advance: Callable[..., None] = lambda by: None,
) -> Accuracy:
    """Run every image through `run` (array in, scores of shape (N, classes, 1...) out) and count the hits.

    Raises
    ------
    ValueError  the scores are not one row per image, or a label is no class of the network.
    """
    top1 = top5 = classes = 0
    seconds = 0.0
    for stored, labels in images.batches(batch):
        x = preprocess(stored)
        start = time.perf_counter()
        scores = run(x)
        seconds += time.perf_counter() - start
        ranks = _ranking(scores, labels)
        classes = ranks.shape[1]
        top1 += int((ranks[:, 0] == labels).sum())
        top5 += int((ranks[:, :5] == labels[:, None]).sum())
        advance(len(labels))
    return Accuracy(len(images), classes, top1, top5 if classes > 5 else None, seconds)


def _ranking(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Classes from the highest score to the lowest, NaN last, of each image."""
    rows = scores.reshape(len(scores), -1) if scores.ndim > 1 else scores.reshape(1, -1)
    if len(rows) != len(labels) or rows.shape[1] < 2:
        raise ValueError(
            f"the network's output: expected {len(labels)} rows of class scores, got shape {scores.shape}; "
            "choose another with --output"
        )
    if labels.max() >= rows.shape[1] or labels.min() < 0:
        raise ValueError(f"labels: expected classes 0..{rows.shape[1] - 1}, got {labels.max()}")
    return np.argsort(-rows, axis=1, kind="stable")
