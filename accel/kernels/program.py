"""Prepared native kernel calls: what the engine and the array functions build from.

A program is a list of kernel calls over numbered slots. Specs and maps are those of csrc/kernels; see conv.h, map.h.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from accel.kernels import runtime

BLOCK = 16
"""Channels per block of a blocked map: one cache line of float32, on every ISA."""

MOST_AXES = 8
"""Of the plain arrays that `copy_strided` and `broadcast` take."""

NATIVE_ACTIVATIONS = frozenset(
    {"Relu", "Clip", "LeakyRelu", "HardSigmoid", "HardSwish", "Sigmoid", "Swish"},
)


def native() -> bool:
    """Whether native kernels are built and in force."""
    return runtime.core is not None and runtime.backend() == "native"


def new_program() -> Any:
    """An empty program for the instruction set in force."""
    return runtime.core.Program(runtime.isa_index())


def blocked_map(shape: tuple[int, ...], halo: int = 0) -> Any:
    """Map of an N x C x H x W activation in blocks of 16 channels."""
    return runtime.core.Map(True, *shape, halo)


def plain_map(shape: tuple[int, ...], halo: int = 0) -> Any:
    """Map of an N x C x H x W activation in planes, with a zero halo around each."""
    return runtime.core.Map(False, *shape, halo)


def place(slot: int, floats: int = 0) -> Any:
    """`floats` into slot `slot`."""
    return runtime.core.Place(slot, floats)


NOWHERE = -1


def side(first: int, steps: tuple[int, ...], elements: int) -> Any:
    """One side of `copy_strided`: element (0, 0, ...) is number `first` of `elements`; the steps are in elements."""
    return runtime.core.Side(first, steps, elements)


def arithmetic(name: str) -> Any:
    """add, subtract, multiply or divide, as `broadcast` takes it."""
    return getattr(runtime.core.Arithmetic, name)


def conv_spec(
    source: Any,
    target: Any,
    kernel: tuple[int, int],
    *,
    strides: tuple[int, int],
    before: tuple[int, int],
    dilations: tuple[int, int],
    groups: int = 1,
    fold: tuple[int, int] = (1, 0),
    pool: int = 1,
    residual: Any = None,
    activation: Any = None,
) -> Any:
    """A convolution between two maps; `before` is the padding at the top and on the left, `fold` the stride that is
    folded into the source's channels and the kernel's size before that; with `pool` 2 the target holds the largest of
    each 2 x 2 results."""
    spec = runtime.core.ConvSpec()
    spec.input, spec.output, spec.kernel = source, target, kernel
    spec.strides, spec.before, spec.dilations, spec.groups = strides, before, dilations, groups
    spec.fold, spec.pool = fold, pool
    if residual is not None:
        spec.residual = residual
    if activation is not None:
        spec.activation = activation
    return spec


def pool_spec(
    source: Any,
    target: Any,
    kernel: tuple[int, int],
    *,
    average: bool,
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    count_include_pad: bool = False,
) -> Any:
    """A pooling between two blocked maps; pads are top, left, bottom, right."""
    spec = runtime.core.PoolSpec()
    spec.input, spec.output, spec.kernel, spec.average = source, target, kernel, average
    spec.strides, spec.before, spec.after, spec.dilations = strides, pads[:2], pads[2:], dilations
    spec.count_padding = count_include_pad
    return spec


def elementwise_spec(
    kind: str, a: Any, b: Any, target: Any, *, b_per_channel: bool = False, activation: Any = None
) -> Any:
    """kind: copy, add, subtract or multiply; b is None for copy and where it holds one value per channel."""
    spec = runtime.core.ElementwiseSpec()
    spec.kind = getattr(runtime.core.ElementwiseSpec.Kind, kind)
    spec.a, spec.y, spec.b_per_channel = a, target, b_per_channel
    if b is not None:
        spec.b = b
    if activation is not None:
        spec.activation = activation
    return spec


def activation(name: str | None, parameters: tuple[float, ...] = ()) -> Any:
    """The native form of an activation of NATIVE_ACTIVATIONS (None: identity); parameters as ONNX orders them."""
    result = runtime.core.Activation()
    kinds = runtime.core.Activation.Kind
    if name == "Relu":
        result.low = 0.0
    elif name == "Clip":
        result.low, result.high = parameters
    elif name == "LeakyRelu":
        result.kind, result.a = kinds.leaky_relu, parameters[0] if parameters else 0.01
    elif name == "HardSigmoid":
        result.kind = kinds.hard_sigmoid
        result.a, result.b = parameters or (0.2, 0.5)
    elif name is not None:
        result.kind = {"HardSwish": kinds.hard_swish, "Sigmoid": kinds.sigmoid, "Swish": kinds.swish}[name]
    return result


def aligned(floats: int) -> np.ndarray:
    """A zeroed float32 array on pages of its own."""
    buffer: np.ndarray = runtime.core.aligned_buffer(max(floats, 1) * 4)
    return buffer.view(np.float32)


_scratch = threading.local()


def scratch(floats: int) -> np.ndarray:
    """Memory for a kernel while it runs, whatever is in it: the calling thread's own, kept for its next call."""
    held: np.ndarray | None = getattr(_scratch, "array", None)
    if held is None or held.size < floats:
        held = _scratch.array = aligned(floats)
    return held


