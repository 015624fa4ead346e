"""How a convolution is laid out for the native kernels, and one run through them."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from accel.kernels import program as native
from accel.kernels import runtime
from accel.kernels.sparse import sparse_conv2d
from accel.reference.winograd import folded_weights

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
Packed = tuple[Any, np.ndarray]
"""Weights as a method reads them, an array but for sparse ones, and the bias."""
FFT_KERNEL = (5, 13)
"""Rows or columns, whichever are more, of kernels for tiled FFT convolution: below, Winograd is shorter; above,
its tiles of 16 x 16 hold hardly any outputs."""


class Route(Enum):
    """Which layout a convolution reads and writes, by its channels and groups."""

    BLOCKED = "blocked"  # channel blocks in, channel blocks out
    GATHER = "gather"  # few or unaligned input channels: planes in, channel blocks out
    GATHER_GROUPS = "gather groups"  # the same, each group's output in blocks of its own; then closed up
    DEPTHWISE = "depthwise"
    PLANES = "planes"  # planes in and out
    FOLDED = "folded"  # planes in, their strides folded into channels (csrc/kernels/layout/fold.h); channel blocks out


def route(w_shape: tuple[int, ...], group: int) -> Route:
    """The layout of direct convolution for weights of shape (O, C/group, kh, kw)."""
    out, per_group = w_shape[:2]
    if group == 1:
        # Below half a block, reading planes costs less than filling blocks with zeros.
        return Route.BLOCKED if per_group >= native.BLOCK // 2 else Route.GATHER
    if per_group == 1 and out == group:
        return Route.DEPTHWISE
    if out // group % native.BLOCK:
        return Route.GATHER_GROUPS
    return Route.GATHER if per_group % native.BLOCK else Route.BLOCKED


class Method(NamedTuple):
    """An algorithm and the layout that it reads and writes."""

    route: Route
    algorithm: str  # direct, im2col, fft, sparse, or winogradM with tiles of M x M outputs

    def __str__(self) -> str:
        return self.algorithm if self.route is Route.BLOCKED else f"{self.algorithm} {self.route.value}"

    @property
    def reads_planes(self) -> bool:
        return self.route in (Route.GATHER, Route.GATHER_GROUPS)

    @property
    def tile(self) -> int:
        """Outputs per side of a Winograd tile, 0 for other algorithms."""
        return int(self.algorithm[8:]) if self.algorithm.startswith("winograd") else 0

    @property
    def transforms(self) -> bool:
        """Whether weights are transformed, and so must be finite."""
        return self.tile > 0 or self.algorithm == "fft"

    def source_map(self, shape: tuple[int, ...], pads: Pads) -> Any:
        """The map of an input of `shape` that the method reads; not of a folded one."""
        return (native.plain_map if self.reads_planes else native.blocked_map)(shape, max(pads))

    def pack(self, w: np.ndarray, bias: np.ndarray | None, strides: Pair, group: int) -> Packed:
        """Weights and bias as the kernel reads them."""
        if self.route is Route.DEPTHWISE:
            return native.pack_depthwise(w), native.pack_bias(bias, w.shape[0])
        if self.route is Route.FOLDED:
            w, strides = folded_weights(w, strides[0]), (1, 1)
        if self.tile:
            return native.pack_winograd(w, self.tile, strides[0], group), native.pack_bias(bias, w.shape[0])
        if self.algorithm == "fft":
            return native.pack_fft(w, group), native.pack_bias(bias, w.shape[0])
        if self.route is Route.GATHER_GROUPS:
            column = np.zeros((w.shape[0], 1), np.float32) if bias is None else bias[:, np.newaxis]
            bias, w = native.pad_groups(column, group)[:, 0], native.pad_groups(w, group)
        if self.algorithm == "im2col":
            return native.pack_conv(w.reshape(w.shape[0], -1, 1, 1), gather=False), native.pack_bias(bias, w.shape[0])
        return native.pack_conv(w, gather=self.reads_planes), native.pack_bias(bias, w.shape[0])

    def prepare(self, spec: Any, threads: int) -> Any:
        """The kernel for one shape, for `Program.conv`. `threads`: the most that a run will ask for."""
        core, isa = runtime.core, runtime.isa_index()
        if self.route is Route.DEPTHWISE:
            return core.prepare_depthwise(isa, spec)
        if self.route is Route.PLANES:
            return core.prepare_plane_depthwise(isa, spec, threads)
        if self.tile:
            return core.prepare_winograd(isa, spec, self.tile, threads)
        if self.algorithm == "fft":
            return core.prepare_fft(isa, spec, threads)
        if self.algorithm == "im2col":
            return core.prepare_im2col(isa, spec, threads)
        return core.prepare_direct(isa, spec)


SPARSE = Method(Route.PLANES, "sparse")
"""Of the weights' values that are not zero, see accel.kernels.sparse: packed and prepared there."""

SPARSE_VECTOR = Method(Route.PLANES, "sparse vector")
"""The same for maps of one pixel: a matrix product, see accel.kernels.spmv."""

PLANE_DEPTHWISE = Method(Route.PLANES, "direct")
"""A depthwise convolution whose input lies in planes."""

_FORMS = {3: (2, 4, 6), 5: (4,)}
"""Winograd tiles by kernel size."""
_STRIDED_FORMS = {3: (3, 5)}
"""The same with a stride of two, over blocks."""
_FOLDED_FORMS = {3: (4,), 4: (3, 5)}
"""The same for kernels with a folded stride."""
_EVEN_TILES = 8
_MOST_FOLDED = 64
"""Channels after folding: only the first layers of networks have so few before it."""


