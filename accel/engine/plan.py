"""Plan: one network prepared for one set of input shapes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from accel.engine import lowering
from accel.engine.builder import PLAIN, PlanBuilder, Step, Tensor, count_uses
from accel.engine.lowering import pooling
from accel.engine.memory import Storage, assign_offsets
from accel.engine.shapes import Known, Spec
from accel.errors import naming
from accel.graph.network import Constant, Network
from accel.graph.signs import sign_values
from accel.kernels import program as native
from accel.kernels import runtime
from accel.kernels.conv_native import Packed
from accel.weights.base import dense

Segment = tuple[int, int] | Step
"""Native steps first .. last-1 of the program, or one Python step."""


def build(
    network: Network,
    known: dict[str, Known],
    packed: dict[tuple[Any, ...], Packed],
    held: Sequence[dict[str, Constant]] = (),
    signs: Collection[str] = (),
) -> Plan:
    """Lower every node of a fused network.

    Parameters
    ----------
    known : from engine.shapes.infer.
    packed : shared between plans.
    held : other places that hold the constants; given any, weights are held as packed only, there too.
    signs : inputs that hold +1 and -1 alone.
    """
    builder = PlanBuilder(network, known, packed, held, uses=count_uses(network.nodes))
    builder.signs, builder.signed = sign_values(network, signs), lowering.binary.sign_readers(network.nodes)
    inputs = [v.name for v in network.inputs]
    for slot, name in enumerate(inputs):
        storage = Storage(builder.spec(name).nbytes, external=True, slot=slot)
        builder._hold(name, PLAIN, Tensor(builder.spec(name), storage))
    names = list(dict.fromkeys(v.name for v in network.outputs))
    for slot, name in enumerate(names, len(inputs)):
        if name not in inputs:
            builder.outputs[name] = Storage(builder.spec(name).nbytes, external=True, slot=slot)
    _follow_planes(builder)
    _join_pools(builder)
    _find_bands(builder)
    _want_halos(builder)
    _join_concatenations(builder)
    for node in network.nodes:
        if not all(isinstance(builder.known.get(o), (np.ndarray, type(None))) for o in node.outputs if o):
            with naming(node):
                lowering.lower(builder, node)
    return Plan(builder, inputs, names)


_SAME_LAYOUT = frozenset({"Add", "Sub", "Mul"} | native.NATIVE_ACTIVATIONS)
"""Operators whose results lie as their first input does."""


def _follow_planes(builder: PlanBuilder) -> None:
    """Decides how every convolution is computed, from the first to the last: which layout costs a copy depends on the
    layout of its input."""
    for node in builder.network.nodes:
        values = {name for name in node.inputs if isinstance(builder.known.get(name), Spec)}  # no bounds of a Clip
        follows = (node.op in _SAME_LAYOUT or node.op == "Concat") and values and values <= builder.planes
        with naming(node):
            if lowering.makes_planes(builder, node) or (follows and builder.is_float_image(node.outputs[0])):
                builder.planes.update(node.outputs)


def _join_pools(builder: PlanBuilder) -> None:
    """Convolutions whose results are only wanted as the largest of each 2 x 2 make just those."""
    for node in builder.network.nodes:
        name = node.inputs[0] if node.inputs else ""
        if not pooling.halves(node) or name not in builder.makers or not builder.sole_use(name):
            continue
        if min(builder.spec(name).shape[2:], default=0) >= 2:
            with naming(builder.makers[name]):
                if lowering.pools_at_once(builder, builder.makers[name]):
                    builder.pooled[name] = node.outputs[0]


def _find_bands(builder: PlanBuilder) -> None:
    """Convolutions whose results the next one makes as it goes, some rows at a time."""
    for first, second in pairwise(builder.network.nodes):
        with naming(second):
            if lowering.makes_bands(builder, first, second):
                builder.banded[first.outputs[0]] = first


def _want_halos(builder: PlanBuilder) -> None:
    """The widest halo that any reader of a value wants; a part of a concatenation gets that of the whole."""
    for node in reversed(builder.network.nodes):
        if node.op == "Conv":
            with naming(node):
                wanted = lowering.conv_halo(builder, node)
        elif node.op == "Concat":
            wanted = builder.halo.get(node.outputs[0], 0)
        else:
            continue
        for name in node.inputs if node.op == "Concat" else node.inputs[:1]:
            builder.halo[name] = max(builder.halo.get(name, 0), wanted)


def _join_concatenations(builder: PlanBuilder) -> None:
    """Values that are written straight into the channels of the concatenation that they end in."""
    for node in builder.network.nodes:
        whole = node.outputs[0]
        if node.op != "Concat" or whole in builder.outputs or not builder.is_float_image(whole):
            continue
        parts = node.inputs
        fits = all(
            p in builder.makers
            and p not in builder.outputs
            and p not in builder.joined
            and builder.is_float_image(p)
            and lowering.makes_blocks(builder, builder.makers[p])
            for p in parts
        )
        whole_blocks = all(builder.spec(p).shape[1] % native.BLOCK == 0 for p in parts[:-1])
        if fits and whole_blocks and node.attributes["axis"] % 4 == 1 and len(set(parts)) == len(parts):
            channel = 0
            builder.halo[whole] = max(builder.halo.get(p, 0) for p in (whole, *parts))
            for p in parts:
                builder.joined[p] = (whole, channel)
                builder.halo[p] = builder.halo[whole]
                channel += builder.spec(p).shape[1]


class Plan:
    """Immutable. `run` may be called by several threads: each takes a workspace of its own."""

    def __init__(self, builder: PlanBuilder, inputs: list[str], outputs: list[str]) -> None:
        self._inputs, self._outputs = inputs, outputs
        self._specs = {name: builder.spec(name) for name in outputs}
        self._copied = {n: dense(k) for n in outputs if not isinstance(k := builder.known[n], Spec)}
        for name in outputs:
            if name not in self._copied:
                builder.plain(name)
        self.steps = builder.steps
        for number, step in enumerate(self.steps):
            for tensor in (*step.reads, *step.writes):
                tensor.storage.touch(number)
        arena = [s for s in builder.storages if not s.external and s.first >= 0]
        self.arena_bytes = assign_offsets(arena)
        slot = len(inputs) + len(outputs)
        for storage in arena:
            storage.slot, slot = slot, slot + 1
        self._constants = self._constant_slots(slot)
        self._slots, self._arena = slot + len(self._constants), arena
        self._program = native.new_program()
        self._segments = self._compile()
        self.calls_python = any(step.emit is None for step in self.steps)
        self.output_shapes = [(name, spec.shape, spec.dtype) for name, spec in self._specs.items()]
        self._passed = [name for name in outputs if name in inputs]
        self._free: deque[Workspace] = deque(maxlen=8)
        self.native_alone = not (self.calls_python or self._copied or self._passed)

    def _constant_slots(self, slot: int) -> list[tuple[int, np.ndarray]]:
        """Constants that native steps read get slots too."""
        found: list[tuple[int, np.ndarray]] = []
        for step in self.steps:
            for tensor in step.reads:
                if tensor.constant is not None and tensor.storage.slot < 0:
                    tensor.storage.slot = slot + len(found)
                    found.append((tensor.storage.slot, tensor.constant))
        return found

    def _compile(self) -> list[Segment]:
        segments: list[Segment] = []
        for step in self.steps:
            if step.emit is None:
                segments.append(step)
                continue
            first = len(self._program)
            step.emit(self._program, lambda t: native.place(t.storage.slot, t.floats))
            if segments and isinstance(segments[-1], tuple):
                segments[-1] = (segments[-1][0], len(self._program))
            else:
                segments.append((first, len(self._program)))
        return segments

    def run_arrays(self, inputs: list[np.ndarray], threads: int, keep_denormals: bool) -> list[np.ndarray]:
        """The outputs in their order, of a plan that is `native_alone`, for its inputs in theirs."""
        outputs = [runtime.empty(shape, dtype) for _, shape, dtype in self.output_shapes]
        try:
            workspace = self._free.pop()
        except IndexError:
            workspace = Workspace(self)
        try:
            workspace.run(self, inputs + outputs, threads, keep_denormals)
        finally:
            self._free.append(workspace)
        return outputs

    def run(self, feeds: Mapping[str, np.ndarray], threads: int, keep_denormals: bool) -> dict[str, np.ndarray]:
        """Every output by name; the arrays are the caller's."""
        results = {name: runtime.empty(shape, dtype) for name, shape, dtype in self.output_shapes}
        self.run_into(feeds, results, threads, keep_denormals)
        return results

    def run_into(
        self, feeds: Mapping[str, np.ndarray], results: dict[str, np.ndarray], threads: int, keep_denormals: bool
    ) -> None:
        """The same into arrays that are there: C-contiguous, one for each output in their order."""
        try:
            workspace = self._free.pop()
        except IndexError:
            workspace = Workspace(self)
        arrays = [*map(feeds.__getitem__, self._inputs), *results.values()]
        try:
            workspace.run(self, arrays, threads, keep_denormals)
        finally:
            self._free.append(workspace)
        for name, value in self._copied.items():
            np.copyto(results[name], value)
        for name in self._passed:
            np.copyto(results[name], feeds[name])