def pack_conv(w: np.ndarray, *, gather: bool) -> np.ndarray:
    """Weights (out, in, kh, kw) as the conv kernel reads them; `gather` for a plain input map."""
    out, depth = w.shape[:2]
    flat = np.ascontiguousarray(w, np.float32).reshape(out, depth, -1)
    return _pack(flat, 1 if gather else BLOCK)


def pack_linear(w: np.ndarray) -> np.ndarray:
    """Weights (out, in) as the linear kernel reads them."""
    flat = np.ascontiguousarray(w, np.float32)[:, :, np.newaxis]
    return _pack(flat, max(w.shape[1], 1))


def _pack(flat: np.ndarray, inner: int) -> np.ndarray:
    size = runtime.core.packed_size(*flat.shape)
    packed: np.ndarray = runtime.core.pack_weights(flat, inner, runtime.threads(), aligned(size))
    return packed


def pack_depthwise(w: np.ndarray) -> np.ndarray:
    """Weights (channels, 1, kh, kw) as the depthwise kernel reads them."""
    flat = np.ascontiguousarray(w, np.float32).reshape(w.shape[0], -1)
    packed: np.ndarray = runtime.core.pack_depthwise(flat, aligned(-(-w.shape[0] // BLOCK) * BLOCK * flat.shape[1]))
    return packed


def pack_winograd(w: np.ndarray, m: int, stride: int, groups: int) -> np.ndarray:
    """Weights (out, in/groups, k, k) transformed for tiles of m x m outputs, group after group."""
    per_group = np.ascontiguousarray(w, np.float32).reshape(groups, -1, *w.shape[1:])
    size = runtime.core.winograd_size(*per_group.shape[1:3], m, w.shape[2], stride)
    packed, isa = aligned(groups * size), runtime.isa_index()
    for group, filters in enumerate(per_group):
        room = packed[group * size : (group + 1) * size]
        runtime.core.pack_winograd(isa, filters, m, stride, runtime.threads(), room)
    return packed


def pack_fft(w: np.ndarray, groups: int) -> np.ndarray:
    """Spectra of weights (out, in/groups, kh, kw) and the weights themselves, group after group."""
    per_group = np.ascontiguousarray(w, np.float32).reshape(groups, -1, *w.shape[1:])
    size = runtime.core.fft_size(*per_group.shape[1:3], w.shape[2] * w.shape[3])
    packed = aligned(groups * size)
    for group, filters in enumerate(per_group):
        runtime.core.pack_fft(filters, runtime.threads(), packed[group * size : (group + 1) * size])
    return packed


def pack_bias(bias: np.ndarray | None, channels: int) -> np.ndarray:
    """Bias filled up with zeros to whole blocks."""
    packed = aligned(-(-channels // BLOCK) * BLOCK)
    if bias is not None:
        packed[:channels] = bias
    return packed


def pad_groups(w: np.ndarray, groups: int) -> np.ndarray:
    """Zero filters after each group's own, so that every group starts a block."""
    per_group = w.shape[0] // groups
    padded = np.zeros((groups, -(-per_group // BLOCK) * BLOCK, *w.shape[1:]), np.float32)
    padded[:, :per_group] = w.reshape(groups, per_group, *w.shape[1:])
    return padded.reshape(-1, *w.shape[1:])


def run(
    program: Any,
    slots: np.ndarray,
    bindings: list[tuple[int, np.ndarray]],
    *,
    first: int = 0,
    last: int | None = None,
    threads: int = 1,
    keep_denormals: bool = False,
) -> None:
    """Run steps first .. last-1. `slots` holds addresses (uintp); `bindings` sets some of them for this run."""
    program.run(bindings, slots, first, len(program) if last is None else last, threads, keep_denormals)
