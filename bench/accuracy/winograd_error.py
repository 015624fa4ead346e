"""The error of each way to compute a convolution, against float64, and what Winograd's points have to do with it.

    python bench/accuracy/winograd_error.py --out bench/results/winograd_error.json

Images are standard normal, weights normal with variance 1 / K, K = C kh kw. A row is the worst of a few of them. Rows
with points run the same float32 loop in NumPy with other points: they compare points, not kernels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from accel.kernels import conv2d
from accel.reference import conv as reference
from accel.reference import winograd

sys.path[:0] = [str(Path(__file__).parents[1])]
from conftest import machine, publish  # noqa: E402

CHANNELS, FIRST = (16, 64, 256), (3,)
METHODS = {
    (3, 1): (CHANNELS, ("direct", "winograd2", "winograd4", "winograd6")),
    (3, 2): (CHANNELS, ("direct", "winograd3", "winograd5")),
    (5, 1): (CHANNELS, ("direct", "winograd4", "fft")),
    (7, 1): (CHANNELS, ("direct", "fft")),
    (7, 2): (FIRST, ("direct", "winograd3", "winograd5")),
    (11, 1): (CHANNELS, ("direct", "fft")),
    (11, 4): (FIRST, ("direct", "winograd4")),
}
"""Channels and methods by kernel and stride; strides of few channels are folded into them."""
OUT, SIZE, SEEDS = 32, 24, 3
POINTS = {
    4: {"0, ±1, ±2": (0.0, 1.0, -1.0, 2.0, -2.0), "0, ±1, ±½": (0.0, 1.0, -1.0, 0.5, -0.5), "0, ±√½, ±√2": None},
    6: {
        "0, ±1, ±2, ±3": (0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0),
        "0, ±√½, ±√2, ±1": (0.0, np.sqrt(0.5), -np.sqrt(0.5), np.sqrt(2.0), -np.sqrt(2.0), 1.0, -1.0),
        "0, ±1, ±½, ±2": None,
    },
}
"""Finite points by m, for 3 x 3 kernels; None: accel's own."""
Convolve = Callable[[np.ndarray, np.ndarray], np.ndarray]


def by_points(m: int, points: tuple[float, ...] | None) -> Convolve:
    """The loop of accel.reference.winograd in float32."""
    at, g, bt = winograd.matrices(m, 3, points)
    single = [matrix.astype(np.float32) for matrix in (at, bt)]

    def convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        n, u = m + 2, (g @ w.astype(np.float64) @ g.T).astype(np.float32)
        side = (x.shape[2] - 2) // m * m
        y = np.zeros((1, w.shape[0], side, side), np.float32)
        for i in range(0, side, m):
            for j in range(0, side, m):
                v = single[1] @ x[0, :, i : i + n, j : j + n] @ single[1].T
                products = np.einsum("ocij,cij->oij", u, v)
                y[0, :, i : i + m, j : j + m] = single[0] @ products @ single[0].T
        return y

    return convolve


def row(name: str, kernel: int, stride: int, channels: int, convolve: Convolve) -> dict[str, Any]:
    """The worst of a few images: errors relative to the largest output, and the constant of the bound."""
    eps, found = float(np.finfo(np.float32).eps), []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        size = (SIZE - 1) * stride + kernel
        x = rng.standard_normal((1, channels, size, size), np.float32)
        w = rng.standard_normal((OUT, channels, kernel, kernel), np.float32) / np.float32(np.sqrt(channels) * kernel)
        y = convolve(x, w)
        side = y.shape[2]
        exact = reference.conv2d(x, w, strides=(stride, stride))[:, :, :side, :side]
        scale = reference.conv2d(np.abs(x), np.abs(w), strides=(stride, stride)).max() * eps * np.sqrt(w[0].size)
        error = np.abs(y - exact)
        found.append(
            (error.max() / np.abs(exact).max(), np.sqrt((error**2).mean()) / np.abs(exact).max(), error.max() / scale)
        )
    largest, mean, constant = (float(max(values)) for values in zip(*found, strict=True))
    return {
        "kernel": kernel,
        "stride": stride,
        "method": name,
        "channels": channels,
        "largest": largest,
        "rms": mean,
        "constant": constant,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="write the results here")
    chosen = parser.parse_args()
    results = [
        row(name, kernel, stride, channels, partial(conv2d, strides=stride, algorithm=name))
        for (kernel, stride), (several, names) in METHODS.items()
        for channels in several
        for name in names
    ]
    results += [
        row(f"winograd{m}, points {name}", 3, 1, 64, by_points(m, points))
        for m, several in POINTS.items()
        for name, points in several.items()
    ]
    document = {
        "kind": "errors",
        "command": "python bench/accuracy/winograd_error.py --out bench/results/" + chosen.out.name,
        "machine": machine(),
        "results": results,
    }
    publish(document, chosen.out)


if __name__ == "__main__":
    main()
