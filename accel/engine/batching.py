"""A batch run image by image, where that keeps activations in the cache.

A network over a batch reads and writes each activation for all images before it comes to the next layer, and what eight
images make is mostly out of the cache by then. Image by image it stays there, at the price of reading the weights of
matrix products once for each; where those are large, only what comes before them runs image by image. All give the same
bits (see docs/engine.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from accel.engine.plan import Plan
from accel.engine.shapes import Known, Spec
from accel.graph.network import Network, Node, Value
from accel.kernels import program as native
from accel.kernels import runtime

_ROWWISE = frozenset(
    {"Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "LRN", "Identity", "Dropout", "Resize"}
    | {"BatchNormalization", "Sqrt", "Exp", "Neg", "Abs", "Tanh", "Elu", "Log", "Floor", "Ceil"}
    | native.NATIVE_ACTIVATIONS
)
"""Operators that compute each image from that image alone, whatever their attributes, when only their first input is
not a constant."""


_CACHE = 2 << 20
"""Bytes that stay in the cache from one layer to the next: smaller batches had better share a call of each kernel."""


class ByImage:
    """A plan for one image, run for each of a batch."""

    calls_python = False

    def __init__(self, plan: Plan, images: int) -> None:
        self.plan, self._images = plan, images
        self.steps, self.arena_bytes = plan.steps, 0  # the arena is the plan's

    def run(self, feeds: Mapping[str, np.ndarray], threads: int, keep_denormals: bool) -> dict[str, np.ndarray]:
        """As Plan.run."""
        results = {
            name: runtime.empty((self._images, *shape[1:]), dtype) for name, shape, dtype in self.plan.output_shapes
        }
        for i in range(self._images):
            image = {name: array[i : i + 1] for name, array in feeds.items()}
            self.plan.run_into(
                image, {name: array[i : i + 1] for name, array in results.items()}, threads, keep_denormals
            )
        return results


class ByImageThenTogether:
    """A plan for the first part of a network, run for each image of a batch, then one for the rest of all of them."""

    calls_python = False

    def __init__(self, first: ByImage, rest: Plan) -> None:
        self._first, self._rest = first, rest
        self.steps, self.arena_bytes = [*first.steps, *rest.steps], first.plan.arena_bytes + rest.arena_bytes

    def run(self, feeds: Mapping[str, np.ndarray], threads: int, keep_denormals: bool) -> dict[str, np.ndarray]:
        """As Plan.run."""
        return self._rest.run(self._first.run(feeds, threads, keep_denormals), threads, keep_denormals)


def before_products(network: Network, known: Mapping[str, Known]) -> tuple[Network, Network] | None:
    """The part of a fused network before its first matrix product, and the rest; None where more than one value leads
    from one to the other."""
    at = next((i for i, node in enumerate(network.nodes) if node.op in ("Gemm", "MatMul")), 0)
    first, rest = network.nodes[:at], network.nodes[at:]
    before = {name for node in first for name in node.outputs if name} | {v.name for v in network.inputs}
    read = {name for node in rest for name in node.inputs} | {v.name for v in network.outputs}
    between = sorted(before & read)
    if not first or len(between) != 1 or not isinstance(spec := known[between[0]], Spec):
        return None
    value = Value(between[0], spec.dtype, (None, *spec.shape[1:]))
    return network.replace(nodes=first, outputs=[value]), network.replace(nodes=rest, inputs=[value])


def better_by_image(network: Network, known: Mapping[str, Known]) -> bool:
    """Whether a fused network with a batch in all its inputs had better run, and can, image by image."""
    images = {known_shape(known, v.name)[:1] for v in network.inputs}
    if len(images) != 1 or images in ({()}, {(0,)}, {(1,)}) or any(len(v.shape or ()) < 2 for v in network.inputs):
        return False
    (count,) = images.pop()
    if any(isinstance(v.shape[0], int) for v in network.inputs if v.shape):  # a network for this batch alone
        return False
    if not all(_keeps_images(node, known, count) for node in network.nodes):
        return False
    sizes = [s.nbytes for s in known.values() if isinstance(s, Spec)]
    return max(sizes) > _CACHE and _product_bytes(network, known) * 2 < sum(sizes) / count


def known_shape(known: Mapping[str, Known], name: str) -> tuple[int, ...]:
    """The shape of a value."""
    return tuple(known[name].shape)


def _product_bytes(network: Network, known: Mapping[str, Known]) -> int:
    """Bytes of the weights of matrix products."""
    shapes = [known_shape(known, n.inputs[1]) for n in network.nodes if n.op in ("Gemm", "MatMul")]
    return 4 * sum(math.prod(shape) for shape in shapes)


def _keeps_images(node: Node, known: Mapping[str, Known], images: int) -> bool:
    """Whether image i of every result follows from image i of the inputs."""
    fresh = [name for name in node.inputs if name and isinstance(known[name], Spec)]
    if not fresh:
        return True
    shapes = [known_shape(known, name) for name in (*fresh, *(o for o in node.outputs if o))]
    if any(len(shape) < 2 or shape[0] != images for shape in shapes):
        return False
    rank = len(shapes[0])
    if node.op in ("Add", "Sub", "Mul", "Div"):
        return all(_broadcasts_over_images(known, name, rank) for name in node.inputs)
    if node.op == "Concat":
        return len(fresh) == len(node.inputs) and node.attributes["axis"] % rank != 0
    if node.op == "Conv":  # with a residual
        return set(fresh) <= {node.inputs[0], node.input(3)}
    if fresh != [node.inputs[0]]:
        return False
    if node.op == "Gemm":
        return not node.attributes.get("transA", 0) and all(
            not name or _broadcasts_over_images(known, name, rank) for name in node.inputs[2:]
        )
    if node.op == "MatMul":
        return len(known_shape(known, node.inputs[1])) == 2
    if node.op == "Softmax":
        return int(node.attributes.get("axis", -1)) % rank != 0
    if node.op == "Transpose":
        return (node.attributes.get("perm") or range(rank)[::-1])[0] == 0
    return node.op in _ROWWISE or node.op in ("Flatten", "Reshape", "Squeeze", "Unsqueeze")


def _broadcasts_over_images(known: Mapping[str, Known], name: str, rank: int) -> bool:
    """Whether a value has images along the first of `rank` axes, or is the same for all of them."""
    value = known[name]
    if isinstance(value, Spec):
        return len(value.shape) == rank
    return value.ndim < rank or value.shape[0] == 1
