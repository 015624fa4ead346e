"""What depends on the processor beside its instruction set: how float32 values come into all lanes, permuted or each
broadcast by its load, with the same bits; and how wide tiles are, with the same bits where that is wanted.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kernels.floats import Convolution, assert_same_bits, normal, using
from kernels.test_sparse import GEOMETRIES, KINDS, NATIVE, STRIPS, guarded, of_kind, sparse, sparse_case

import accel
from accel.kernels import runtime
from accel.kernels.sparse import SparseWeights, sparse_linear

ISAS = [name.partition("-")[2] for name in NATIVE]
CPUINFO = Path("/proc/cpuinfo")
INTEL = "GenuineIntel" in (CPUINFO.read_text() if CPUINFO.exists() else platform.processor())
Forced = Callable[[bool], None]


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> Forced:
    """Has what is packed from then on permute, or not."""
    pack = runtime.core.pack_sparse
    return lambda permute: monkeypatch.setattr(runtime.core, "pack_sparse", functools.partial(pack, permute=permute))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", KINDS)
def test_only_float32_and_avx512_have_another_way(isa: str, kind: str, forced: Forced) -> None:
    arrays, _ = of_kind(sparse(9, 20, 0.5), kind)
    with using(f"native-{isa}"):
        for permute in (True, False):
            forced(permute)
            (matrix,) = SparseWeights(arrays, 20).matrices
            assert matrix.permutes == (permute or isa != "avx512" or kind != "f32")


@pytest.mark.parametrize("isa", ISAS)
def test_processors_of_intel_load(isa: str) -> None:
    arrays, _ = of_kind(sparse(9, 20, 0.5), "f32")
    with using(f"native-{isa}"):
        (matrix,) = SparseWeights(arrays, 20).matrices
    assert matrix.permutes == (isa != "avx512" or not INTEL)


@pytest.mark.parametrize("name", NATIVE)
def test_products(name: str, forced: Forced) -> None:
    """Tiles of one to four vectors; rows of every count to 13 and of many, alone and in pairs that share columns."""
    w = np.concatenate([sparse(40, 60, count / 60, seed=count) for count in range(14)])
    w[:14] = np.where(np.arange(60) < np.arange(14)[:, None], normal(14, 60), np.float32(0))
    for weights in (w, w[:14], sparse(33, 600, 0.3)):
        x, bias = normal(70, weights.shape[1]), normal(len(weights))
        with using(name):
            for batch in (1, 5, 16, 17, 33, 48, 64, 70):
                results = []
                for permute in (True, False):
                    forced(permute)
                    packed = SparseWeights(of_kind(weights, "f32")[0], weights.shape[1], width=batch)
                    results.append(sparse_linear(packed, x[:batch], bias))
                assert_same_bits(*results)


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("case", GEOMETRIES + STRIPS)
def test_convolutions(name: str, case: Convolution, forced: Forced) -> None:
    with using(name):
        for density in (0.05, 0.3, 1.0):
            results = []
            for permute in (True, False):
                forced(permute)
                x, (_, bias), weights = sparse_case(case, density)
                results.append(guarded(case, x, weights, bias))
            assert_same_bits(*results)


# Rows, columns and what is not zero; with vectors of 64 bytes the widest tile on Zen 4 and on Granite Rapids.
TILES = [((128, 4608, 0.1), 2, 4), ((128, 256, 0.1), 2, 4), ((128, 4608, 0.02), 2, 2), ((128, 4608, 0.3), 4, 4)]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("layer", "zen", "granite_rapids"), TILES)
@pytest.mark.parametrize("intel", [False, True])
def test_tiles_are_as_wide_as_suits_the_processor(
    isa: str, layer: tuple[int, int, float], zen: int, granite_rapids: int, intel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where tuning is off, as on Zen 4; and always where vectors are shorter."""
    monkeypatch.setattr(runtime.core, "intel", intel)
    arrays, _ = of_kind(sparse(*layer), "f32")
    widths = []
    for tune in (False, True):
        with using(f"native-{isa}"), accel.using(tune=tune):
            widths.append(SparseWeights(arrays, layer[1]).matrices[0].vectors)
    assert widths == ([zen, granite_rapids if intel else zen] if isa == "avx512" else widths[:1] * 2)


def test_the_processor_is_known() -> None:
    assert runtime.core.intel == INTEL
