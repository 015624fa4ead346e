"""Train a small binary CNN and its float twin in PyTorch, export both, and run the binary one in accel.

    ACCEL_DATA=... python scripts/train_binary.py --out bench/results/binary_accuracy.json

Data: CIFAR-10 images of the data folder that ACCEL_DATA names (images/cifar10_{train10k,test}_jpeg.npz), or without it
the 8x8 digits of scikit-learn, every fourth image held out. The first and the last layer stay float, as in the papers.
The seed is fixed and one thread is used. Needs torch, onnxscript and scikit-learn: pip install 'accel[torch,demo]'.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from torch import nn

import accel
from accel.demo import held_out, load_digits
from accel.integrations.torch import (
    METHODS,
    BinaryConv2d,
    BinaryLinear,
    clip_weights_,
    export_onnx,
    update_curvature_,
)

ROOT = Path(__file__).parents[1]
SEED = 1
BATCH = 100


class Data(NamedTuple):
    """Images (N, C, H, W) float32 in [-1, 1] and labels (N,) int64, to train on and held out; and the network's sizes."""

    name: str
    train: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    stem: tuple[int, int]  # kernel and stride of the float first layer
    channels: tuple[int, ...]  # of the float first layer, then of each binary convolution
    pools: tuple[bool, ...]  # behind which of them the map is halved
    features: int  # of the binary layer before the float last one
    epochs: int


def tensors(images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(np.ascontiguousarray(images, np.float32)), torch.from_numpy(labels.astype(np.int64))


def digits() -> Data:
    pixels, labels = load_digits()
    images, test = pixels / np.float32(8) - 1, held_out(len(labels))
    sets = (tensors(images[mask], labels[mask]) for mask in (~test, test))
    return Data("digits", *sets, (3, 1), (32, 64, 64), (False, True, False), 128, 20)


def cifar10(folder: Path) -> Data:
    sets = []
    for name in ("train10k", "test"):
        with np.load(folder / f"cifar10_{name}_jpeg.npz", allow_pickle=False) as stored:
            images = stored["images"].transpose(0, 3, 1, 2) / np.float32(127.5) - 1
            sets.append(tensors(images, stored["labels"]))
    return Data("CIFAR-10", *sets, (5, 2), (32, 64, 64, 128), (False, True, False, True), 256, 5)


def build(data: Data, method: str | None) -> nn.Sequential:
    """The float twin (method None), or the same network with binary layers between its first and its last.

    Behind every convolution: pool, then batch-norm, then a ReLU, or with binary inputs the sign that the next layer takes.
    """
    options = METHODS[method] if method else {}
    conv: Callable[..., nn.Module] = BinaryConv2d if method else nn.Conv2d
    linear: Callable[..., nn.Module] = BinaryLinear if method else nn.Linear
    signs = bool(method) and options["binary_input"]
    kernel, stride = data.stem
    inputs, size = data.train[0].shape[1], data.train[0].shape[2] // stride
    layers: list[nn.Module] = []
    for outputs, pool in zip(data.channels, data.pools, strict=True):
        if layers:
            layers.append(conv(inputs, outputs, 3, padding=1, bias=False, **options))
        else:
            layers.append(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False))
        layers += [nn.MaxPool2d(2)] if pool else []
        layers += [nn.BatchNorm2d(outputs)] + ([] if signs else [nn.ReLU()])
        inputs, size = outputs, size // 2 if pool else size
    layers += [nn.Flatten(), linear(inputs * size * size, data.features, bias=False, **options)]
    layers += [nn.BatchNorm1d(data.features), nn.Hardtanh() if signs else nn.ReLU(), nn.Linear(data.features, 10)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def augmented(images: torch.Tensor, mirror: bool, generator: torch.Generator) -> torch.Tensor:
    """The batch moved by at most an eighth of its width, every second one mirrored where that keeps the class."""
    most = images.shape[-1] // 8
    down, right = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
    padded = nn.functional.pad(images, (most,) * 4)
    rows, columns = (slice(most + d, most + d + images.shape[-1]) for d in (down, right))
    moved = padded[:, :, rows, columns]
    return moved.flip(3) if mirror and torch.rand((), generator=generator) < 0.5 else moved


def train(model: nn.Sequential, data: Data, epochs: int, method: str | None) -> float:
    """Adam with cosine decay; one line of progress per epoch. Returns the seconds it took."""
    generator = torch.Generator().manual_seed(SEED)
    images, labels = data.train
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3 if method else 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2 if method else 4e-3, epochs * -(-len(images) // 64))
    begun = time.perf_counter()
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for index in torch.randperm(len(images), generator=generator).split(64):
            optimizer.zero_grad()
            batch = augmented(images[index], data.name == "CIFAR-10", generator)
            loss = nn.functional.cross_entropy(model(batch), labels[index])
            loss.backward()
            optimizer.step()
            schedule.step()
            if method:
                clip_weights_(model)
            if method == "loss-aware":
                update_curvature_(model, optimizer)
            total += loss.item() * len(index)
        seconds = time.perf_counter() - begun
        left = seconds / (epoch + 1) * (epochs - epoch - 1)
        print(
            f"{method or 'float'}: epoch {epoch + 1}/{epochs}, loss {total / len(images):.3f}, {left:.0f} s left",
            file=sys.stderr,
        )
    return time.perf_counter() - begun


def scores(model: nn.Module, images: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([model(batch).numpy() for batch in images.split(BATCH)])


def engine_scores(network: Any, images: torch.Tensor) -> np.ndarray:
    session = accel.InferenceSession(network, threads=1)
    return np.concatenate([session.run(None, {"input": batch.numpy()})[0] for batch in images.split(BATCH)])


if __name__ == "__main__":
    which = sys.argv[1]
    data = digits() if which == "digits" else cifar10(Path("/work/shared/data/images"))
    torch.set_num_threads(1)
    for m in sys.argv[3:]:
        m = None if m == "float" else m
        torch.manual_seed(SEED)
        model = build(data, m)
        s = train(model, data, int(sys.argv[2]), m)
        model.eval()
        t = scores(model, data.test[0])
        e = engine_scores(export_onnx(model, data.test[0][:2]), data.test[0])
        print(m, s, (t.argmax(1) == data.test[1].numpy()).mean(), (t.argmax(1) != e.argmax(1)).sum(), np.abs(t - e).max())
