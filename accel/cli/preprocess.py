"""Named preprocessing: how stored images become the array a network was trained on.

    NAME[:key=value[;key=value...]]      for example  imagenet-caffe   unit:mean=0.5;std=0.25   imagenet:size=224

Keys: scale (pixels are divided by it), mean, std (one number or one per channel, after the division), order (rgb or
bgr), size (height and width in pixels, or H,W; images are resized bilinearly), threshold (pixels become +1 from it on
and -1 below, and each image one row).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from accel.errors import missing_extra


@dataclass(frozen=True)
class Preprocess:
    """y = (pixels / scale - mean) / std per channel in `order`; or signs, when `threshold` is set."""

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    order: str = "rgb"
    size: tuple[int, int] | None = None
    threshold: float | None = None

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Images (H, W, C) or (H, W) of any real dtype to float32 (N, C, H, W); signs to (N, H*W*C)."""
        stacked = self._stack(images)
        if self.threshold is not None:
            return np.where(stacked >= self.threshold, np.float32(1), np.float32(-1)).reshape(len(stacked), -1)
        channels = stacked.shape[3]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(
                    f"preprocess: {name} has {len(values)} values, but the images have {channels} channels"
                )
        if self.order == "bgr":
            stacked = stacked[..., ::-1]
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        y = (stacked.astype(np.float32) / np.float32(self.scale) - mean) / std
        return np.ascontiguousarray(y.transpose(0, 3, 1, 2))

    def _stack(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """One array (N, H, W, C), resized when `size` says so."""
        planes = [image[..., np.newaxis] if image.ndim == 2 else image for image in images]
        for image in planes:
            if image.ndim != 3 or image.dtype.kind not in "uif":
                raise ValueError(
                    f"images: expected numbers of shape (H, W, C) or (H, W), got {image.dtype} {image.shape}"
                )
        if self.size is not None:
            planes = [image if image.shape[:2] == self.size else resize(image, self.size) for image in planes]
        shapes = sorted({image.shape for image in planes})
        if len(shapes) > 1:
            raise ValueError(
                f"images: of several shapes ({shapes[0]}, {shapes[1]}, ...); add size= to the preprocessing"
            )
        return np.stack(planes)


IMAGENET = Preprocess(scale=255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
NAMED = {
    "raw255": Preprocess(),
    "unit": Preprocess(scale=255),
    "imagenet": IMAGENET,
    "cifar10": IMAGENET,
    "imagenet-caffe": Preprocess(mean=(104, 117, 123), order="bgr"),
    "mnist-sign": Preprocess(threshold=128),
}


def parse(text: str) -> Preprocess:
    """The preprocessing that `text` names; ValueError for an unknown name, key or value."""
    name, _, options = text.partition(":")
    if name not in NAMED:
        raise ValueError(f"preprocess: expected one of {', '.join(NAMED)}, got {name!r}")
    changes = {}
    for option in filter(None, options.split(";")):
        key, _, value = option.partition("=")
        changes[key] = _value(key.strip(), value.strip())
    return replace(NAMED[name], **changes)


def _value(key: str, text: str) -> Any:
    if key == "order":
        if text not in ("rgb", "bgr"):
            raise ValueError(f"preprocess: order: expected rgb or bgr, got {text!r}")
        return text
    if key not in ("scale", "mean", "std", "size", "threshold"):
        raise ValueError(f"preprocess: expected the keys scale, mean, std, order, size or threshold, got {key!r}")
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"preprocess: {key}: expected numbers separated by commas, got {text!r}") from None
    if not np.isfinite(numbers).all() or (key in ("scale", "std") and 0 in numbers):
        raise ValueError(
            f"preprocess: {key}: expected finite{', non-zero' if key != 'mean' else ''} numbers, got {text!r}"
        )
    if key == "size":
        return _size(numbers, text)
    if key in ("scale", "threshold"):
        if len(numbers) != 1:
            raise ValueError(f"preprocess: {key}: expected one number, got {text!r}")
        return numbers[0]
    return numbers


def _size(numbers: tuple[float, ...], text: str) -> tuple[int, int]:
    if len(numbers) > 2 or any(n != int(n) or not 1 <= n <= 16384 for n in numbers):
        raise ValueError(f"preprocess: size: expected one or two integers in 1..16384, got {text!r}")
    return int(numbers[0]), int(numbers[-1])


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) to (size, C): bilinear as Pillow does it, which averages when it shrinks."""
    try:
        from PIL import Image
    except ImportError:
        raise missing_extra("pillow", "image", "resizing images") from None
    planes = [
        Image.fromarray(np.ascontiguousarray(image[..., c], dtype=np.float32)).resize(
            (size[1], size[0]), Image.Resampling.BILINEAR
        )
        for c in range(image.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)
