"""Subclasses of ndarray, in every argument of every public kernel: those with an arithmetic of their own are refused,
others are arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernels.floats import normal
from kernels.result_cases import CASES, WITHOUT_ARRAYS

from accel import kernels
from accel.kernels import runtime
from accel.kernels.circulant import CirculantPlan
from accel.kernels.fastfood import Fastfood

SIZE = 19
NO_ARRAYS = {"huffman_decode_stream"}
"""It reads a file."""


class Units(np.ndarray):
    """As libraries have them for numbers with units."""

    def __array_ufunc__(self, *arguments: Any, **more: Any) -> Any:
        raise AssertionError("an arithmetic that no kernel knows")


class Named(np.ndarray):
    """An array that differs from others in nothing that a kernel could see, as a mapped file does."""


def _units(array: np.ndarray) -> Units:
    return array.view(Units)


REFUSED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "matrix": np.asmatrix,
    "MaskedArray": np.ma.masked_array,
    "Units": _units,
}


class _Call(Exception):
    """The arguments of a call, in place of its result."""


def _without_arrays(name: str) -> dict[str, Any]:
    mask = np.arange(99) % 3 == 0
    matrix = kernels.csr_from_dense(normal(4, 5))
    return {
        "bitmap_encode": {"mask": mask},
        "csr_validate": {**dict(zip(("data", "indices", "indptr"), matrix, strict=True)), "columns": 5},
        "float_encode": {"values": normal(99)},
        "huffman_encode": {"symbols": mask.view(np.uint8)},
        "huffman_encode_stream": {"chunks": [mask.view(np.uint8)]},
    }[name]


def arguments_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Those of a call of the kernel, by name; streams as arrays of bytes."""
    if name in WITHOUT_ARRAYS:
        return _without_arrays(name)
    signature = inspect.signature(getattr(kernels, name))

    def seen(*arguments: Any, **more: Any) -> Any:
        raise _Call(signature.bind(*arguments, **more).arguments)

    call = CASES[name](0, SIZE)
    with monkeypatch.context() as patched, pytest.raises(_Call) as caught:
        patched.setattr(kernels, name, seen)
        call()
    found: dict[str, Any] = caught.value.args[0]
    return {key: np.frombuffer(v, np.uint8) if isinstance(v, bytes) else v for key, v in found.items()}


def called(name: str, arguments: dict[str, Any]) -> Any:
    result = getattr(kernels, name)(**arguments)
    return list(result) if name == "huffman_encode_stream" else result


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of np.matrix
@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", sorted(set(kernels.__all__) - NO_ARRAYS))
def test_arithmetic_of_their_own(name: str, kind: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, other = arguments_of(name, monkeypatch), REFUSED[kind]
    if "out" in inspect.signature(getattr(kernels, name)).parameters:
        arguments["out"] = called(name, arguments)
    tried = 0
    for key, value in arguments.items():
        array = value[0] if isinstance(value, list) else value
        if not isinstance(array, np.ndarray) or (kind == "matrix" and array.ndim > 2):
            continue
        tried += 1
        wrong = [other(array)] if isinstance(value, list) else other(array)
        with pytest.raises(TypeError, match=rf"{key}.*: expected a plain NumPy array, got {kind}; use np.asarray"):
            called(name, {**arguments, key: wrong})
    assert tried or kind == "matrix"


@pytest.mark.parametrize("name", sorted(set(kernels.__all__) - NO_ARRAYS))
def test_arrays_all_the_same(name: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same kernel as others, into the array that was given."""
    arguments = arguments_of(name, monkeypatch)
    expected = called(name, arguments)
    views = {key: v.view(Named) if isinstance(v, np.ndarray) else v for key, v in arguments.items()}
    assert _bits(called(name, views)) == _bits(expected)
    if "out" in inspect.signature(getattr(kernels, name)).parameters:
        out = np.zeros_like(expected).view(Named)
        assert called(name, {**views, "out": out}) is out
        assert _bits(out) == _bits(expected)


def _bits(result: Any) -> Any:
    if isinstance(result, np.ndarray):
        return result.shape, result.dtype, result.tobytes()
    return [_bits(part) for part in result] if isinstance(result, (tuple, list)) else result


def _plan() -> CirculantPlan:
    return CirculantPlan(normal(2, 3, 8), signs=np.sign(normal(24)))


def _fastfood() -> Fastfood:
    perm = np.random.default_rng(0).permutation(32).astype(np.int32)
    return Fastfood(normal(32, seed=1), normal(32, seed=2), perm, normal(32, seed=3), 24, 16)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of np.matrix
@pytest.mark.parametrize("prepared", [_plan, _fastfood], ids=["CirculantPlan", "Fastfood"])
def test_prepared_products(prepared: Callable[[], Callable[..., np.ndarray]], backend: str) -> None:
    """Twice, as what is prepared by the first call serves the second one."""
    product, x = prepared(), normal(5, 24)
    expected = product(x)
    for other in REFUSED.values():
        with pytest.raises(TypeError, match="x: expected a plain NumPy array"):
            product(other(x))
        with pytest.raises(TypeError, match="out: expected a plain NumPy array"):
            product(x, other(expected))
    out = np.zeros_like(expected).view(Named)
    assert product(x.view(Named), out) is out
    assert _bits(out) == _bits(product(x.view(Named))) == _bits(expected)


@pytest.mark.skipif(runtime.core is None, reason="the native kernels are not built")
def test_equivalent_types(backend: str) -> None:
    """long long and int64 have two numbers in NumPy."""
    matrix, x = kernels.csr_from_dense(normal(4, 5)), normal(3, 5)
    pointers = matrix[2].view(np.longlong)
    assert pointers.dtype == np.int64
    assert _bits(kernels.csr_matmul(*matrix[:2], pointers, x)) == _bits(kernels.csr_matmul(*matrix, x))
