"""Floats without loss: every bit back on every instruction set, the same stream everywhere, hostile streams refused."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.errors import FormatError
from accel.kernels import float_decode, float_encode, runtime
from accel.kernels.floats import TYPES
from accel.reference import huffman
from accel.reference.floats import BLOCK

ISAS = runtime.isa_info()["supported"]
AWKWARD = [0, 1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 127, 1000, 4099]
NAMES = [dtype.name for dtype in TYPES]


def weights(n: int, dtype: np.dtype, seed: int = 0) -> np.ndarray:
    """What layers look like: a bell, another width every few thousand numbers."""
    rng = np.random.default_rng(seed)
    scale = np.repeat(rng.uniform(0.005, 0.1, n // 5000 + 1), 5000)[:n]
    values = (rng.standard_normal(n) * scale).astype(np.float32)
    if dtype == np.uint16:
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=NAMES)
@pytest.mark.parametrize("n", [*AWKWARD, BLOCK - 1, BLOCK, BLOCK + 65])
def test_every_instruction_set_gives_every_bit_back(dtype: np.dtype, n: int) -> None:
    values = weights(n, dtype)
    blobs = set()
    for isa in ISAS:
        with accel.using(isa=isa):
            blob = float_encode(values)
            found = float_decode(blob)
        assert found.dtype == dtype and found.tobytes() == values.tobytes(), isa
        blobs.add(blob)
    assert len(blobs) == 1


@pytest.mark.parametrize("dtype", TYPES, ids=NAMES)
def test_every_back_end_writes_the_same_and_reads_it(backend: str, dtype: np.dtype) -> None:
    values = weights(BLOCK + 300, dtype)
    with accel.using(backend="numpy"):
        expected = float_encode(values)
    assert float_encode(values) == expected
    assert float_decode(expected).tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["float32", "float16"])
def test_nans_keep_their_payload_and_zeros_their_sign(dtype: type) -> None:
    width = np.dtype(dtype).itemsize
    bits = np.arange(1 << 16, dtype=np.uint32) << (16 if width == 4 else 0)
    values = bits.astype(f"u{width}").view(dtype)
    assert float_decode(float_encode(values)).tobytes() == values.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(TYPES), st.integers(1, 300))
def test_any_bits_come_back(data: bytes, dtype: np.dtype, repeat: int) -> None:
    flat = np.frombuffer(data * repeat, np.uint8)
    values = flat[: flat.size // dtype.itemsize * dtype.itemsize].view(dtype)
    assert float_decode(float_encode(values)).tobytes() == values.tobytes()


def test_two_threads_give_the_same() -> None:
    values = weights(5 * BLOCK + 7, np.dtype(np.float32))
    blob = float_encode(values)
    for threads in (1, 2, 3):
        with accel.using(threads=threads):
            assert float_decode(blob).tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", TYPES, ids=NAMES)
@pytest.mark.parametrize("offset", [0, 1, 2, 4, 6, 32, 60])
def test_large_outputs_at_any_address_and_nothing_beside_them(dtype: np.dtype, offset: int) -> None:
    """4 MiB and more pass by the caches, by whole vectors of memory."""
    n = (4 << 20) // dtype.itemsize + 77
    values = weights(n, dtype, 1)
    blob = float_encode(values)
    for isa in ISAS:
        room = np.full(values.nbytes + 192, 0xA5, np.uint8)
        out = room[64 + offset : 64 + offset + values.nbytes].view(dtype)
        with accel.using(isa=isa):
            assert float_decode(blob, out) is out
        assert out.tobytes() == values.tobytes()
        assert (room[: 64 + offset] == 0xA5).all() and (room[64 + offset + values.nbytes :] == 0xA5).all()


@pytest.mark.parametrize(("dtype", "share"), list(zip(TYPES, [0.86, 0.88, 0.70], strict=True)), ids=NAMES)
def test_weights_take_less(dtype: np.dtype, share: float) -> None:
    values = weights(50_000, dtype)
    assert len(float_encode(values)) < share * values.nbytes


def test_noise_is_stored_with_little_around_it() -> None:
    values = np.random.default_rng(0).integers(0, 1 << 32, 3 * BLOCK + 1, np.uint32).view(np.float32)
    assert len(float_encode(values)) <= values.nbytes + 16 + 4 * 36


def test_zeros_and_low_bytes_that_repeat_take_nearly_nothing() -> None:
    assert len(float_encode(np.zeros(BLOCK, np.float32))) < 60
    halves = weights(BLOCK, np.dtype(np.float16)).astype(np.float32)  # 13 of 23 bits of the mantissa are 0
    assert len(float_encode(halves)) < 0.52 * halves.nbytes


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([1.0], TypeError, "values: expected an array of float32, float16 or uint16"),
        (np.zeros(3), TypeError, "got float64"),
        (np.zeros(3, np.int16), TypeError, "got int16"),
        (np.zeros(3, ">f4"), TypeError, "values: expected an array of float32"),
        (np.zeros((2, 3), np.float32), ValueError, "values: expected 1 axes"),
        (np.zeros(6, np.float32)[::2], ValueError, "values: expected a C-contiguous array"),
    ],
)
def test_what_is_no_array_of_floats_is_refused(values: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        float_encode(values)  # type: ignore[arg-type]


def test_outputs_that_do_not_fit_are_refused() -> None:
    blob = float_encode(np.ones(3, np.float32))
    with pytest.raises(TypeError, match="out: expected float32"):
        float_decode(blob, np.zeros(3, np.float16))
    with pytest.raises(ValueError, match=r"out: expected shape \(3,\)"):
        float_decode(blob, np.zeros(4, np.float32))
    with pytest.raises(TypeError, match="blob"):
        float_decode(3)
    with pytest.raises(FormatError, match="it holds 3 numbers, more than max_values=2"):
        float_decode(blob, max_values=2)
    room = np.zeros(4 * (len(blob) // 4 + 2), np.uint8)
    room[: len(blob)] = np.frombuffer(blob, np.uint8)
    with pytest.raises(ValueError, match="memory of its own"):
        float_decode(room[: len(blob)], room[:12].view(np.float32))


def signed(head: bytes, rest: bytes) -> bytes:
    return head + zlib.crc32(head).to_bytes(4, "little") + rest


def head(n: int, *sizes: int, start: bytes = b"\xaf\x01\x00") -> bytes:
    return start + huffman.pack_varint(n) + np.array(sizes, "<u4").tobytes()


def run(symbol: int, n: int) -> bytes:
    return bytes([1, symbol]) + zlib.crc32(bytes([1, symbol]) + bytes([symbol]) * n).to_bytes(4, "little")


def planes(*parts: bytes) -> bytes:
    return np.array([len(part) for part in parts[:-1]], "<u4").tobytes() + b"".join(parts)


def test_a_stream_made_by_hand() -> None:
    block = planes(run(1, 5), run(0, 5), run(0, 5), run(126, 5))
    assert float_decode(signed(head(5, len(block)), block)).tolist() == [-0.5] * 5


def lies() -> Iterator[tuple[str, bytes]]:
    good = [run(1, 5), run(0, 5), run(0, 5), run(126, 5)]
    block = planes(*good)
    size = len(block)
    yield "does not begin", b""
    yield "does not begin", b"\xac" + signed(head(5, size), block)[1:]
    yield "version 2, type 0", signed(head(5, size, start=b"\xaf\x02\x00"), block)
    yield "version 1, type 3", signed(head(5, size, start=b"\xaf\x01\x03"), block)
    yield "header is cut off", signed(head(5), block)[:8]
    yield "header is corrupt", b"\xaf\x01\x00\x85"
    yield "header is cut off", signed(head(2**30), b"")
    yield "more than max_values", signed(head(2**62), b"")
    yield "header's checksum", head(5, size) + b"\0\0\0\0" + block
    yield f"says {size + 1} bytes of blocks, {size}", signed(head(5, size + 1), block)
    yield f"says {2**32 - 1} bytes", signed(head(5, 2**32 - 1), block)
    yield "block 0: a block is cut off", signed(head(5, 11), block[:11])
    yield "block 0: a plane is cut off", signed(head(5, 12), planes(b"", b"", b"", b""))
    yield (
        "block 0: a plane is cut off",
        signed(head(5, size), np.array([2**32 - 1, 6, 6], "<u4").tobytes() + block[12:]),
    )
    yield "block 0: a plane is cut off", signed(head(5, size), np.array([6, 6, 12], "<u4").tobytes() + block[12:])
    yield "do not fit", signed(head(5, size), np.array([7, 5, 6], "<u4").tobytes() + block[12:])
    yield "do not fit", signed(head(5, size + 1), planes(good[0], good[1], b"\0" * 7, good[3]))
    yield "do not fit", signed(head(49, size), planes(b"\4" * 6, *good[1:]))
    yield "unknown kind", signed(head(5, size), planes(b"\2" * 6, *good[1:]))
    yield "block 0: a block's checksum", signed(head(5, size), planes(run(1, 4), *good[1:]))
    yield "block 0", signed(head(5, size), planes(b"\4" * 6, *good[1:]))


@pytest.mark.parametrize(("message", "blob"), list(lies()))
def test_streams_that_lie_are_refused(backend: str, message: str, blob: bytes) -> None:
    with pytest.raises(FormatError, match=message):
        float_decode(blob)


@pytest.mark.parametrize("isa", ISAS)
def test_every_single_bit_flip_and_truncation_is_found(isa: str) -> None:
    blob = float_encode(weights(300, np.dtype(np.float16)))
    with accel.using(isa=isa):
        for bit in range(8 * len(blob)):
            damaged = bytearray(blob)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(FormatError):
                float_decode(damaged)
        for size in range(len(blob)):
            with pytest.raises(FormatError):
                float_decode(blob[:size])


def test_random_damage_behind_a_right_header_is_found_or_harmless() -> None:
    """The blocks' own fields, with the sizes in the header as they should be."""
    rng = np.random.default_rng(3)
    blob = float_encode(weights(2000, np.dtype(np.float32)))
    start = 3 + 2 + 4 + 4
    for _ in range(20_000):
        damaged = bytearray(blob)
        for at in rng.integers(start, len(blob), rng.integers(1, 4)):
            damaged[at] = rng.integers(256)
        if damaged != blob:
            with pytest.raises(FormatError):
                float_decode(damaged)
