"""Which method computes each convolution: predicted, measured on this machine, checked on the layer's weights.

What is chosen decides the last bits of a result, so it may depend on neither batch nor threads: methods are timed on
one image and one thread, and a choice is kept, in the process and on disk.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from accel.engine import tuning_cache
from accel.kernels import program as native
from accel.kernels import runtime
from accel.kernels._conv_cost import promising, sparse_cycles
from accel.kernels.conv import output_sizes
from accel.kernels.conv_native import SPARSE, Method, Packed, Pads, Pair, Route, conv2d_native, conv_steps
from accel.kernels.sparse import NO_WEIGHTS, SparseWeights
from accel.weights.base import Weight, dense
from accel.weights.codebook import Codebook

WITHIN = 1.7
"""Methods predicted to take longer than the best by this factor are not measured."""
MARGIN = 0.97
"""Another method than the predicted one must take less than this share of its time: choices should not flutter."""
TOLERANCE = 5e-5
"""Largest error of a method on random input, relative to the largest output. Winograd on well-scaled weights: 1e-5."""
_ROUNDS, _SECONDS = 5, 0.15
_RELAYOUT_SECONDS, _RELAYOUT_CYCLES = 1e-10, 0.35
"""Of a float, between planes and blocks."""
_RELAYOUT_CACHED, _RELAYOUT_FAR = 2 << 20, 3.0
"""Larger maps, in floats, do not stay in the L3 cache from one layer to the next: a copy then takes so many times as
long."""
_PIECE = 1 << 15  # weights that are multiplied together: no more, or BLAS would start threads
_CHECKED_SIZE = 7  # outputs a side: whole and cut tiles of every form, two a side of the largest


@dataclass(frozen=True)
class Layer:
    """A convolution but for its weights and batch."""

    channels: int
    size: Pair
    w_shape: tuple[int, ...]
    strides: Pair
    pads: Pads
    dilations: Pair
    group: int

    @cached_property
    def output(self) -> Pair:
        kernel = self.w_shape[2], self.w_shape[3]
        return output_sizes(self.size, kernel, self.strides, self.pads, self.dilations)

    @property
    def key(self) -> str:
        """The layer in one line, for the cache."""
        numbers = (self.channels, *self.size, *self.w_shape, *self.strides, *self.pads, *self.dilations, self.group)
        return "x".join(map(str, numbers))

    def promising(self, within: float) -> list[tuple[Method, float]]:
        """Methods predicted to take at most `within` times as long as the best, cheapest first, with their cycles."""
        return promising(self.w_shape, self.output, self.strides, self.dilations, self.group, within)


class Candidate(NamedTuple):
    """A method with what it should cost and, where it was measured, what it does."""

    method: Method
    cycles: float
    seconds: float | None


class Choice(NamedTuple):
    """What computes a layer, and why."""

    method: Method
    packed: Packed
    candidates: tuple[Candidate, ...]
    reason: str
    error: float | None  # relative to the largest output; None where it was not measured

    def as_dict(self) -> dict[str, Any]:
        """For a report."""
        candidates = [{"method": str(c.method), "cycles": c.cycles, "seconds": c.seconds} for c in self.candidates]
        return {"method": str(self.method), "reason": self.reason, "error": self.error, "candidates": candidates}


class SparseOption(NamedTuple):
    """The layer's weights without their zeros; `pack` makes them, and is called where they are measured or chosen."""

    values: int  # that are left
    pack: Callable[[], Packed]
    moved: int  # floats that change their layout should it be chosen; below 0: should it not be


def choose(
    layer: Layer,
    w: np.ndarray | Weight,
    pack: Callable[[Method, np.ndarray], Packed],
    *,
    tune: bool,
    folds: bool = True,
    sparse: SparseOption | None = None,
) -> Choice:
    """The method for a layer with weights `w`; `pack` packs them, dense, as a method reads them. `folds`: whether a
    stride may be folded, which wants the input in planes. `w` is made dense once, and not where its zeros are left out.
    """
    near = layer.promising(WITHIN)
    found = [pair for pair in near if folds or pair[0].route is not Route.FOLDED] or [_direct(layer)]
    seconds = measured(layer, [m for m, _ in found]) if tune and (sparse or len(found) > 1) else {}
    candidates = tuple(Candidate(method, cycles, seconds.get(str(method))) for method, cycles in found)
    ordered = sorted(candidates, key=_rank)
    reason = "measured" if seconds else "predicted" if len(found) > 1 or sparse else "nothing else comes near"
    if sparse is not None:
        candidate = _sparse_candidate(layer, sparse, tune)
        candidates = (*candidates, candidate)
        without = _rank(candidate) + _relayout(sparse.moved, tune)
        size = math.prod(layer.w_shape)
        reason = f"{reason}, {break_even(sparse.values / size, _rank(ordered[0]), without)}"
        if without < _rank(ordered[0]):
            return Choice(SPARSE, sparse.pack(), candidates, reason, None)
    array = dense(w)
    if not (isinstance(w, Codebook) or np.isfinite(array).all()):  # a codebook has finite values alone
        method, cycles = _direct(layer)
        return Choice(method, pack(method, array), (Candidate(method, cycles, None),), "weights are not finite", None)
    for candidate in ordered:
        method, packed = candidate.method, pack(candidate.method, array)
        error = None if method.algorithm == "direct" else relative_error(layer, method, array, packed)
        if error is None or error <= TOLERANCE:
            return Choice(method, packed, candidates, reason, error)
        reason = f"the error of {method}, {error:.1e}, is more than {TOLERANCE:.0e}"
    method, _ = _direct(layer)
    return Choice(method, pack(method, array), candidates, reason, None)


