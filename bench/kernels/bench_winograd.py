"""Prepared convolution steps alone, blocks in and blocks out, on one thread: what of the core each kind of layer uses.

Winograd at the sizes of VGG and ResNet; direct 1 x 1, depthwise and what else is left to direct kernels.
The share in the table counts the operations of the definition, so Winograd's may exceed 100 %. `extra_info` holds them
per cycle, and the share of the peak that the multiplications which are really done reach, both of the fastest run: on a
shared core it says more about the kernel than the median. The clock follows from AVX2's
peak, 16 multiply-adds a cycle on every x86 core with two such ports; without AVX2 nothing is said per cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import accel
from accel.kernels import program, runtime
from accel.kernels._conv_cost import winograd_products
from accel.kernels.conv_native import Method, conv_steps, method_named
from accel.reference import conv as reference

AVX2_MACS = 16
TOLERANCE = 1e-4
"""Relative to the largest output."""
Work = Callable[..., None]


class Layer(NamedTuple):
    algorithm: str
    channels: int
    out: int
    size: int
    kernel: int = 3
    stride: int = 1
    group: int = 1

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        return (self.out, self.channels // self.group, self.kernel, self.kernel)

    @property
    def side(self) -> int:
        return (self.size + 2 * (self.kernel // 2) - self.kernel) // self.stride + 1

    @property
    def method(self) -> Method:
        return method_named(self.algorithm, self.w_shape, (self.stride,) * 2, (1, 1), self.group)

    @property
    def macs(self) -> int:
        """Of the definition."""
        return self.side**2 * int(np.prod(self.w_shape))

    @property
    def multiplications(self) -> int:
        """That are done."""
        m = self.method.tile
        if not m:
            return self.macs
        n = m - 1 - (-self.kernel // self.stride)
        return winograd_products(self.side, m, n, self.stride) ** 2 * self.w_shape[0] * self.w_shape[1]


LAYERS = {
    **{f"3x3/{size}/{c}": Layer("winograd4", c, c, size) for size, c in ((224, 64), (112, 128), (56, 256))},
    **{f"3x3/{size}/{c}": Layer("winograd4", c, c, size) for size, c in ((28, 512), (14, 256))},
    "3x3/7/512": Layer("winograd2", 512, 512, 7),
    **{f"1x1/{size}/{c}": Layer("direct", c, 4 * c, size, 1) for size, c in ((56, 64), (28, 128), (14, 256), (7, 512))},
    "3x3/s2/56/128": Layer("winograd5", 128, 128, 56, 3, 2),
    "3x3/s2/28/256": Layer("winograd5", 256, 256, 28, 3, 2),
    "3x3/s2/14/512": Layer("direct", 512, 512, 14, 3, 2),
    "depthwise/56/144": Layer("direct", 144, 144, 56, 3, 1, 144),
    "depthwise/s2/112/96": Layer("direct", 96, 96, 112, 3, 2, 96),
}


@pytest.mark.parametrize("name", LAYERS)
def bench_step(benchmark: BenchmarkFixture, work: Work, isa: str, name: str) -> None:
    layer = LAYERS[name]
    run, floats = prepared(layer)
    benchmark.group = f"step/{name}/{layer.algorithm}"
    work(2 * layer.macs, 4 * floats)
    benchmark(run)
    peak = benchmark.extra_info["peak operations per second"] / 2
    rate = 1 / benchmark.stats.stats.min
    benchmark.extra_info["multiplications of peak"] = layer.multiplications * rate / peak
    if "avx2" in runtime.isa_info()["supported"]:
        with accel.using(isa="avx2"):
            clock = runtime.fma_peak() / 2 / AVX2_MACS
        benchmark.extra_info["multiply-adds per cycle"] = layer.macs * rate / clock


@pytest.fixture(params=[f"native-{isa}" for isa in reversed(runtime.isa_info()["supported"])])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set in turn, one thread."""
    with accel.using(backend="native", isa=request.param.removeprefix("native-"), threads=1):
        yield request.param


def prepared(layer: Layer) -> tuple[Callable[[], None], int]:
    """What runs the step, after its answer was checked; and the floats that it reads and writes."""
    x, w, bias = arrays(layer)
    stride, pad, method = (layer.stride,) * 2, layer.kernel // 2, layer.method
    target, steps = program.blocked_map((1, layer.out, layer.side, layer.side)), program.new_program()
    plain, laid, blocks, scratch, out = (program.place(i) for i in range(5))
    source, spec = conv_steps(
        method, x.shape, target, (layer.kernel,) * 2, stride, (pad,) * 4, (1, 1), layer.group, steps, plain, laid
    )
    step, packed = method.prepare(spec, 1), method.pack(w, bias, stride, layer.group)
    steps.conv(step, laid, blocks, program.place(program.NOWHERE), scratch, *packed)
    steps.export_plain(target, blocks, out)
    y = np.empty((1, layer.out, layer.side, layer.side), np.float32)
    rooms = [program.aligned(floats) for floats in (source.floats, target.floats, step.scratch_floats)]
    bindings, slots = list(enumerate([x, *rooms, y])), np.zeros(5, np.uintp)
    program.run(steps, slots, bindings)
    check(layer, (x, w, bias), y)
    return lambda: program.run(steps, slots, bindings, first=1, last=2), source.floats + target.floats + packed[0].size


def arrays(layer: Layer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, layer.channels, layer.size, layer.size), np.float32)
    w = rng.standard_normal(layer.w_shape, np.float32)
    return x, w / np.float32(np.sqrt(w[0].size)), rng.standard_normal(layer.out, np.float32)


def check(layer: Layer, given: tuple[np.ndarray, np.ndarray, np.ndarray], y: np.ndarray) -> None:
    """The first, middle and last row of the image against float64."""
    x, w, bias = given
    pad = layer.kernel // 2
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    for row in (0, layer.side // 2, layer.side - 1):
        band = padded[:, :, row * layer.stride : row * layer.stride + layer.kernel]
        wanted = reference.conv2d(band, w, bias, strides=(1, layer.stride), group=layer.group)
        assert np.abs(y[:, :, row] - wanted[:, :, 0]).max() <= TOLERANCE * np.abs(wanted).max()
