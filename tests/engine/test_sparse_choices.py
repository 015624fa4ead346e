"""Sparse layers: what is packed for a choice, and gates of one pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine.sketch import Sketch, check, normal
from engine.test_sparse import cache, kernels, prune, stopwatch  # noqa: F401 (cache is a fixture)

import accel
from accel.engine import tuning
from accel.engine.lowering import convolution
from accel.graph import Network
from accel.kernels import runtime
from accel.kernels.sparse import SparseWeights

if runtime.core is None:
    pytest.skip("only native kernels leave zeros out", allow_module_level=True)


def test_weights_are_packed_to_be_measured_or_run_and_for_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not anew for every input shape where dense was faster, nor where the times are known."""
    packed: list[int] = []
    monkeypatch.setattr(convolution, "SparseWeights", lambda *a: packed.append(1) or SparseWeights(*a))
    stopwatch(monkeypatch, 1.0)
    s = Sketch()
    network = prune(s.network(s.conv(s.input("N", 8, "H", "W"), 8, 24)), 0.9)
    shapes = (1, 8, 9, 9), (2, 8, 9, 9), (3, 8, 9, 9), (1, 8, 13, 13)  # no width is whole vectors, which makes strips
    for measured in (2, 2):  # two sizes of image; another session knows the times
        session = accel.InferenceSession(network)
        for shape in shapes:
            session.run(None, {"x0": normal(*shape)})
        assert len(packed) == measured
    with accel.using(tune=False):  # chosen by prediction, and shared
        monkeypatch.setattr(tuning, "sparse_cycles", lambda *_: 1.0)
        session = accel.InferenceSession(network)
        for shape in shapes:
            assert "conv sparse planes" in kernels(session, {"x0": normal(*shape)})
    assert len(packed) == 3


def gate(images: Any, zeros: float) -> Network:
    s = Sketch()
    x = s.input(images, 240, 5, 5)
    g = s.add("Relu", s.conv(s.add("GlobalAveragePool", x), 240, 60, 1))
    return prune(s.network(s.add("Mul", x, s.add("HardSigmoid", s.conv(g, 60, 240, 1)))), zeros)


@pytest.mark.parametrize(("zeros", "kernel"), [(0.9, "conv sparse vector planes"), (0.35, "conv direct")])
def test_gates_are_products_with_a_vector(isa: str, zeros: float, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By prediction, whatever a convolution over planes would take; any number of images has the bits of one."""
    stopwatch(monkeypatch, 1e-9)
    monkeypatch.setattr(convolution, "linear_cycles", lambda *a: (1.0, a[3] / (240 * 60 * 0.5)))
    network, feeds = gate("N", zeros), {"x0": normal(7, 240, 5, 5)}
    session = check(network, feeds)
    assert [k for k in kernels(session, feeds) if k.startswith("conv")] == [kernel] * 2
    (batch,) = session.run(None, feeds)
    for i in (0, 6):
        assert session.run(None, {"x0": feeds["x0"][i : i + 1]})[0].tobytes() == batch[i : i + 1].tobytes()
    choices = [step["choice"] for step in session.explain(feeds) if "choice" in step]
    assert zeros < 0.5 or "predicted, 90% zeros, break-even near 50%" in choices[0]["reason"]


@pytest.mark.parametrize(
    ("concatenated", "pruned", "kernel"), [(False, 1, "sparse"), (True, 1, "direct"), (True, 3, "sparse")]
)
def test_planes_among_blocks_cost_what_a_concatenation_moves(
    concatenated: bool, pruned: int, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch of 1 x 1 alone, beside one of 3 x 3 in blocks, and beside one that leaves zeros out, too."""
    stopwatch(monkeypatch, 0.967e-3)  # where dense takes 0.97 and what the concatenation moves 0.006
    s = Sketch()
    x = s.conv(s.input(1, 32, 14, 14), 32, 32, 1)
    branch = s.conv(x, 32, 64, 1)
    whole = s.add("Concat", branch, s.conv(x, 32, 64), axis=1) if concatenated else branch
    network = s.network(s.conv(whole, 128 if concatenated else 64, 32, 1))
    for name, w in network.constants.items():
        if isinstance(w, np.ndarray) and w.shape[:2] == (64, 32) and w.shape[2] <= pruned:
            network.constants[name] = w * (normal(*w.shape) > 1.6).astype(np.float32)
    session = accel.InferenceSession(network)
    found = [k for k in kernels(session, {"x0": normal(1, 32, 14, 14)}) if k.startswith("conv")]
    assert found[1].split()[1] == kernel
