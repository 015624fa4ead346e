"""Read damaged .accel containers: each is a FormatError, or a network that can be used and written again.

    python tests/fuzz/fuzz_container.py --mutants 100000 --seed 1

Most damage is signed again, and half of it has right sizes and checksums around it, so that what is behind them is
reached: the document, the codings, the constructors of weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import numpy as np

from accel.errors import FormatError
from accel.formats import codings, container
from accel.formats.contents import DTYPES
from accel.formats.opened import OpenFile
from accel.kernels import huffman
from accel.weights import NM, BlockCirculant, Bsr, Codebook, Csr, CsrCodebook, Fastfood, Hashed, ProductQuantized
from accel.weights.base import Weight

HEAD = struct.Struct("<8sHHIIQ")
DIGEST = 32
NASTY = (None, True, -1, 0, 1, 2, 3, 7, 64, 255, 2**31, 2**62, 2**70, 1.5, "", "plain", "huffman", "u1", "f4", [], {})


def samples() -> list[bytes]:
    """Small containers of every coding and of many kinds of weight: a thousandth of a second to read."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((6, 20)).astype(np.float32)
    w[np.abs(w) < 1] = 0
    codes = np.minimum(rng.geometric(0.4, 400), 15).astype(np.uint8)
    groups: list[dict[str, Any]] = [
        {"codes": Codebook.fit(w, 3), "bias": np.arange(3, dtype=np.float32)},
        {"rows": Csr.from_dense(w), "shared": CsrCodebook.fit(w, 3)},
        {"blocks": Bsr.from_dense(w[:4], (2, 1)), "2:4": NM.from_dense(w[:2], 2, 4, prune=True)},
        {"coded": codes, "flags": np.array([True, False]), "empty": np.zeros((0, 3), np.int8)},
        {"sparse": np.where(np.arange(900) % 37, 0, np.arange(900)).astype(np.int16)},
        {"groups": Codebook.fit(w, 2, groups=3, values="bfloat16"), "product": ProductQuantized.fit(w, 3, 5)},
        {"circulant": BlockCirculant.project(w, 4), "hashed": Hashed.project(w, 9), "fast": Fastfood.random((6, 5))},
        {"floats": rng.standard_normal(4100).astype(np.float16), "pruned": np.where(w < 1, 0, w).astype(np.float32)},
    ]
    header = {"graph": {"nodes": ["Conv"], "x": 1.5}}
    blobs = [container.encode(header, tensors) for tensors in groups]
    halves = np.where(np.arange(400) // 50 % 2, codes, 0).astype(np.uint8)
    trees: dict[str, Any] = {"plain": codes + 1, "bitmap": halves}
    trees |= {"gaps": np.where(np.arange(900) % 11, 0, 9).astype(np.uint8), "shared": Codebook.fit(w, 2)}
    with mock.patch.object(huffman, "TREES_FROM", 0):  # what large arrays have
        return [*blobs, container.encode(header, trees)]


def taken_apart(blob: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON document of a container, and the bytes of its tensors."""
    packed = HEAD.unpack_from(blob)[3]
    return json.loads(zlib.decompress(blob[HEAD.size : HEAD.size + packed])), blob[HEAD.size + packed : -DIGEST]


def put_together(text: bytes, payload: bytes) -> bytes:
    """A container with right sizes and a right digest around any document and payload."""
    packed = zlib.compress(text, 1)
    total = HEAD.size + len(packed) + len(payload) + DIGEST
    body = HEAD.pack(container.MAGIC, container.VERSION, 0, len(packed), len(text), total) + packed + payload
    return body + hashlib.sha256(body).digest()


def damaged(data: bytes, rng: Random) -> bytes:
    """One to three bits flipped, bytes set, moved, put in or taken out."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at, to, size = rng.randrange(len(out) + 1), rng.randrange(len(out) + 1), rng.randrange(1, 9)
        choice = rng.randrange(5)
        if choice == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif choice == 1 and at < len(out):
            out[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif choice == 2:
            out[at : at + size] = out[to : to + size]
        elif choice == 3:
            out[at:at] = rng.randbytes(size)
        else:
            del out[at : at + size]
    return bytes(out)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(object or list, key) of everything in a document."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from places(value[key])


def rewritten(document: dict[str, Any], payload: bytes, rng: Random) -> bytes:
    """One or two values of the document replaced by nasty ones or by others of its values."""
    for _ in range(rng.randrange(1, 3)):
        spots = list(places(document))
        holder, key = rng.choice(spots)
        other, where = rng.choice(spots)
        value = holder[key]
        step = value + rng.choice((-1, 1)) if type(value) is int else None
        holder[key] = rng.choice((step, rng.choice(NASTY), json.loads(json.dumps(other[where]))))
    return put_together(json.dumps(document).encode(), payload)


def rechecked(document: dict[str, Any], payload: bytes, rng: Random) -> bytes:
    """Bytes of the tensors changed in place, with right checksums where they can still be decoded."""
    changed = bytearray(payload)
    for _ in range(rng.randrange(1, 4)):
        changed[rng.randrange(len(changed))] = rng.choice((0, 1, 2, 127, 128, 255, rng.randrange(256)))
    at = 0
    for part in (part for tensor in document["tensors"] for part in tensor["parts"]):
        streams = []
        for method, symbols, size in part["streams"]:
            streams.append(codings.Stream(method, symbols, bytes(changed[at : at + size])))
            at += size
        try:
            elements, _ = codings.decode(part["coding"], streams, DTYPES[part["dtype"]], int(np.prod(part["shape"])))
        except FormatError:
            continue
        part["crc32"] = zlib.crc32(elements.view(np.uint8).data)
    return put_together(json.dumps(document).encode(), bytes(changed))


def mutant(blob: bytes, rng: Random) -> bytes:
    choice = rng.randrange(8)
    if choice == 0:
        return damaged(blob, rng)
    if choice == 1:
        body = damaged(blob[:-DIGEST], rng)
        return body + hashlib.sha256(body).digest()
    document, payload = taken_apart(blob)
    if choice == 2:
        return put_together(damaged(json.dumps(document).encode(), rng), payload)
    if choice == 3:
        return put_together(json.dumps(document).encode(), damaged(payload, rng))
    return (rewritten if choice < 6 else rechecked)(document, payload, rng)


def makes_sense(blob: bytes) -> bool:
    """Whether it is read at all. What is read must be usable; every other error but FormatError goes through."""
    try:
        header, tensors = container.read(blob)
    except FormatError:
        return False
    for tensor in tensors.values():
        if isinstance(tensor, Weight):
            tensor.dense()
    container.encode(header, tensors)
    return True


def makes_sense_in_file(blob: bytes) -> bool:
    """The same of a file whose streams are read as they are decoded, which large ones alone are otherwise."""
    with tempfile.NamedTemporaryFile() as file, mock.patch.object(container, "SMALL", 0):
        file.write(blob)
        file.flush()
        try:
            with OpenFile(file.name) as opened:
                dict(opened)
        except FormatError:
            return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng, originals, accepted = Random(args.seed), samples(), 0
    start = time.perf_counter()
    for k in range(args.mutants):
        blob = mutant(rng.choice(originals), rng)
        try:
            sense = makes_sense(blob)
            if k % 4 == 0 and makes_sense_in_file(blob) != sense:
                raise AssertionError(f"read from memory: {sense}, from a file: {not sense}")
            accepted += sense
        except Exception:
            print(f"mutant {k} of seed {args.seed}: {blob.hex()}", file=sys.stderr)
            raise
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps({"mutants": args.mutants, "accepted": accepted, "seed": args.seed, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