def _direct(layer: Layer) -> tuple[Method, float]:
    """What computes every layer, with its cycles."""
    return next(pair for pair in layer.promising(np.inf) if pair[0].algorithm == "direct")


def break_even(density: float, dense: float, sparse: float) -> str:
    """In words: the share of zeros, and that from which on leaving them out pays, if time goes with what is left."""
    worth = 1 - min(density * dense / sparse, 1.0) if sparse > 0 else 0.0
    return f"{1 - density:.0%} zeros, break-even near {worth:.0%}"


class LinearChoice(NamedTuple):
    """Whether a matrix product leaves zeros out, by prediction."""

    density: float
    dense: float  # cycles
    sparse: float

    def as_dict(self) -> dict[str, Any]:
        """For a report, as that of a Choice."""
        cycles = {"dense": self.dense, "sparse": self.sparse}
        candidates = [{"method": name, "cycles": value, "seconds": None} for name, value in cycles.items()]
        reason = f"predicted, {break_even(self.density, self.dense, self.sparse)}"
        return {
            "method": min(cycles, key=cycles.__getitem__),
            "reason": reason,
            "error": None,
            "candidates": candidates,
        }


def _relayout(floats: int, tune: bool) -> float:
    """What it costs to bring so many floats into another layout, in the unit of `_rank`; below 0 what it saves."""
    far = _RELAYOUT_FAR if abs(floats) > _RELAYOUT_CACHED else 1.0
    return floats * far * (_RELAYOUT_SECONDS if tune else _RELAYOUT_CYCLES)


def _sparse_candidate(layer: Layer, sparse: SparseOption, tune: bool) -> Candidate:
    cycles = sparse_cycles(layer.w_shape, layer.output, sparse.values)
    if not tune:
        return Candidate(SPARSE, cycles, None)
    key = f"{layer.key} with {sparse.values} values"
    found = tuning_cache.get(key)
    if found is None:
        seconds = _least([_SparseTrial(layer, sparse.pack()[0])])[0]
        found = tuning_cache.put(key, {str(SPARSE): seconds})
    return Candidate(SPARSE, cycles, found[str(SPARSE)])


def _rank(candidate: Candidate) -> float:
    return candidate.cycles if candidate.seconds is None else candidate.seconds


def measured(layer: Layer, methods: Sequence[Method]) -> dict[str, float]:
    """Seconds of each method by its name, from the cache where it knows them all. The first is the predicted one, whose
    time is taken a little shorter than it was."""
    names = [str(method) for method in methods]
    found = tuning_cache.get(layer.key)
    if found is None or any(name not in found for name in names):
        found = dict(zip(names, _measure(layer, methods), strict=True))
        found = tuning_cache.put(layer.key, found)
    return {name: found[name] * (MARGIN if name == names[0] else 1.0) for name in names}


def _measure(layer: Layer, methods: Sequence[Method]) -> list[float]:
    return _least([_Trial(layer, method) for method in methods])


def _least(trials: Sequence[Callable[[], float]]) -> list[float]:
    """Least of a few alternating times, weights out of the cache as in a network."""
    best = [np.inf] * len(trials)
    end = time.perf_counter() + _SECONDS
    for done in range(_ROUNDS):
        for i, trial in enumerate(trials):
            best[i] = min(best[i], trial())
        if done and time.perf_counter() > end:
            break
    return best


