"""Batches run image by image: the same bits as images alone, and only where a network takes images alone."""

from __future__ import annotations

import numpy as np
import pytest
from engine.sketch import Sketch, normal

import accel
from accel.engine.batching import ByImage, ByImageThenTogether
from accel.kernels import runtime

pytestmark = pytest.mark.skipif(runtime.core is None, reason="plans are made of native kernels")
X = normal(8, 16, 80, 80)  # 3 MB: more than stays in the cache


def session_of(s: Sketch, *outputs: str) -> accel.InferenceSession:
    return accel.InferenceSession(s.network(*outputs))


def test_large_batches_run_image_by_image_with_the_bits_of_images_alone() -> None:
    s = Sketch()
    session = session_of(s, s.add("Relu", s.conv(s.input("N", 16, "H", "W"), 16, 16, 3)))
    (whole,) = session.run(None, {"x0": X})
    assert isinstance(session._plans[(X.shape,)], ByImage)
    alone = np.concatenate([session.run(None, {"x0": X[i : i + 1]})[0] for i in range(8)])
    assert whole.tobytes() == alone.tobytes()


def with_product(s: Sketch, skips: bool = False) -> accel.InferenceSession:
    """A convolution, then a matrix product with more weights than an image has values; `skips`: of which the
    convolution's input is added to the result."""
    x = s.input("N", 16, 80, 80)
    flat = s.add("Flatten", s.add("Relu", s.conv(x, 16, 16, 3)))
    y = s.add("Gemm", flat, s.constant(normal(16 * 80 * 80, 8, seed=3)))
    return session_of(s, y, s.add("Relu", x)) if skips else session_of(s, y)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_comes_before_large_products_runs_image_by_image(threads: int) -> None:
    with accel.using(threads=threads):
        session = with_product(Sketch())
    (whole,) = session.run(None, {"x0": X})
    plan = session._plans[(X.shape,)]
    assert isinstance(plan, ByImageThenTogether) and len(session.explain({"x0": X})) == len(plan.steps)
    alone = np.concatenate([session.run(None, {"x0": X[i : i + 1]})[0] for i in range(8)])
    assert whole.tobytes() == alone.tobytes()
    assert session.run(None, {"x0": X})[0].tobytes() == whole.tobytes() and session.resident_bytes > plan.arena_bytes


def test_two_values_that_lead_to_products_keep_a_batch_together() -> None:
    session = with_product(Sketch(), skips=True)
    session.run(None, {"x0": X})
    assert not any(isinstance(plan, (ByImage, ByImageThenTogether)) for plan in session._plans.values())


def test_small_batches_run_together() -> None:
    s = Sketch()
    session = session_of(s, s.conv(s.input("N", 16, "H", "W"), 16, 16, 3))
    session.run(None, {"x0": X[:2, :, :8, :8].copy()})
    assert not any(isinstance(plan, ByImage) for plan in session._plans.values())


def test_a_network_for_one_batch_size_runs_as_before() -> None:
    """Its reshape fits eight images and no other number."""
    s = Sketch()
    y = s.conv(s.input("N", 16, "H", "W"), 16, 16, 3)
    session = session_of(s, s.add("Reshape", y, s.constant(np.array([8, 16, -1]))))
    (whole,) = session.run(None, {"x0": X})
    assert whole.shape == (8, 16, 6400) and not isinstance(session._plans[(X.shape,)], ByImage)


def test_values_of_different_rank_are_no_images() -> None:
    """(8, 520) beside (8, 16, 8, 520) broadcasts over rows, not images."""
    s = Sketch()
    y = s.conv(s.input("N", 16, "H", "W"), 16, 16, 3)
    session = session_of(s, s.add("Add", y, s.input("N", "W")))
    x, flat = normal(8, 16, 8, 520), normal(8, 520)
    (whole,) = session.run(None, {"x0": x, "x1": flat})
    assert whole.shape == x.shape and not isinstance(session._plans[(x.shape, flat.shape)], ByImage)
