"""Pooling layers of ResNet, VGG and Inception at batch 1 beside torch, one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from accel.kernels import average_pool2d, global_average_pool2d, max_pool2d
from accel.reference import conv as reference

CASES: dict[str, tuple[str, tuple[int, int], dict[str, int]]] = {
    "max/resnet/112": ("max", (64, 112), {"kernel": 3, "strides": 2, "pads": 1}),
    "max/vgg/56": ("max", (256, 56), {"kernel": 2, "strides": 2, "pads": 0}),
    "average/inception/35": ("average", (192, 35), {"kernel": 3, "strides": 1, "pads": 1}),
    "global/resnet/7": ("global", (2048, 7), {}),
}


def image(name: str) -> np.ndarray:
    channels, side = CASES[name][1]
    return np.random.default_rng(0).standard_normal((1, channels, side, side), np.float32)


def wanted(name: str, x: np.ndarray) -> np.ndarray:
    kind, _, window = CASES[name]
    if kind == "global":
        return x.astype(np.float64).mean(axis=(2, 3), keepdims=True)
    function = reference.max_pool2d if kind == "max" else reference.average_pool2d
    strides, pads = (window["strides"],) * 2, (window["pads"],) * 4
    return function(x, (window["kernel"],) * 2, strides=strides, pads=pads)  # type: ignore[arg-type]


def measure(benchmark: BenchmarkFixture, name: str, x: np.ndarray, call: Callable[[], np.ndarray]) -> None:
    y = call()
    np.testing.assert_allclose(y, wanted(name, x), rtol=1e-5, atol=1e-6)
    cells = CASES[name][2].get("kernel", CASES[name][1][1]) ** 2
    benchmark.group = f"pool/{name}"
    benchmark.extra_info |= {"operations": int(y.size) * cells, "bytes": x.nbytes + y.nbytes}
    benchmark(call)


@pytest.mark.parametrize("name", CASES)
def bench_pool(benchmark: BenchmarkFixture, implementation: str, name: str) -> None:
    kind, _, window = CASES[name]
    x = image(name)
    function: Callable[..., np.ndarray] = {
        "max": max_pool2d, "average": average_pool2d, "global": global_average_pool2d
    }[kind]  # fmt: skip
    measure(benchmark, name, x, lambda: function(x, **window))


@pytest.mark.parametrize("name", CASES)
def bench_pool_torch(benchmark: BenchmarkFixture, name: str) -> None:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    kind, _, window = CASES[name]
    x, functional = image(name), torch.nn.functional
    tensor = torch.from_numpy(x)
    arguments: dict[str, Any] = {"kernel_size": window.get("kernel"), "stride": window.get("strides")}
    arguments["padding"] = window.get("pads")
    calls: dict[str, Callable[[], Any]] = {
        "max": lambda: functional.max_pool2d(tensor, **arguments),
        "average": lambda: functional.avg_pool2d(tensor, **arguments, count_include_pad=False),
        "global": lambda: functional.adaptive_avg_pool2d(tensor, 1),
    }
    with torch.inference_mode():
        measure(benchmark, name, x, lambda: calls[kind]().numpy())
