"""What the benches of sparse kernels share: matrices, prepared steps, and the peers' products.

A step is a layer as a session runs it: packed and prepared before, written into memory that is there. It reads and
writes the layout that its kernel likes, planes or channel blocks; bringing a map from one into the other is no part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from accel.engine.tuning import Choice, Layer, choose
from accel.kernels import program, runtime
from accel.kernels.conv_native import conv_steps
from accel.kernels.sparse import (
    FEW,
    LINEAR,
    NO_WEIGHTS,
    SparseArrays,
    SparseWeights,
    band_rows,
    prepare_bands,
    strip_window,
)
from accel.kernels.spmv import pack_spmv

KINDS = ("f32", "bf16", "i8", "code16", "code256")
TOLERANCE = 1e-4
"""Relative to the largest result."""


class Step(NamedTuple):
    """A layer ready to run, what it writes, and what its weights take."""

    run: Callable[[], None]
    y: np.ndarray
    nbytes: int


def random_weights(shape: Sequence[int], zeros: float, seed: int = 0) -> np.ndarray:
    """Normal float32 numbers, of which `zeros` percent are zero, anywhere."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
    w[rng.random(shape, np.float32) * 100 < zeros] = 0
    return w


def of_kind(w: np.ndarray, kind: str) -> tuple[SparseArrays, np.ndarray]:
    """The matrix with its values stored as `kind`, and the dense one that it then stands for."""
    plain = SparseArrays.of(w)
    data, largest, scale, book = plain.values, float(np.abs(w).max()), None, None
    if kind == "f32":
        stored, values = data, data
    elif kind == "bf16":
        stored = (data.view(np.uint32) >> 16).astype(np.uint16)
        values = (stored.astype(np.uint32) << 16).view(np.float32)
    elif kind == "i8":
        scale = np.full(plain.rows, largest / 127, np.float32)
        stored = np.rint(data / scale[0]).astype(np.int8)
        values = stored * scale[0]
    else:
        book = np.linspace(-largest, largest, int(kind[4:]), dtype=np.float32)
        stored = np.rint((data + largest) / (2 * largest) * (book.size - 1)).astype(np.uint8)
        values = book[stored]
    meant = np.zeros_like(w)
    meant[np.repeat(np.arange(plain.rows), np.diff(plain.indptr)), plain.indices] = values
    return SparseArrays(plain.indptr, plain.indices, stored, kind, scale, book), meant


