"""Binary weights: what they equal, what they refuse, what they weigh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accel.errors import FormatError
from accel.formats import container
from accel.weights import Binary

SHAPES = [(3, 1), (2, 63), (2, 64), (5, 65), (4, 130), (3, 7, 3, 3), (2, 64, 1, 1), (2, 70, 3, 5)]


def signs_of(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), shape)


def scale_of(out: int) -> np.ndarray:
    return (np.arange(out, dtype=np.float32) + 1) / 8


@pytest.mark.parametrize("shape", SHAPES)
def test_signs_and_scale_make_the_dense_weight(shape: tuple[int, ...]) -> None:
    signs, scale = signs_of(shape), scale_of(shape[0])
    weight = Binary.from_signs(signs, scale)
    expected = signs * scale.reshape(-1, *(1,) * (len(shape) - 1))
    np.testing.assert_array_equal(weight.dense(), expected.astype(np.float32))
    np.testing.assert_array_equal(weight.signs(), signs)
    assert weight.dense().dtype == np.float32 and weight.shape == shape


@pytest.mark.parametrize("channels", range(1, 131))
def test_channels_lie_at_their_bits(channels: int) -> None:
    signs = signs_of((2, channels), channels)
    bits = Binary.from_signs(signs).bits
    assert bits.shape == (2, -(-channels // 64))
    for o in range(2):
        whole = sum(int(word) << 64 * at for at, word in enumerate(bits[o]))
        assert whole == sum(1 << c for c in range(channels) if signs[o, c] > 0)


def test_kernels_lie_before_channels() -> None:
    signs = signs_of((3, 65, 2, 4))
    bits = Binary.from_signs(signs).bits
    assert bits.shape == (3, 2, 4, 2)
    assert int(bits[1, 1, 2, 1]) == int(signs[1, 64, 1, 2] > 0)
    assert bool(int(bits[2, 0, 3, 0]) >> 5 & 1) == bool(signs[2, 5, 0, 3] > 0)


def test_from_dense_is_the_least_squares_optimum() -> None:
    w = np.random.default_rng(1).standard_normal((4, 5, 3, 3)).astype(np.float32)
    w[0, 0, 0, 0] = 0.0
    weight = Binary.from_dense(w)
    np.testing.assert_array_equal(weight.signs(), np.where(w >= 0, 1, -1))
    assert weight.scale is not None
    np.testing.assert_array_equal(weight.scale, np.abs(w).mean(axis=(1, 2, 3), dtype=np.float64).astype(np.float32))
    error = ((w - weight.dense()) ** 2).sum()
    for factor in (0.97, 1.03):
        moved = Binary.from_signs(weight.signs(), (weight.scale * factor).astype(np.float32))
        assert ((w - moved.dense()) ** 2).sum() > error


def test_from_dense_keeps_a_binary_weight() -> None:
    w = Binary.from_signs(signs_of((3, 77)), np.array([0.1, 0.7, 3], np.float32)).dense()
    np.testing.assert_array_equal(Binary.from_dense(w).dense(), w)


def test_exactly_finds_binary_weights_and_no_others() -> None:
    w = Binary.from_signs(signs_of((3, 77)), np.array([0.1, 0.0, 3], np.float32)).dense()
    found = Binary.exactly(w)
    assert found is not None and found.dense().tobytes() == w.tobytes()
    for change in (0.2, np.nan, 0.0):
        other = w.copy()
        other[0, 5] = change
        assert Binary.exactly(other) is None
    other = w.copy()
    other[1, 3] = -0.0
    assert Binary.exactly(other) is None
    assert Binary.exactly(np.full((2, 3), np.inf, np.float32)) is None
    assert Binary.exactly(np.zeros((0, 3), np.float32)) is None


def test_flipped_turns_rows_around() -> None:
    weight = Binary.from_signs(signs_of((4, 70, 3, 1)), scale_of(4))
    rows = np.array([True, False, False, True])
    expected = weight.dense() * np.where(rows, -1, 1).reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(weight.flipped(rows).dense(), expected)


def test_bytes_and_parameters() -> None:
    weight = Binary.from_signs(signs_of((8, 100, 3, 3)), scale_of(8))
    assert weight.nbytes == 8 * 9 * 2 * 8 + 8 * 4
    assert weight.parameters == weight.size + 8
    plain = Binary.from_signs(signs_of((8, 100)), np.ones(8, np.float32))
    assert plain.scale is None and plain.nbytes == 8 * 2 * 8 and plain.parameters == 800


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scaled", [False, True])
def test_state_and_file_come_back(shape: tuple[int, ...], scaled: bool, tmp_path: Path) -> None:
    weight = Binary.from_signs(signs_of(shape), scale_of(shape[0]) if scaled else None)
    arrays, meta = weight.state()
    again = Binary.from_state(arrays, meta)
    assert again.bits.tobytes() == weight.bits.tobytes() and again.dense().tobytes() == weight.dense().tobytes()
    container.write(tmp_path / "w.accel", {}, {"w": weight})
    read = container.read((tmp_path / "w.accel").read_bytes())[1]["w"]
    assert isinstance(read, Binary) and read.dense().tobytes() == weight.dense().tobytes()


def test_it_multiplies_by_its_signs(backend: str) -> None:
    weight, rng = Binary.from_signs(signs_of((6, 70)), scale_of(6)), np.random.default_rng(3)
    x, bias = rng.standard_normal((2, 3, 70), np.float32), rng.standard_normal(6, np.float32)
    for added in (None, bias):
        product = weight.product(added)
        assert product is not None
        wanted = x @ weight.dense().T.astype(np.float64) + (0 if added is None else added)
        np.testing.assert_allclose(product(x), wanted, rtol=0, atol=1e-4)
    assert Binary.from_signs(signs_of((6, 7, 1, 1))).product() is None
    assert Binary.from_signs(np.ones((6, 0), np.int8)).product() is None


def test_a_file_is_30_times_smaller() -> None:
    weight = Binary.from_signs(signs_of((256, 256, 3, 3)), np.random.default_rng(0).random(256, np.float32))
    assert len(container.encode({}, {"w": weight})) * 30 <= weight.size * 4


def test_what_is_refused() -> None:
    bits = Binary.from_signs(signs_of((2, 70))).bits
    dirty = bits.copy()
    dirty[1, 1] |= np.uint64(1 << 6)
    with pytest.raises(ValueError, match=r"bits: expected zeros behind channel 69, got dirty padding bits"):
        Binary(dirty, (2, 70))
    with pytest.raises(ValueError, match=r"bits: expected shape \(2, 2\) for \(2, 70\), got \(2, 1\)"):
        Binary(bits[:, :1].copy(), (2, 70))
    with pytest.raises(TypeError, match=r"bits: expected uint64, got int64"):
        Binary(bits.view(np.int64), (2, 70))
    for scale in ([1, np.nan], [1, -1], [np.inf, 1]):
        with pytest.raises(ValueError, match=r"scale: expected finite values of 0 and more"):
            Binary(bits, (2, 70), np.array(scale, np.float32))
    with pytest.raises(ValueError, match=r"scale: expected 2 entries"):
        Binary(bits, (2, 70), np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"signs: expected \+1 and -1, got 0"):
        Binary.from_signs(np.zeros((2, 3), np.int8))
    with pytest.raises(ValueError, match=r"signs: expected \+1 and -1, got -128"):
        Binary.from_signs(np.full((2, 3), -128, np.int8))
    with pytest.raises(TypeError, match=r"signs: expected int8"):
        Binary.from_signs(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"w: expected finite values"):
        Binary.from_dense(np.array([[np.nan]], np.float32))


def test_damaged_states_are_refused() -> None:
    arrays, meta = Binary.from_signs(signs_of((3, 7)), scale_of(3)).state()
    cases = [
        ({**arrays, "bits": arrays["bits"][:-1]}, meta),
        ({**arrays, "bits": arrays["bits"] | np.uint8(0x80)}, meta),
        ({**arrays, "bits": arrays["bits"].astype(np.int8)}, meta),
        ({**arrays, "scale": -arrays["scale"]}, meta),
        ({**arrays, "scale": arrays["scale"][:2]}, meta),
        ({**arrays, "more": arrays["scale"]}, meta),
        (arrays, {"shape": [3, 9]}),
        (arrays, {"shape": [3, -7]}),
        (arrays, {"shape": [21]}),
        (arrays, {}),
        ({"scale": arrays["scale"]}, meta),
    ]
    for damaged, fields in cases:
        with pytest.raises(FormatError, match="binary weight"):
            Binary.from_state(damaged, fields)


def test_later_changes_of_the_given_array_do_not_matter() -> None:
    bits = Binary.from_signs(signs_of((2, 70))).bits.copy()
    weight = Binary(bits, (2, 70))
    before = weight.dense()
    bits[:] = 0
    np.testing.assert_array_equal(weight.dense(), before)


def test_what_is_no_array_of_the_right_kind_is_named() -> None:
    weight = Binary.from_signs(np.ones((3, 5), np.int8))
    for error, name, call in (
        (TypeError, "rows: expected bool", lambda: weight.flipped(np.array([1, 0, 1]))),
        (ValueError, "rows: expected 3 entries", lambda: weight.flipped(np.array([True]))),
        (TypeError, "w: expected a float32 array", lambda: Binary.exactly(np.ones((2, 2)))),
        (TypeError, "w: expected a float32 array", lambda: Binary.exactly([[1.0]])),  # type: ignore[arg-type]
        (ValueError, r"w: expected \(out, in\)", lambda: Binary.from_dense(np.ones(3, np.float32))),
        (ValueError, r"signs: expected \(out, in\)", lambda: Binary.from_signs(np.ones(3, np.int8))),
    ):
        with pytest.raises(error, match=name):
            call()