def methods(w_shape: tuple[int, ...], strides: Pair, dilations: Pair, group: int) -> list[Method]:
    """Every method that can compute this convolution, direct first."""
    found = [Method(route(w_shape, group), "direct")]
    out, per_group, height, width = w_shape
    gaps = group > 1 and out // group % native.BLOCK
    found.append(Method(Route.GATHER_GROUPS if gaps else Route.GATHER, "im2col"))
    if dilations != (1, 1):
        return found
    aligned = group == 1 or (out // group % native.BLOCK == 0 and per_group % native.BLOCK == 0)
    if strides == (2, 2) and aligned and height == width:
        found += [Method(Route.BLOCKED, f"winograd{m}") for m in _STRIDED_FORMS.get(height, ())]
    if strides == (1, 1) and aligned:
        if height == width:
            found += [Method(Route.BLOCKED, f"winograd{m}") for m in _FORMS.get(height, ())]
        if FFT_KERNEL[0] <= max(height, width) <= FFT_KERNEL[1]:
            found.append(Method(Route.BLOCKED, "fft"))
    stride = strides[0]
    if stride == strides[1] > 1 and height == width and group == 1 and per_group * stride**2 <= _MOST_FOLDED:
        found += [Method(Route.FOLDED, f"winograd{m}") for m in _FOLDED_FORMS.get(-(-height // stride), ())]
    return found


def even_tiles(size: int, m: int) -> bool:
    """Whether `size` outputs are cut into tiles of nearly equal length, not of m from the first on:
    csrc/kernels/winograd/tiling.h."""
    tiles = -(-size // m)
    return 1 < tiles <= _EVEN_TILES and tiles * m - size > 1


class Folded(NamedTuple):
    """A strided convolution over planes as one of stride 1 over blocks."""

    fold: Any  # FoldSpec
    map: Any  # what it makes
    kernel: Pair

    @classmethod
    def of(cls, shape: tuple[int, ...], kernel: int, stride: int, pads: Pads, size: Pair) -> Folded:
        """For an input of `shape` and an output of `size`."""
        taps = -(-kernel // stride)
        folded = (shape[0], shape[1] * stride**2, size[0] + taps - 1, size[1] + taps - 1)
        layout = native.blocked_map(folded)
        return cls(runtime.core.FoldSpec(shape, stride, pads[0], pads[1], layout), layout, (taps, taps))


def method_named(algorithm: str, w_shape: tuple[int, ...], strides: Pair, dilations: Pair, group: int) -> Method:
    """The method of an algorithm's name; ValueError where it cannot compute this convolution."""
    for method in methods(w_shape, strides, dilations, group):
        if method.algorithm == algorithm:
            return method
    raise ValueError(
        f"algorithm: {algorithm} cannot compute a convolution with weights of shape {w_shape}, strides {strides}, "
        f"dilations {dilations} and group {group}"
    )


def grouped_channels(out: int, group: int) -> int:
    """Channels of the map in which every group starts a block."""
    return group * -(-(out // group) // native.BLOCK) * native.BLOCK


def conv2d_native(
    x: np.ndarray,
    w_shape: tuple[int, ...],
    method: Method,
    packed: Packed,
    shape: tuple[int, int, int, int],
    strides: Pair,
    pads: Pads,
    dilations: Pair,
    group: int,
) -> np.ndarray:
    """Arguments as checked by accel.kernels.conv.conv2d; `packed` by `method`; `shape` is that of the result."""
    if method == SPARSE:
        return sparse_conv2d(x, *packed, shape, (w_shape[2], w_shape[3]), strides, pads, dilations)
    y = runtime.empty(shape, np.float32)
    target = native.blocked_map(shape)
    grouped = native.blocked_map((shape[0], grouped_channels(shape[1], group), *shape[2:]))
    closes = method.route is Route.GATHER_GROUPS
    result = grouped if closes else target
    program = native.new_program()
    plain, laid, blocks, scratch, closed, out = (native.place(i) for i in range(6))
    source, spec = conv_steps(
        method, x.shape, result, (w_shape[2], w_shape[3]), strides, pads, dilations, group, program, plain, laid
    )
    prepared = method.prepare(spec, runtime.threads())
    program.conv(prepared, laid, blocks, native.place(native.NOWHERE), scratch, *packed)
    if closes:
        program.close_groups(grouped, blocks, group, target, closed)
    program.export_plain(target, closed if closes else blocks, out)
    sizes = (source.floats, result.floats, prepared.scratch_floats, target.floats if closes else 0)
    arrays = [x, *(runtime.empty(size, np.float32) for size in sizes), y]
    native.run(program, np.zeros(6, np.uintp), list(enumerate(arrays)), threads=runtime.threads(), keep_denormals=True)
    return y


def conv_steps(
    method: Method,
    shape: tuple[int, ...],
    result: Any,
    kernel: Pair,
    strides: Pair,
    pads: Pads,
    dilations: Pair,
    group: int,
    program: Any,
    plain: Any,
    laid: Any,
) -> tuple[Any, Any]:
    """Adds the step that lays a plain input out as `method` reads it; returns its map, and the convolution's spec."""
    if method.route is Route.FOLDED:
        folded = Folded.of(shape, kernel[0], strides[0], pads, (result.height, result.width))
        program.fold(folded.fold, plain, laid)
        one = (1, 1)
        return folded.map, native.conv_spec(
            folded.map, result, folded.kernel, strides=one, before=(0, 0), dilations=one, fold=(strides[0], kernel[0])
        )
    source = method.source_map(shape, pads)
    program.import_plain(source, plain, laid)
    return source, native.conv_spec(
        source, result, kernel, strides=strides, before=pads[:2], dilations=dilations,
        groups=1 if method.route is Route.DEPTHWISE else group,
    )  # fmt: skip