def check(y: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(y, wanted, rtol=0, atol=TOLERANCE * float(np.abs(wanted).max()))


def sparse_linear_step(arrays: SparseArrays, x: np.ndarray) -> Step:
    """x W^T on the threads in force, by the packing that the engine takes for so many rows of x (batch, columns)."""
    batch, columns = x.shape
    steps, function, y = program.new_program(), program.activation(None), np.empty((batch, arrays.rows), np.float32)
    bias, places = program.pack_bias(None, arrays.rows), [program.place(i) for i in range(3)]
    rooms = [x, y]
    if batch <= FEW:
        vector = pack_spmv(arrays, columns)
        steps.spmv(vector, batch, function, places[0], places[1], bias)
        nbytes = int(vector.nbytes)
    else:
        weights = SparseWeights(arrays, columns, width=LINEAR)
        prepared = weights.prepare_linear(batch, function, runtime.threads())
        steps.sparse_linear(prepared, *places, bias)
        rooms.append(program.aligned(prepared.scratch_floats))
        nbytes = weights.nbytes
    return Step(_runs(steps, rooms), y, nbytes)


def dense_linear_step(w: np.ndarray, x: np.ndarray) -> Step:
    """The same product by our dense kernel."""
    (batch, depth), out = x.shape, w.shape[0]
    steps, y, packed = program.new_program(), np.empty((batch, out), np.float32), program.pack_linear(w)
    places = [program.place(i) for i in range(3)]
    steps.linear(batch, depth, out, program.activation(None), *places, packed, program.pack_bias(None, out))
    rooms = [x, y, program.aligned((batch + 1) * (depth + program.BLOCK))]
    return Step(_runs(steps, rooms), y, packed.nbytes)


def sparse_conv_step(layer: Layer, arrays: SparseArrays, x: np.ndarray) -> Step:
    """The convolution of planes x (images, channels, height, width) by the sparse kernel."""
    weights = SparseWeights(arrays, int(np.prod(layer.w_shape[1:])), layer.group)
    y, steps = np.empty((x.shape[0], layer.w_shape[0], *layer.output), np.float32), program.new_program()
    spec = program.conv_spec(
        program.plain_map(x.shape), program.plain_map(y.shape), (layer.w_shape[2], layer.w_shape[3]),
        strides=layer.strides, before=layer.pads[:2], dilations=layer.dilations, groups=layer.group,
    )  # fmt: skip
    prepared = weights.prepare(spec, runtime.threads())
    places = [program.place(i) for i in (0, 1, program.NOWHERE, 2)]
    steps.conv(prepared, *places, NO_WEIGHTS, program.pack_bias(None, layer.w_shape[0]))
    return Step(_runs(steps, [x, y, program.aligned(prepared.scratch_floats)]), y, weights.nbytes)


def dense_conv_step(layer: Layer, w: np.ndarray, x: np.ndarray) -> tuple[Step, Choice]:
    """The same convolution by the dense kernel that the engine measures as the fastest, and why."""
    choice = choose(layer, w, lambda m, w: m.pack(w, None, layer.strides, layer.group), tune=True, folds=False)
    y, steps = np.empty((x.shape[0], layer.w_shape[0], *layer.output), np.float32), program.new_program()
    target, places = program.blocked_map(y.shape), [program.place(i) for i in range(5)]
    source, spec = conv_steps(
        choice.method, x.shape, target, (layer.w_shape[2], layer.w_shape[3]), layer.strides, layer.pads,
        layer.dilations, layer.group, steps, places[0], places[1],
    )  # fmt: skip
    prepared = choice.method.prepare(spec, runtime.threads())
    nowhere = program.place(program.NOWHERE)
    steps.conv(prepared, places[1], places[2], nowhere, places[3], *choice.packed)
    steps.export_plain(target, places[2], places[4])
    rooms = [x, *(program.aligned(n) for n in (source.floats, target.floats, prepared.scratch_floats)), y]
    _runs(steps, rooms)()  # lays x out, and writes y
    return Step(_runs(steps, rooms, first=1, last=2), y, choice.packed[0].nbytes), choice


def sparse_pair_step(channels: tuple[int, int, int], zeros: float, x: np.ndarray, bands: bool) -> Step:
    """Two 3 x 3 convolutions of planes x in strips, with ReLU between: band by band, or one after the other. The first
    keeps all its weights where it has up to four channels, as the engine does."""
    size, weights, specs = x.shape[2:], [], []
    for into, out in pairwise(channels):
        w = random_weights((out, into, 3, 3), 0 if into <= 4 else zeros)
        window = strip_window((3, 3), (1, 1), (1, 1), size)
        weights.append(SparseWeights(SparseArrays.of(w), w[0].size, window=window))
        specs.append(
            program.conv_spec(
                program.plain_map((1, into, *size)), program.plain_map((1, out, *size)), (3, 3), strides=(1, 1),
                before=(1, 1), dilations=(1, 1), activation=program.activation("Relu"),
            )
        )  # fmt: skip
    y, steps = np.empty((1, channels[2], *size), np.float32), program.new_program()
    bias = [program.pack_bias(None, out) for out in channels[1:]]
    source, target, between, scratch = (program.place(i) for i in range(4))
    nowhere, threads = program.place(program.NOWHERE), runtime.threads()
    if bands:
        both = prepare_bands(weights, specs, band_rows(specs[1], threads), threads)
        steps.conv(both, source, target, nowhere, scratch, NO_WEIGHTS, np.concatenate(bias))
        floats, room = 0, both.scratch_floats
    else:
        first, second = (w.prepare(spec, threads) for w, spec in zip(weights, specs, strict=True))
        steps.conv(first, source, between, nowhere, scratch, NO_WEIGHTS, bias[0])
        steps.conv(second, between, target, nowhere, scratch, NO_WEIGHTS, bias[1])
        floats, room = specs[0].output.floats, max(first.scratch_floats, second.scratch_floats)
    rooms = [x, y, program.aligned(floats), program.aligned(room)]
    return Step(_runs(steps, rooms), y, sum(w.nbytes for w in weights))


def _runs(steps: Any, rooms: list[np.ndarray], **part: int) -> Callable[[], None]:
    """Runs a program, on the threads in force now, with its places bound to `rooms`."""
    slots, bindings, threads = np.zeros(len(rooms), np.uintp), list(enumerate(rooms)), runtime.threads()
    return lambda: program.run(steps, slots, bindings, threads=threads, **part)


def conv_layer(channels: int, out: int, size: int, kernel: int) -> Layer:
    """Stride 1, the image's size kept."""
    pad = kernel // 2
    return Layer(channels, (size, size), (out, channels, kernel, kernel), (1, 1), (pad,) * 4, (1, 1), 1)


def scipy_product(w: np.ndarray, x: np.ndarray) -> Callable[[], np.ndarray]:
    """w @ x, both given in the layout that the peer likes: x has a vector per column."""
    import scipy.sparse

    matrix = scipy.sparse.csr_array(w)
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return lambda: matrix @ x  # type: ignore[no-any-return]


def torch_csr_product(w: np.ndarray, x: np.ndarray) -> Callable[[], np.ndarray]:
    """By MKL's sparse BLAS."""
    import torch

    torch.set_num_threads(runtime.threads())
    matrix, columns = torch.from_numpy(w).to_sparse_csr(), torch.from_numpy(x)
    return _inference(lambda: matrix @ columns)


def torch_product(w: np.ndarray, x: np.ndarray) -> Callable[[], np.ndarray]:
    """Dense, by MKL or oneDNN."""
    import torch

    torch.set_num_threads(runtime.threads())
    matrix, columns = torch.from_numpy(w), torch.from_numpy(x)
    return _inference(lambda: matrix @ columns)


def numpy_product(w: np.ndarray, x: np.ndarray) -> Callable[[], np.ndarray]:
    """Dense, by NumPy's BLAS."""
    return lambda: w @ x  # type: ignore[no-any-return]


def _inference(product: Callable[[], Any]) -> Callable[[], np.ndarray]:
    import torch

    def call() -> np.ndarray:
        with torch.inference_mode():
            y: np.ndarray = product().numpy()
            return y

    return call


SPARSE_PEERS = {"scipy": scipy_product, "torch-csr": torch_csr_product}
DENSE_PEERS = {"numpy-dense": numpy_product, "torch-dense": torch_product}
PEERS = {**SPARSE_PEERS, **DENSE_PEERS}
