"""PlanBuilder: values, the forms they are held in, and the steps that make one from another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np

from accel.engine.memory import Storage
from accel.engine.packed import PackedDense
from accel.engine.shapes import Known, Spec, as_spec
from accel.engine.tuning import Choice, LinearChoice
from accel.graph.network import Network, Node
from accel.kernels import program as native
from accel.kernels import runtime
from accel.kernels.binary import unpack_pixels, words_for
from accel.kernels.conv_native import Folded
from accel.weights.base import Weight, dense

PLAIN = "plain"
BLOCKED = "blocked"
PADDED = "padded"  # planes with a halo
FOLDED = "folded"  # blocks whose channels hold a stride
BITS = "bits"  # signs packed along the channels of each pixel

Arrays = Callable[["Tensor"], np.ndarray]
T = TypeVar("T", bound=tuple[Any, ...])


class BitImage(NamedTuple):
    """What bits are of: the images of N x C x H x W, or the rows of (N, C) as images of one pixel."""

    images: int
    channels: int
    height: int = 1
    width: int = 1

    @property
    def words_shape(self) -> tuple[int, int, int, int]:
        return self.images, self.height, self.width, words_for(self.channels)


@dataclass(slots=True, eq=False)
class Tensor:
    """A value in one form. Plain: C-contiguous. Blocked and padded ones lie as `map` says."""

    spec: Spec
    storage: Storage
    map: Any = None
    floats: int = 0  # where in the storage it begins
    constant: np.ndarray | None = None


@dataclass(slots=True, eq=False)
class Step:
    """One kernel call (`emit` adds it to the native program) or one Python call over plain arrays."""

    node: str
    reads: list[Tensor]
    writes: list[Tensor]
    emit: Callable[[Any, Callable[[Tensor], Any]], None] | None = None
    python: Callable[[Arrays], Callable[[], object]] | None = None
    kernel: str = ""
    choice: Choice | LinearChoice | None = None  # what else it could be, and why it is this

    def as_dict(self) -> dict[str, Any]:
        """For a report."""
        data = {
            "node": self.node, "kernel": self.kernel, "shape": list(self.writes[0].spec.shape),
            "native": self.emit is not None,
        }  # fmt: skip
        return data if self.choice is None else {**data, "choice": self.choice.as_dict()}


@dataclass(slots=True)
class PlanBuilder:
    """Collects the steps of one network for one set of input shapes."""

    network: Network
    known: dict[str, Known]
    packed: dict[tuple[Any, ...], Any]
    held: Sequence[dict[str, Any]] = ()  # where originals of packed weights are, when they may be let go
    steps: list[Step] = field(default_factory=list)
    storages: list[Storage] = field(default_factory=list)
    halo: dict[str, int] = field(default_factory=dict)
    joined: dict[str, tuple[str, int]] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)
    forms: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    outputs: dict[str, Storage] = field(default_factory=dict)
    convolutions: dict[str, Any] = field(default_factory=dict)  # how each is computed, by its output
    planes: set[str] = field(default_factory=set)  # values that are made as planes
    pooled: dict[str, str] = field(default_factory=dict)  # convolutions that make their pooled output at once
    banded: dict[str, Node] = field(default_factory=dict)  # values that the next convolution makes some rows at a time
    signs: set[str] = field(default_factory=set)  # values of +1 and -1 alone
    signed: dict[str, Node] = field(default_factory=dict)  # values whose bits a Sign makes
    products: dict[str, Any] = field(default_factory=dict)  # of signs by binary weights, by their output
    threads: int = field(default_factory=runtime.threads)
    tune: bool = field(default_factory=runtime.tune)
    makers: dict[str, Node] = field(init=False)  # of each value
    readers: dict[str, list[Node]] = field(init=False)  # each node once

    def __post_init__(self) -> None:
        self.makers, self.readers = self.network.producers(), {}
        for node in self.network.nodes:
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)

    # -- values ------------------------------------------------------------------------------------------------

    def spec(self, name: str) -> Spec:
        return as_spec(self.known[name])

    def constant(self, name: str) -> np.ndarray | None:
        """The value when it is known before the run, else None."""
        value = self.known.get(name)
        return None if value is None or isinstance(value, Spec) else dense(value)

    def is_float_image(self, name: str) -> bool:
        """Float32 N x C x H x W that only a run will know."""
        value = self.known.get(name)
        return isinstance(value, Spec) and value.dtype == np.float32 and len(value.shape) == 4 and 0 not in value.shape

    def sole_use(self, name: str) -> bool:
        """Whether the node being lowered is the last to read the value."""
        return self.uses[name] <= 1 and name not in self.outputs

    # -- forms -------------------------------------------------------------------------------------------------

    def plain(self, name: str) -> Tensor:
        """The value as a C-contiguous array; adds the copy that makes it one."""
        forms = self.forms.setdefault(name, {})
        if PLAIN not in forms:
            value = self.constant(name)
            if value is not None:
                array = np.ascontiguousarray(value).reshape(value.shape)  # it gives a scalar an axis
                forms[PLAIN] = Tensor(as_spec(array), Storage(array.nbytes, external=True), constant=array)
            elif BLOCKED not in forms:
                self._unpack(name, forms[BITS])
            else:
                source = forms[BLOCKED]
                target = self.new_plain(name)
                self.native_step(
                    "export", name, [source], [target], lambda p, at: p.export_plain(source.map, at(source), at(target))
                )
        return forms[PLAIN]

    def blocked(self, name: str, halo: int = 0) -> Tensor:
        """A float image in channel blocks with at least `halo`; adds the copy that makes it one."""
        forms = self.forms.setdefault(name, {})
        held = forms.get(BLOCKED)
        if held is not None and held.map.halo >= halo:
            return held
        halo = max(halo, self.halo.get(name, 0))
        if held is not None:
            target = self._new(name, BLOCKED, native.blocked_map(held.spec.shape, halo), join=False)
            self.native_step(
                "copy", name, [held], [target], lambda p, at: p.copy(held.map, at(held), target.map, at(target))
            )
            return target
        source = self.plain(name)
        target = self._new(name, BLOCKED, native.blocked_map(source.spec.shape, halo))
        self.native_step(
            "import", name, [source], [target], lambda p, at: p.import_plain(target.map, at(source), at(target))
        )
        return target

    def padded(self, name: str, halo: int) -> Tensor:
        """A float image in planes with exactly `halo`."""
        forms = self.forms.setdefault(name, {})
        key = f"{PADDED}{halo}"
        if key not in forms:
            target = self._new(name, key, native.plain_map(self.spec(name).shape, halo))
            held = forms.get(BLOCKED)
            if held is not None and PLAIN not in forms:
                self.native_step(
                    "copy", name, [held], [target], lambda p, at: p.copy(held.map, at(held), target.map, at(target))
                )
            else:
                source = self.plain(name)
                if halo == 0:  # nothing to pad: read it where it is
                    source.map = target.map
                    forms[key] = source
                    return source
                self.native_step(
                    "import", name, [source], [target], lambda p, at: p.import_plain(target.map, at(source), at(target))
                )
        return forms[key]

    def folded(
        self, name: str, kernel: int, stride: int, pads: tuple[int, int, int, int], size: tuple[int, int]
    ) -> tuple[Tensor, tuple[int, int]]:
        """A float image with a stride folded into its channels for an output of `size`, and the kernel that remains."""
        fold, layout, taps = Folded.of(self.spec(name).shape, kernel, stride, pads, size)
        forms = self.forms.setdefault(name, {})
        key = f"{FOLDED} {stride} {pads[:2]} {layout.height} {layout.width}"
        if key in forms:
            return forms[key], taps
        source = self.plain(name)
        target = self._new(name, key, layout)
        self.native_step("fold", name, [source], [target], lambda p, at: p.fold(fold, at(source), at(target)))
        return target, taps

    def new_bits(self, name: str, image: BitImage) -> Tensor:
        """Room for signs as bits. The value has as many elements as the image, channel by channel in rows of pixels."""
        spec = Spec(image.words_shape, np.dtype(np.uint64))
        return self._hold(name, BITS, Tensor(spec, self._storage(spec.nbytes), image))

    def share_bits(self, name: str, source: Tensor) -> None:
        """The value is `source`, bits, under another shape."""
        self._hold(name, BITS, source)

    def _unpack(self, name: str, source: Tensor) -> None:
        target, channels = self.new_plain(name), source.map.channels

        def bind(arrays: Arrays) -> Callable[[], object]:
            words, y = arrays(source), arrays(target)
            return lambda: np.copyto(y, unpack_pixels(words, channels).reshape(y.shape))

        self.python_step("unpack bits", name, [source], [target], bind)

    def new_plain(self, name: str) -> Tensor:
        """Room for the value as a C-contiguous array: the caller's output array, or the arena."""
        spec = self.spec(name)
        storage = self.outputs.get(name) or self._storage(spec.nbytes)
        return self._hold(name, PLAIN, Tensor(spec, storage))

    def new_blocked(self, name: str) -> Tensor:
        """Room for a float image in channel blocks, with the halo that its readers want."""
        return self._new(name, BLOCKED, native.blocked_map(self.spec(name).shape, self.halo.get(name, 0)))

    def without_halo(self, name: str) -> Tensor:
        """Room for a float image in channel blocks alone: readers that want a halo get a copy."""
        return self._new(name, BLOCKED, native.blocked_map(self.spec(name).shape), join=False)

    def scratch(self, floats: int) -> Tensor:
        """Room that only one step uses."""
        return Tensor(Spec((floats,), np.dtype(np.float32)), self._storage(floats * 4))

    def alias(self, name: str, source: Tensor) -> None:
        """The value is `source` under another shape. Where the value is an output, it is computed there at once."""
        storage = self.outputs.get(name)
        if storage is None:
            self._hold(name, PLAIN, Tensor(self.spec(name), source.storage, floats=source.floats))
        elif source.storage.external or source.constant is not None or source.floats:
            self.copy_plain(name, source)
        else:
            source.storage.external, source.storage.slot = True, storage.slot
            self._hold(name, PLAIN, Tensor(self.spec(name), source.storage))

    def copy_plain(self, name: str, source: Tensor) -> None:
        """The value is a copy of `source`, which has as many elements."""
        target = self.new_plain(name)

        width, size = source.spec.dtype.itemsize, int(np.prod(source.spec.shape))
        if size == 0:
            return
        whole = native.side(0, (1,), size)
        self.native_step(
            "copy", name, [source], [target],
            lambda p, at: p.copy_strided(width, (size,), whole, at(source), whole, at(target)),
        )  # fmt: skip

    def _new(self, name: str, form: str, layout: Any, *, join: bool = True) -> Tensor:
        if form == BLOCKED and join and name in self.joined:
            return self._join(name)
        storage = self._storage(layout.floats * 4)
        return self._hold(name, form, Tensor(self.spec(name), storage, layout))

    def _join(self, name: str) -> Tensor:
        whole_name, channel = self.joined[name]
        whole = self.forms.get(whole_name, {}).get(BLOCKED) or self.new_blocked(whole_name)
        layout = whole.map.narrowed(self.spec(name).shape[1])
        floats = whole.floats + channel // native.BLOCK * whole.map.plane
        return self._hold(name, BLOCKED, Tensor(self.spec(name), whole.storage, layout, floats))

    def _storage(self, nbytes: int) -> Storage:
        storage = Storage(nbytes)
        self.storages.append(storage)
        return storage

    def _hold(self, name: str, form: str, tensor: Tensor) -> Tensor:
        tensor.storage.values.add(name)
        self.forms.setdefault(name, {})[form] = tensor
        return tensor

    def overwritable(self, name: str, tensor: Tensor) -> bool:
        """Whether the node being lowered may write its result over this form of its input."""
        storage = tensor.storage
        return not storage.external and tensor.constant is None and storage.values == {name} and self.sole_use(name)

    def take_over(self, name: str, tensor: Tensor) -> Tensor:
        """The value `name` lives where `tensor` did."""
        tensor.storage.values = {name}
        return self._hold(name, BLOCKED, Tensor(self.spec(name), tensor.storage, tensor.map))

    # -- steps -------------------------------------------------------------------------------------------------

    def native_step(
        self,
        kernel: str,
        node: str,
        reads: Sequence[Tensor],
        writes: Sequence[Tensor],
        emit: Callable[[Any, Callable[[Tensor], Any]], None],
        choice: Choice | LinearChoice | None = None,
    ) -> None:
        self.steps.append(Step(node, list(reads), list(writes), emit=emit, kernel=kernel, choice=choice))

    def python_step(
        self,
        kernel: str,
        node: str,
        reads: Sequence[Tensor],
        writes: Sequence[Tensor],
        bind: Callable[[Arrays], Callable[[], object]],
    ) -> None:
        self.steps.append(Step(node, list(reads), list(writes), python=bind, kernel=kernel))

    def pack_once(
        self,
        names: Sequence[str],
        how: tuple[Any, ...],
        make: Callable[[], T],
        pack: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> T:
        """Packed weights, each with nbytes, shared by all plans of a session; not those that follow from the shapes of
        its inputs.

        `pack`, where the first array of `make` only moves the numbers of the constant `names[0]`, does just that to an
        array of its shape: the session then need not hold the constant itself (see PackedDense).
        """
        if any(name and name not in self.network.constants for name in names):
            return make()
        key = (*names, *how)
        if key not in self.packed:
            self.packed[key] = make()
            if pack is not None:
                packed = self.packed[key][0]
                self.let_go(names[0], lambda w: PackedDense(w.shape, packed, pack))
        made: T = self.packed[key]
        return made

    def let_go(self, name: str, other: Callable[[np.ndarray], Weight]) -> None:
        """Holds the array `name` only as what `other` makes of it, where it is the session's own."""
        original = self.network.constants.get(name)
        if self.held and isinstance(original, np.ndarray):  # a Weight is smaller than what is packed of it
            weight = other(original)
            everywhere: list[dict[str, Any]] = [self.network.constants, self.known, *self.held]
            for constants in everywhere:
                if constants.get(name) is original:
                    constants[name] = weight


def count_uses(nodes: Sequence[Node]) -> Counter[str]:
    """How many times each value is read."""
    return Counter(name for node in nodes for name in node.inputs if name)
