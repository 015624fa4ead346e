"""The demo network and its data: a small CNN for the 8x8 digits of scikit-learn, shipped with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from accel.errors import missing_extra


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 1, 8, 8) float32 with pixels 0..16, and labels (1797,) int64, in scikit-learn's order."""
    try:
        from sklearn import datasets
    except ImportError:
        raise missing_extra("scikit-learn", "demo", "the digits data set") from None
    images, labels = datasets.load_digits(return_X_y=True)
    pixels: np.ndarray = np.reshape(images, (-1, 1, 8, 8)).astype(np.float32)
    return pixels, np.asarray(labels, np.int64)


def held_out(count: int) -> np.ndarray:
    """Which images the network was not trained on: every fourth, as a mask."""
    mask: np.ndarray = np.arange(count) % 4 == 3
    return mask


def network_path() -> Path:
    """The shipped network, float32, made by scripts/train_digits.py."""
    return Path(__file__).parent / "data" / "digits.accel"