class _Trial:
    """One method on the layer's shape, with arrays of its own. Values do not matter, but they are no denormals."""

    def __init__(self, layer: Layer, method: Method) -> None:
        self.program = native.new_program()
        plain, laid, y, scratch = (native.place(i) for i in range(4))
        shape, target = (1, layer.channels, *layer.size), native.blocked_map((1, layer.w_shape[0], *layer.output))
        kernel = (layer.w_shape[2], layer.w_shape[3])
        source, spec = conv_steps(
            method,
            shape,
            target,
            kernel,
            layer.strides,
            layer.pads,
            layer.dilations,
            layer.group,
            self.program,
            plain,
            laid,
        )
        prepared = method.prepare(spec, 1)
        sizes = (source.floats, target.floats, prepared.scratch_floats, prepared.weight_floats, prepared.bias_floats)
        self.arrays = [native.aligned(size) for size in (int(np.prod(shape)), *sizes)]
        for array in self.arrays:
            array.fill(0.0)  # pages of their own
        self.program.conv(prepared, laid, y, native.place(native.NOWHERE), scratch, *self.arrays[4:])
        self.slots = np.zeros(4, np.uintp)
        # Blocks are what a layer finds; planes it must make, as its input is a network's.
        self.first = 0 if method.route is not Route.BLOCKED else 1

    def __call__(self) -> float:
        runtime.core.evict(self.arrays[4])
        start = time.perf_counter()
        native.run(self.program, self.slots, list(enumerate(self.arrays[:4])), first=self.first)
        return time.perf_counter() - start


class _SparseTrial:
    """A layer's sparse weights on its shape."""

    def __init__(self, layer: Layer, weights: SparseWeights) -> None:
        self.program = native.new_program()
        shapes = (1, layer.channels, *layer.size), (1, layer.w_shape[0], *layer.output)
        source, target = (native.plain_map(shape) for shape in shapes)
        spec = native.conv_spec(
            source, target, (layer.w_shape[2], layer.w_shape[3]), strides=layer.strides, before=layer.pads[:2],
            dilations=layer.dilations, groups=layer.group,
        )  # fmt: skip
        prepared = weights.prepare(spec, 1)
        self.arrays = [native.aligned(size) for size in (source.floats, target.floats, prepared.scratch_floats)]
        for array in self.arrays:
            array.fill(0.0)
        x, y, scratch, nowhere = (native.place(i) for i in (0, 1, 2, native.NOWHERE))
        self.program.conv(prepared, x, y, nowhere, scratch, NO_WEIGHTS, native.pack_bias(None, layer.w_shape[0]))
        self.slots = np.zeros(3, np.uintp)

    def __call__(self) -> float:
        start = time.perf_counter()
        native.run(self.program, self.slots, list(enumerate(self.arrays)))
        return time.perf_counter() - start


def relative_error(layer: Layer, method: Method, w: np.ndarray, packed: Packed) -> float:
    """Largest error on a small random image at four of its outputs, in every channel, relative to the largest."""
    size = [min(layer.output[i], _CHECKED_SIZE) for i in (0, 1)]
    kernel, strides = layer.w_shape[2:], layer.strides  # methods with an error have dilations 1
    inputs = ((size[i] - 1) * strides[i] + kernel[i] for i in (0, 1))
    shape = (1, layer.channels, *inputs)
    x = _normal(math.prod(shape)).reshape(shape)
    result = (1, layer.w_shape[0], size[0], size[1])
    no_bias = (packed[0], np.zeros_like(packed[1]))  # it is added alike by all methods, and may be large or not finite
    y = conv2d_native(x, layer.w_shape, method, no_bias, result, strides, (0, 0, 0, 0), (1, 1), layer.group)
    rows, columns = [0, 0, size[0] // 2, size[0] - 1], [0, size[1] - 1, size[1] // 3, size[1] - 1]
    by_channel, by_row, by_column = x.strides[1:]
    steps = (by_channel, by_row * strides[0], by_column * strides[1], by_row, by_column)
    windows = np.ndarray((layer.channels, *size, *kernel), x.dtype, x, strides=steps)
    depth, places = w[0].size, list(zip(rows, columns, strict=True))
    taken = np.stack([windows[:, i, j] for i, j in places], axis=-1).reshape(layer.group, depth, len(places))
    with np.errstate(over="ignore", invalid="ignore"):  # of huge weights
        expected = _product(w.reshape(layer.group, -1, depth), taken).reshape(-1, len(places))
        error = float(np.abs(y[0][:, rows, columns] - expected).max())
    if not np.isfinite(error):
        return np.inf
    largest = float(np.abs(expected).max())
    return error / largest if largest else error


def _product(w: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Some rows of each group at a time, in float32: sums are off by a hundredth of TOLERANCE at most, and w in float64
    would take longer than the product."""
    rows = max(1, _PIECE // (w.shape[0] * w.shape[2]))
    pieces = [w[:, at : at + rows] @ columns for at in range(0, w.shape[1], rows)]
    return np.concatenate(pieces, axis=1)


_drawn = np.zeros(0, np.float32)


def _normal(count: int) -> np.ndarray:
    """The first `count` random numbers, drawn once for all layers: a longer draw begins with the same ones."""
    global _drawn
    drawn = _drawn
    if drawn.size < count:
        _drawn = drawn = np.random.default_rng(0).standard_normal(count, np.float32)
    return drawn[:count]


__all__ = ["Candidate", "Choice", "Layer", "LinearChoice", "SparseOption", "break_even", "choose"]
