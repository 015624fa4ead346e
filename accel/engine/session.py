"""InferenceSession: run a network, with onnxruntime's habits."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accel.engine import plan as planning
from accel.engine.batching import ByImage, ByImageThenTogether, before_products, better_by_image
from accel.engine.interpreter import Interpreter
from accel.engine.packed import PackedBinary, PackedCsr, PackedDense
from accel.engine.shapes import DynamicShapeError, Known, Spec, as_spec, infer
from accel.errors import AccelError, ModelError
from accel.graph import load, passes
from accel.graph.network import Constant, Network, Value
from accel.graph.signs import sign_inputs
from accel.kernels import checks, runtime
from accel.kernels import program as native

AnyPlan = planning.Plan | ByImage | ByImageThenTogether | Interpreter

_TYPES = {"float32": "float", "float64": "double", "bool": "bool"}
_alive: weakref.WeakSet[InferenceSession] = weakref.WeakSet()
_PLANS = 8  # input shapes kept ready per session
_SHAPES = 64  # input shapes known to be right


Shapes = tuple[tuple[int, ...], ...]


class NodeArg:
    """An input or output as onnxruntime describes it: name, shape, type."""

    def __init__(self, value: Value) -> None:
        self.name = value.name
        self.shape = list(value.shape) if value.shape is not None else None
        self.type = f"tensor({_TYPES.get(value.dtype.name, value.dtype.name)})"

    def __repr__(self) -> str:
        return f"NodeArg(name={self.name!r}, type={self.type!r}, shape={self.shape})"


class InferenceSession:
    """A network ready to run. One session may be used by several threads at once.

    Parameters
    ----------
    model : path of an ONNX or .accel file, its bytes, an onnx.ModelProto, or a Network.
    threads : threads per run; default as in `accel.using`.
    keep_denormals : compute with denormal numbers instead of flushing them to zero while a run lasts.

    Raises
    ------
    accel.AccelError (ModelError, UnsupportedError, FormatError)  the model cannot be read or run.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | Network | Any,
        *,
        threads: int | None = None,
        keep_denormals: bool = False,
    ) -> None:
        self.threads = (
            runtime.threads() if threads is None else checks.integer("threads", threads, 1, runtime.MOST_THREADS)
        )
        self._network = model if isinstance(model, Network) else load(model)
        self._owned = not isinstance(model, Network)
        self._keep_denormals = keep_denormals
        self._native, self._settings = native.native(), runtime.settings(self.threads)
        self._plans: OrderedDict[tuple[Any, ...], AnyPlan] = OrderedDict()
        self._packed: dict[tuple[Any, ...], Any] = {}
        self._right: set[Shapes] = set()
        self._again: Again | None = None
        self._sign_inputs = sign_inputs(self._network) if self._native else []
        self._only_signs: Any = runtime.core.only_signs if self._native else None
        self._lock = threading.Lock()
        _alive.add(self)
        self._inputs = {v.name: v for v in self._network.inputs}
        self._dtypes = [(v.name, np.dtype(v.dtype)) for v in self._network.inputs]
        self._outputs = [v.name for v in self._network.outputs]
        self._distinct = len(set(self._outputs)) == len(self._outputs)

    def get_inputs(self) -> list[NodeArg]:
        """Names, types and shapes of the inputs; a dim is a number, a symbol or None."""
        return [NodeArg(v) for v in self._network.inputs]

    def get_outputs(self) -> list[NodeArg]:
        """Names, types and shapes of the outputs."""
        return [NodeArg(v) for v in self._network.outputs]

    @property
    def network(self) -> Network:
        """The network that runs. Where the session loaded it, weights are unpacked anew on every call."""
        with self._lock:
            constants = dict(self._network.constants)
        packed = {
            name: c.dense() for name, c in constants.items() if isinstance(c, (PackedBinary, PackedCsr, PackedDense))
        }
        return self._network.replace(constants={**constants, **packed}) if packed else self._network

    @property
    def resident_bytes(self) -> int:
        """Bytes of prepared weights and arenas held by the plans made so far."""
        weights = sum(int(a.nbytes) for arrays in self._packed.values() for a in arrays)
        return weights + sum(p.arena_bytes for p in self._plans.values() if not isinstance(p, Interpreter))

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run once.

        Parameters
        ----------
        output_names : which outputs, in which order; None for all.
        input_feed : one array per input, of its type and rank, C-contiguous.

        Returns
        -------
        list of arrays, the caller's to keep.

        Raises
        ------
        TypeError, ValueError  an input is missing, unknown, or not as `get_inputs` says.
        accel.ModelError  the shapes do not fit the network, or need more memory than there is.
        """
        again = self._again
        if output_names is None and again is not None:
            outputs = again(input_feed)
            if outputs is not None:
                return outputs
        wanted = self._outputs if output_names is None else self._wanted(output_names)
        feeds = self._plainly_right(input_feed) or self._checked(input_feed)
        try:
            results = self._results(feeds)
        except MemoryError as why:
            raise _too_large(feeds) from why
        if output_names is None and self._distinct:
            return list(map(results.__getitem__, wanted))
        return [results[name].copy() if name in wanted[:i] else results[name] for i, name in enumerate(wanted)]

    def explain(self, input_feed: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
        """What runs for inputs of these shapes, step by step, and why.

        Returns
        -------
        list of dicts: `node`, `kernel`, `shape` of the first result, `native`; and for a convolution `choice`, with
        `method`, `reason`, `error` on random input (relative to the largest output, None where it is only rounding)
        and `candidates`, each with predicted `cycles` and measured `seconds` for one image on one thread. Empty where
        shapes depend on data, or on the back ends numba and numpy: the network is then interpreted node by node.
        """
        plan = self._plan(self._checked(input_feed))
        return [] if isinstance(plan, Interpreter) else [step.as_dict() for step in plan.steps]

    def _results(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        plan = self._plan(feeds)
        if not isinstance(plan, Interpreter) and not plan.calls_python:  # native steps know their settings
            return plan.run(feeds, self.threads, self._keep_denormals)
        with runtime.under(self._settings):
            if not isinstance(plan, Interpreter):
                return plan.run(feeds, self.threads, self._keep_denormals)
            return dict(zip(self._outputs, plan.run(feeds), strict=True))

    def _wanted(self, output_names: Sequence[str]) -> list[str]:
        if isinstance(output_names, str) or not isinstance(output_names, Iterable):
            raise TypeError(f"output_names: expected a list of names or None, got {checks.describe(output_names)}")
        wanted = list(output_names)
        unknown = [name for name in wanted if name not in self._outputs]
        if unknown:
            raise ValueError(f"output_names: expected some of {self._outputs}, got {unknown}")
        return wanted

    def _plainly_right(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """The feed when it needs no message: arrays of the right type and of shapes that ran before. None in any doubt.

        Shapes are kept in `_right` only after they passed `_checked`, so here they are only looked up.
        """
        if type(feed) is not dict or len(feed) != len(self._dtypes):
            return None
        arrays = {}
        for name, dtype in self._dtypes:
            array = feed.get(name)
            if type(array) is not np.ndarray or array.dtype != dtype or not array.flags.c_contiguous:
                return None
            arrays[name] = array
        return arrays if tuple([a.shape for a in arrays.values()]) in self._right else None

    def _checked(self, input_feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not isinstance(input_feed, Mapping):
            raise TypeError(f"input_feed: expected a mapping of names to arrays, got {checks.describe(input_feed)}")
        unknown = [name for name in input_feed if name not in self._inputs]
        if unknown:
            raise ValueError(f"input_feed: expected the inputs {list(self._inputs)}, got {unknown}")
        return {name: _checked_input(value, input_feed) for name, value in self._inputs.items()}

    def _plan(self, feeds: Mapping[str, np.ndarray]) -> AnyPlan:
        shapes = tuple([a.shape for a in feeds.values()])
        signs = tuple([n for n in self._sign_inputs if self._only_signs(feeds[n])]) if self._sign_inputs else ()
        key = (*shapes, *signs)
        with self._lock:
            plan = self._plans.get(key)
            if plan is None:
                plan = self._make_plan(feeds, signs)
                self._plans[key] = plan
                if len(self._plans) > _PLANS:
                    self._plans.popitem(last=False)
                if len(self._right) >= _SHAPES:
                    self._right.clear()
                self._right.add(shapes)
            else:
                self._plans.move_to_end(key)
        if isinstance(plan, planning.Plan) and plan.native_alone and self._distinct:
            self._again = Again(self, plan, feeds, signs)
        return plan

    def _make_plan(self, feeds: Mapping[str, np.ndarray], signs: tuple[str, ...]) -> AnyPlan:
        """`signs`: inputs that hold +1 and -1 alone."""
        specs = {name: Spec(a.shape, a.dtype) for name, a in feeds.items()}
        try:
            known = infer(self._network, specs)
            shapes = {name: as_spec(value).shape for name, value in known.items()}
            before = {name: value for name, value in known.items() if isinstance(value, Spec)}
            del known  # constants are let go while they are packed
            if not self._native:
                return Interpreter(self._network)
            fused = passes.fuse(self._network, shapes, activations=native.NATIVE_ACTIVATIONS, assumed=signs)
            held = [self._network.constants] if self._owned else []
            inferred = infer(fused, specs, before)
            if better_by_image(fused, inferred):
                one = self._plan_for_one(feeds, signs)
                wanted = [(1, *inferred[v.name].shape[1:]) for v in fused.outputs]
                fits = isinstance(one, planning.Plan) and [shape for _, shape, _ in one.output_shapes] == wanted
                if isinstance(one, planning.Plan) and fits and not one.calls_python:
                    return ByImage(one, len(next(iter(feeds.values()))))
            parts = before_products(fused, inferred)
            if parts is not None and better_by_image(parts[0], inferred):
                plan = self._plan_of_parts(*parts, feeds, inferred, held, signs)
                if plan is not None:
                    return plan
            with runtime.under(self._settings):
                return planning.build(fused, inferred, self._packed, held, signs)
        except DynamicShapeError:
            return Interpreter(self._network)

    def _plan_of_parts(
        self,
        first: Network,
        rest: Network,
        feeds: Mapping[str, np.ndarray],
        inferred: Mapping[str, Known],
        held: list[dict[str, Constant]],
        signs: tuple[str, ...],
    ) -> ByImageThenTogether | None:
        """None where the first part does not take an image alone as it takes a batch."""
        between = rest.inputs[0].name
        spec, images = as_spec(inferred[between]), len(next(iter(feeds.values())))
        with runtime.under(self._settings):
            known = infer(first, {name: Spec((1, *a.shape[1:]), a.dtype) for name, a in feeds.items()})
            if as_spec(known[between]).shape != (1, *spec.shape[1:]):
                return None
            one = planning.build(first, known, self._packed, held, signs)
            if one.calls_python:
                return None
            together = planning.build(rest, infer(rest, {between: spec}), self._packed, held)
        return None if together.calls_python else ByImageThenTogether(ByImage(one, images), together)

    def _plan_for_one(self, feeds: Mapping[str, np.ndarray], signs: tuple[str, ...]) -> AnyPlan | None:
        """The plan for the first image alone, kept for images that come alone; the lock is held. None where the network
        takes no image alone."""
        key = (*[(1, *array.shape[1:]) for array in feeds.values()], *signs)
        if key not in self._plans:
            try:
                self._plans[key] = self._make_plan({name: array[:1] for name, array in feeds.items()}, signs)
            except AccelError:
                return None
        return self._plans[key]

    def __repr__(self) -> str:
        source = Path(self._network.name).name if self._network.name else "network"
        return f"InferenceSession({source!r}, threads={self.threads})"


class Again:
    """The call of a session with arrays of the types and shapes of its latest one, without what need not be asked anew.

    A run of a small network takes a few microseconds, and so does every dict that is made on the way to it.
    """

    def __init__(
        self, session: InferenceSession, plan: planning.Plan, feeds: Mapping[str, np.ndarray], signs: tuple[str, ...]
    ) -> None:
        self._inputs = [(name, dtype, feeds[name].shape) for name, dtype in session._dtypes]
        self._signs = [(name, name in signs) for name in session._sign_inputs]
        self._only_signs, self._plan = session._only_signs, plan
        self._threads, self._keep_denormals = session.threads, session._keep_denormals

    def __call__(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
        """The outputs; None, and nothing done, where the feed is another, or memory is short."""
        if type(feed) is not dict or len(feed) != len(self._inputs):
            return None
        arrays = []
        for name, dtype, shape in self._inputs:
            array = feed.get(name)
            if type(array) is not np.ndarray or array.shape != shape or array.dtype != dtype:
                return None
            if not array.flags.c_contiguous:
                return None
            arrays.append(array)
        for name, held in self._signs:
            if self._only_signs(feed[name]) != held:
                return None
        try:
            return self._plan.run_arrays(arrays, self._threads, self._keep_denormals)
        except MemoryError:
            return None


def _checked_input(value: Value, feed: Mapping[str, np.ndarray]) -> np.ndarray:
    name = f"input {value.name!r}"
    if value.name not in feed:
        raise ValueError(f"{name}: missing from input_feed")
    array = checks.array(name, feed[value.name], value.dtype, None if value.shape is None else len(value.shape))
    for axis, (size, dim) in enumerate(zip(array.shape, value.shape or (), strict=False)):
        if isinstance(dim, int) and dim != size:
            raise ValueError(f"{name}: expected {dim} along axis {axis}, got {checks.describe(array)}")
    return array


def _too_large(feeds: Mapping[str, np.ndarray]) -> ModelError:
    shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
    return ModelError(f"not enough memory to run with inputs of these shapes: {shapes}")


def _renew_locks() -> None:
    """In a forked child: a thread that held a lock in the parent is not there to release it."""
    for session in _alive:
        session._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
