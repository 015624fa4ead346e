"""Real activations times weights of one bit, within 4 eps sqrt(n) (|bias| + |scale| sum |x|) of float64."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.floats import EPS, assert_same_bits, normal

import accel
from accel.kernels.binary import SignWeights, pack_bits, sign_linear
from accel.reference import binary as reference


def weights(rows: int, n: int, scaled: bool = True) -> tuple[SignWeights, np.ndarray]:
    w = normal(rows, n, seed=1)
    return SignWeights(pack_bits(w), n, np.abs(normal(rows, seed=2)) if scaled else None), reference.sign(w)


@pytest.mark.parametrize(
    ("batch", "n", "rows"), [(1, 1, 1), (2, 3, 17), (3, 64, 16), (1, 65, 40), (5, 200, 33), (2, 513, 100)]
)
def test_sign_linear(implementation: str, batch: int, n: int, rows: int) -> None:
    x, bias = normal(batch, n), normal(rows, seed=3)
    for scaled in (False, True):
        packed, signs = weights(rows, n, scaled)
        expected = reference.sign_linear(x, signs, packed.scale, bias)
        scale = np.ones(rows) if packed.scale is None else packed.scale
        bound = 4 * EPS * np.sqrt(n) * (np.abs(bias) + scale * np.abs(x).sum(1, keepdims=True))
        y = sign_linear(x, packed, bias)
        assert y.dtype == np.float32 and np.all(np.abs(y - expected) <= bound)


def test_rows_batches_and_threads_give_the_same_bits(isa: str) -> None:
    packed, _ = weights(500, 700)
    x = normal(4, 3, 700)
    with accel.using(threads=1):
        y = sign_linear(x, packed)
        assert y.shape == (4, 3, 500)
        assert_same_bits(sign_linear(x[2, 1], packed), y[2, 1])
    with accel.using(threads=2):
        assert_same_bits(sign_linear(x, packed), y)


def test_infinity_and_nan(implementation: str) -> None:
    packed, signs = weights(20, 70, scaled=False)
    x = normal(2, 70)
    x[0, 3], x[1, 69] = np.inf, np.nan
    y = sign_linear(x, packed)
    np.testing.assert_array_equal(y[0], signs[:, 3] * np.float32(np.inf))
    assert np.isnan(y[1]).all()


def test_bytes() -> None:
    packed, _ = weights(64, 128, scaled=False)
    assert packed.nbytes == 64 * 128 // 8


def test_wrong_arguments(implementation: str) -> None:
    packed, _ = weights(20, 70)
    x = normal(2, 70)
    with pytest.raises(TypeError, match="x: expected float32"):
        sign_linear(x.astype(np.float64), packed)
    with pytest.raises(ValueError, match=r"x: expected shape \(..., 70\)"):
        sign_linear(x[:, :69].copy(), packed)
    with pytest.raises(ValueError, match=r"bias: expected shape \(20,\)"):
        sign_linear(x, packed, normal(21))
    with pytest.raises(ValueError, match="out: expected memory of its own"):
        sign_linear(x, weights(70, 70)[0], out=x)
    bits = pack_bits(normal(20, 70))
    with pytest.raises(ValueError, match="bits: expected zeros after 69 bits"):
        SignWeights(bits | np.uint64(1 << 6), 69)
    with pytest.raises(ValueError, match=r"scale: expected shape \(20,\)"):
        SignWeights(bits, 70, np.ones(19, np.float32))
    assert sign_linear(x[:0], packed).shape == (0, 20)


def test_signs_that_are_not_packed_and_overlapping_results_are_named(implementation: str) -> None:
    memory, x = np.zeros(60, np.float32), normal(2, 70)
    with pytest.raises(TypeError, match="weights: expected SignWeights, got uint64 array"):
        sign_linear(x, pack_bits(normal(20, 70)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="out: expected memory of its own, got memory of bias"):
        sign_linear(x, weights(20, 70)[0], memory[10:30], memory[:40].reshape(2, 20))
