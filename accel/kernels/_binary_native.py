"""The functions of binary networks by the native kernels; the same as those of _binary_numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from accel.kernels import program as native
from accel.kernels import runtime
from accel.kernels.conv import Pair

_MOST_SHAPES = 16  # kept ready


def pack_bits(x: np.ndarray, out: np.ndarray) -> None:
    rows, words = x.reshape(-1, x.shape[-1]), out.reshape(-1, out.shape[-1])
    if x.dtype == np.int8:
        runtime.core.pack_bits_i8(rows, words, runtime.threads())
    else:
        runtime.core.pack_bits_f32(runtime.isa_index(), rows, words, runtime.threads())


def pack_pixels(x: np.ndarray, at: np.ndarray, below: np.ndarray, out: np.ndarray) -> None:
    runtime.core.pack_pixels(runtime.isa_index(), x, at, below, out, runtime.threads())


def channel_means(x: np.ndarray, out: np.ndarray) -> None:
    runtime.core.channel_means(runtime.isa_index(), x, out, runtime.threads())


def max_pool(words: np.ndarray, kernel: Pair, strides: Pair, before: Pair, minimum: bool, out: np.ndarray) -> None:
    pool = bit_pool(words.shape, out.shape[1:3], kernel, strides, before, minimum)
    runtime.core.pool_bits(pool, words, out, runtime.threads())


def bit_pool(
    shape: tuple[int, ...], out: tuple[int, ...], kernel: Pair, strides: Pair, before: Pair, minimum: bool
) -> Any:
    """`binary_max_pool2d` of words (N, H, W, words), as `Program.pool_bits` takes it."""
    return runtime.core.BitPool(shape[:3], out, shape[3], kernel, strides, before, minimum)


def matmul(a: np.ndarray, b: np.ndarray, n: int, out: np.ndarray) -> None:
    if n == 0:
        out[...] = 0
        return
    geometry = runtime.core.BinaryGeometry(b.shape[0], n, 1, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), -1)
    isa, core, none = runtime.isa_index(), runtime.core, native.activation(None)
    filters = core.BinaryFilters(isa, geometry, core.BinaryOutput.counts, b[:, None, None], *[None] * 4, none)
    core.BinaryConv(filters, (1, a.shape[0], 1)).run(a, out, None, None, runtime.threads())


def _filters(conv: Any) -> Any:
    """The filters of a `BinaryConv` packed for the instruction set in force."""
    make, outputs, none = runtime.core.BinaryFilters, runtime.core.BinaryOutput, native.activation(None)
    geometry = runtime.core.BinaryGeometry(
        conv.filters, conv.channels, conv.group, conv.kernel, conv.strides, conv.pads, conv.dilations, conv.pad_value
    )
    first, epilogue = (runtime.isa_index(), geometry), conv.epilogue
    if epilogue is None:
        return make(*first, outputs.counts, conv.w_bits, None, None, None, None, none)
    if conv.gives_bits:
        return make(*first, outputs.bits, conv.w_bits, epilogue.at, epilogue.below, None, None, none)
    f = native.activation(epilogue.activation, tuple(epilogue.parameters))
    return make(*first, outputs.reals, conv.w_bits, None, None, epilogue.scale, epilogue.bias, f)


class PreparedConvs:
    """What a `BinaryConv` has packed for each instruction set, and prepared for each shape."""

    def __init__(self) -> None:
        self._packed: dict[int, Any] = {}
        self._prepared: dict[Any, Any] = {}
        self._ready: dict[Any, Any] = {}

    @property
    def nbytes(self) -> int:
        """Bytes packed."""
        return sum(int(filters.nbytes) for filters in self._packed.values())

    def get(
        self, conv: Any, image: tuple[int, int, int], y: Any = None, residual: Any = None, signs: Any = (None, None)
    ) -> Any:
        """The native convolution of images (N, H, W); y, residual: their blocked maps, or None for pixel-major."""
        isa = runtime.isa_index()
        if isa not in self._packed:
            self._packed[isa] = _filters(conv)
        return runtime.core.BinaryConv(self._packed[isa], image, y, residual, *signs)

    def again(self, x: Any, out: Any) -> np.ndarray | None:
        """The result of x where such a call was made before and nothing is wrong with the arguments, else None.

        The native call checks what the slower way checks, and leaves it to that to say what is wrong.
        """
        ready = self._ready.get((runtime.isa(), x.shape)) if isinstance(x, np.ndarray) else None
        if ready is None:
            return None
        run, shape, dtype = ready
        y: np.ndarray = runtime.empty(shape, dtype) if out is None else out
        return y if run(x, y, runtime.threads()) else None

    def run(
        self, conv: Any, x: np.ndarray, y: np.ndarray, residual: np.ndarray | None, pixel_scale: np.ndarray | None
    ) -> None:
        key = (runtime.isa(), x.shape, residual is None)
        call = self._prepared.get(key)
        if call is None:
            if len(self._prepared) >= _MOST_SHAPES:
                self._prepared.clear()
                self._ready.clear()
            call = self._prepared[key] = self._call(conv, x, y, residual)
        call(x, y, residual, pixel_scale, runtime.threads())

    def _call(self, conv: Any, x: np.ndarray, y: np.ndarray, residual: np.ndarray | None) -> Any:
        if not conv.gives_planes:
            prepared = self.get(conv, x.shape[:3])
            if residual is None:
                self._ready[runtime.isa(), x.shape] = prepared.again, y.shape, y.dtype
            return prepared.run
        if conv.group > 1 and conv.filters // conv.group % native.BLOCK:
            return _Transposed(self.get(conv, x.shape[:3]))
        return _Planes(conv, self, x.shape[:3], y.shape, residual is not None)


class _Transposed:
    """N x C x H x W by way of pixel-major arrays."""

    def __init__(self, prepared: Any) -> None:
        self._prepared = prepared

    def __call__(
        self, x: np.ndarray, y: np.ndarray, residual: np.ndarray | None, pixel_scale: np.ndarray | None, threads: int
    ) -> None:
        added = None if residual is None else np.ascontiguousarray(residual.transpose(0, 2, 3, 1))
        pixels = runtime.empty((y.shape[0], *y.shape[2:], y.shape[1]), np.float32)
        self._prepared.run(x, pixels, added, pixel_scale, threads)
        y[...] = pixels.transpose(0, 3, 1, 2)


class _Planes:
    """N x C x H x W by way of blocked maps, whose copies cost the least."""

    def __init__(
        self, conv: Any, convs: PreparedConvs, image: tuple[int, int, int], shape: tuple[int, ...], adds: bool
    ) -> None:
        target = native.blocked_map(shape)
        prepared = convs.get(conv, image, target, target)
        program, places = native.new_program(), [native.place(i) for i in range(7)]
        x, y, residual, pixel_scale, blocks, added, scratch = places
        if adds:
            program.import_plain(target, residual, added)
        nowhere = native.place(native.NOWHERE)
        program.binary_conv(prepared, x, blocks, added if adds else nowhere, pixel_scale, scratch)
        program.export_plain(target, blocks, y)
        self._program, self._scratch = program, (target.floats, target.floats if adds else 0, prepared.scratch_floats)

    def __call__(
        self, x: np.ndarray, y: np.ndarray, residual: np.ndarray | None, pixel_scale: np.ndarray | None, threads: int
    ) -> None:
        arrays = [x, y, residual, pixel_scale]
        floats = native.scratch(sum(self._scratch) + 3 * native.BLOCK)
        at = 0
        for size in self._scratch:
            arrays.append(floats[at : at + size])
            at += -(-size // native.BLOCK) * native.BLOCK
        bindings = [(i, a) for i, a in enumerate(arrays) if a is not None]
        native.run(self._program, np.zeros(7, np.uintp), bindings, threads=threads, keep_denormals=True)


def sign_linear(x: np.ndarray, weights: Any, bias: np.ndarray | None, out: np.ndarray) -> None:
    matrix, rows, batch = weights.native(), weights.rows, x.shape[0]
    program, places = native.new_program(), [native.place(i) for i in range(3)]
    scale = np.ones(rows, np.float32) if weights.scale is None else weights.scale
    added = np.zeros(rows, np.float32) if bias is None else bias
    program.sign_linear(matrix, batch, native.activation(None), *places, scale, added)
    arrays = [x, out, native.scratch(matrix.scratch_floats)]
    native.run(program, np.zeros(3, np.uintp), list(enumerate(arrays)), threads=runtime.threads(), keep_denormals=True)
