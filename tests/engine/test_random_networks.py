"""Random small networks: the plan, with its blocks, joins, places taken over and shared memory, must not show."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from engine.sketch import Sketch, assert_close, check, expected, normal

import accel
from accel.graph import Network

Shape = tuple[int, ...]
ACTIVATIONS = ["Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Clip", "Tanh"]


@dataclass
class Grower:
    """Adds one random operator after another; every value may be read by any later operator."""

    dice: random.Random
    sketch: Sketch
    shapes: dict[str, Shape] = field(default_factory=dict)

    def pick(self, *, ndim: int = 4, like: Shape | None = None) -> str:
        names = [n for n, s in self.shapes.items() if (s == like if like else len(s) == ndim)]
        return self.dice.choice(names)

    def flip(self) -> bool:
        return self.dice.random() < 0.5

    def width(self) -> int:
        return self.dice.choice([8, 16, 32]) if self.flip() else self.dice.randint(1, 40)

    def conv(self) -> None:
        x = self.pick()
        n, c, h, w = self.shapes[x]
        kernel, stride = self.dice.choice([(1, 1), (3, 1), (3, 2), (1, 2), (2, 1)])
        pad = self.dice.randint(0, 2)
        if min(h, w) + 2 * pad < kernel:
            return
        depthwise = self.flip()
        out = c if depthwise else self.width()
        y = self.sketch.conv(x, c, out, kernel, pad=pad, group=c if depthwise else 1, strides=[stride] * 2)
        self.shapes[y] = (n, out, *((s + 2 * pad - kernel) // stride + 1 for s in (h, w)))

    def pool(self) -> None:
        x = self.pick()
        n, c, h, w = self.shapes[x]
        op, stride = self.dice.choice(["MaxPool", "AveragePool"]), self.dice.randint(1, 2)
        y = self.sketch.add(op, x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[stride] * 2)
        self.shapes[y] = (n, c, *((s - 1) // stride + 1 for s in (h, w)))

    def combine(self) -> None:
        a = self.pick()
        b = self.pick(like=self.shapes[a])
        self.shapes[self.sketch.add(self.dice.choice(["Add", "Add", "Sub", "Mul"]), a, b)] = self.shapes[a]

    def residual(self) -> None:
        """conv(a) + b, the sum maybe activated: what is fused and put in place."""
        a = self.pick()
        n, c, h, w = self.shapes[a]
        b = self.pick(like=(n, c, h, w))
        branch = self.sketch.conv(a, c, c, 3)
        y = self.sketch.add("Add", *((branch, b) if self.flip() else (b, branch)))
        if self.flip():
            y = self.sketch.add("Relu", y)
        if self.dice.random() < 0.7:  # else it has readers later, and must survive
            self.shapes.pop(b)
        self.shapes[y] = (n, c, h, w)

    def blocks(self) -> None:
        """Residual blocks in a row, as in a ResNet: their sums take over the place of the shortcut."""
        x = self.pick()
        n, c, h, w = self.shapes[x]
        for _ in range(self.dice.randint(2, 4)):
            inner = self.sketch.add("Relu", self.sketch.conv(x, c, c, self.dice.choice([1, 3])))
            shortcut = x if self.flip() else self.sketch.conv(x, c, c, 1)
            x = self.sketch.add("Add", self.sketch.conv(inner, c, c, 3), shortcut)
            if self.flip():
                x = self.sketch.add("Relu", x)
            if self.dice.random() < 0.2:
                self.shapes[inner] = self.shapes[shortcut] = self.shapes[x] = (n, c, h, w)
        self.shapes[x] = (n, c, h, w)

    def concat(self) -> None:
        a = self.pick()
        n, _, h, w = self.shapes[a]
        fitting = [k for k, s in self.shapes.items() if len(s) == 4 and (s[0], *s[2:]) == (n, h, w)]
        parts = self.dice.choices(fitting, k=self.dice.randint(1, 3))
        self.shapes[self.sketch.add("Concat", *parts, axis=1)] = (n, sum(self.shapes[p][1] for p in parts), h, w)

    def fire(self) -> None:
        """Two convolutions of one value, joined: what is written in place."""
        x = self.pick()
        n, c, h, w = self.shapes[x]
        widths = self.dice.choice([16, 32, 8]), self.width()
        parts = [self.sketch.conv(x, c, out, kernel) for out, kernel in zip(widths, (1, 3), strict=True)]
        if self.flip():
            parts = [self.sketch.add("Relu", p) for p in parts]
        for part, out in zip(parts, widths, strict=True):
            if self.flip():
                self.shapes[part] = (n, out, h, w)  # may have other readers
        self.shapes[self.sketch.add("Concat", *parts, axis=1)] = (n, sum(widths), h, w)

    def activate(self) -> None:
        x = self.dice.choice(list(self.shapes))
        op = self.dice.choice(ACTIVATIONS)
        bounds = [self.sketch.constant(np.float32(b)) for b in (-0.5, 0.75)] if op == "Clip" else []
        self.shapes[self.sketch.add(op, x, *bounds)] = self.shapes[x]

    def gate(self) -> None:
        """Squeeze and excite: one factor per image and channel."""
        x = self.pick()
        n, c, _, _ = self.shapes[x]
        mean = self.sketch.add("GlobalAveragePool", x)
        self.shapes[mean] = (n, c, 1, 1)
        factor = self.sketch.add("Sigmoid", self.sketch.conv(mean, c, c, 1))
        self.shapes[self.sketch.add("Mul", *((x, factor) if self.flip() else (factor, x)))] = self.shapes[x]

    def turn(self) -> None:
        x = self.pick()
        n, c, h, w = self.shapes[x]
        if self.flip():
            y = self.sketch.add("Transpose", x, perm=[0, 1, 3, 2])
        else:
            y = self.sketch.add("Reshape", x, self.sketch.constant(np.array([n, c, w, h], np.int64)))
        self.shapes[y] = (n, c, w, h)

    def flatten(self) -> None:
        x = self.pick()
        n, *rest = self.shapes[x]
        self.shapes[self.sketch.add("Flatten", x)] = (n, int(np.prod(rest)))

    def product(self) -> None:
        if not any(len(s) == 2 for s in self.shapes.values()):
            return
        x = self.pick(ndim=2)
        n, depth = self.shapes[x]
        out = self.width()
        if self.flip():
            y = self.sketch.add("Gemm", x, self.sketch.weights(out, depth), self.sketch.weights(out), transB=1)
        else:
            y = self.sketch.add("MatMul", x, self.sketch.constant(normal(depth, out) / np.float32(np.sqrt(depth))))
        self.shapes[y] = (n, out)

    def forget(self) -> None:
        """Fewer values to choose from make longer chains, whose memory is used again."""
        image = self.pick()
        for name in list(self.shapes)[:-2]:
            if name != image:
                del self.shapes[name]


STEPS = ["conv", "conv", "pool", "combine", "residual", "blocks", "concat", "fire", "fire", "activate", "gate"]
STEPS += ["turn", "flatten", "product", "forget", "forget"]


def grow(seed: int, steps: int) -> tuple[Network, dict[str, np.ndarray]]:
    dice = random.Random(seed)
    sketch = Sketch(seed)
    grower = Grower(dice, sketch)
    shape = (dice.randint(1, 2), grower.width(), dice.randint(3, 8), dice.randint(3, 8))
    grower.shapes[sketch.input(*shape)] = shape
    grower.conv()
    for _ in range(steps):
        getattr(grower, dice.choice(STEPS))()
    made = [o for node in sketch.nodes for o in node.outputs] or ["x0"]
    some = dice.sample([*made, "x0"], min(dice.randint(0, 3), len(made)))
    return sketch.network(*dict.fromkeys([*some, made[-1]])), {"x0": normal(*shape)}


def compare(seed: int, steps: int) -> None:
    network, feeds = grow(seed, steps)
    check(network, feeds, threads=1)
    wanted = expected(network, feeds)
    for isa in accel.isa_info()["supported"]:
        with accel.using(backend="native", isa=isa):
            results = [accel.InferenceSession(network, threads=t).run(None, feeds) for t in (1, 3)]
        assert_close(results[0], wanted)
        assert [a.tobytes() for a in results[0]] == [a.tobytes() for a in results[1]]


@pytest.mark.parametrize("steps", range(1, 17))
def test_the_plan_computes_what_the_interpreter_does(steps: int) -> None:
    for seed in range(16):
        compare(100 * steps + seed, steps)


@pytest.mark.slow
@pytest.mark.parametrize("steps", range(1, 41))
def test_many_plans_compute_what_the_interpreter_does(steps: int) -> None:
    for seed in range(250):
        compare(10_000 + 1000 * steps + seed, steps)