class Workspace:
    """The arena of one run at a time, and the Python steps bound to it.

    A run costs microseconds, which is as long as a step of a small network: what it needs more than once is made once.
    """

    def __init__(self, plan: Plan) -> None:
        self._buffer = runtime.core.aligned_buffer(max(plan.arena_bytes, 64))
        self._slots = np.zeros(max(plan._slots, 1), np.uintp)
        base = self._buffer.ctypes.data
        for storage in plan._arena:
            self._slots[storage.slot] = base + storage.offset
        for slot, array in plan._constants:
            self._slots[slot] = array.ctypes.data
        self._external: list[np.ndarray] = []
        self._arrays: dict[Tensor, np.ndarray] = {}
        self._calls: dict[Step, Callable[[], object]] = {}

    def run(self, plan: Plan, arrays: list[np.ndarray], threads: int, keep_denormals: bool) -> None:
        """Every step, over the caller's arrays: inputs, then outputs, by slot."""
        bindings = list(enumerate(arrays))
        if not plan.calls_python:
            for first, last in plan._segments:  # type: ignore[misc]
                plan._program.run(bindings, self._slots, first, last, threads, keep_denormals)
            return
        self._external = arrays
        try:
            with np.errstate(all="ignore"):
                for segment in plan._segments:
                    if isinstance(segment, tuple):
                        plan._program.run(bindings, self._slots, *segment, threads, keep_denormals)
                    else:
                        self._run_python(segment)
        finally:
            self._external = []  # forget the caller's arrays

    def _run_python(self, step: Step) -> None:
        try:
            (self._calls.get(step) or self._call(step))()
        except (ValueError, TypeError):
            with naming(step.node):
                raise

    def _call(self, step: Step) -> Callable[[], object]:
        """The Python step bound to its arrays: once, where it touches none of the caller's."""
        assert step.python is not None
        call = step.python(self._array)
        if not any(t.storage.external and t.constant is None for t in (*step.reads, *step.writes)):
            self._calls[step] = call
        return call

    def _array(self, tensor: Tensor) -> np.ndarray:
        spec, storage = tensor.spec, tensor.storage
        if tensor.constant is not None:
            return tensor.constant
        if storage.external:
            array = self._external[storage.slot]
            return array if array.shape == spec.shape else array.reshape(spec.shape)
        if tensor not in self._arrays:
            start = storage.offset + tensor.floats * 4
            piece: np.ndarray = self._buffer[start : start + spec.nbytes]
            self._arrays[tensor] = piece.view(spec.dtype).reshape(spec.shape)
        return self._arrays[tensor]


__all__ = ["Plan", "Spec", "build"]
