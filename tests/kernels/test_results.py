"""Memory of large results: kept up to a bound, given to the next one, never read before it is written."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.floats import IMPLEMENTATIONS, assert_same_bits, normal, using
from kernels.places import address, resident
from kernels.result_cases import CASES, SOMETIMES_NUMPYS, WITHOUT_ARRAYS

import accel
from accel.kernels import fwht, runtime

pytestmark = pytest.mark.skipif(runtime.core is None, reason="the native kernels are not built")

MB = 1 << 20


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Every test begins with nothing kept, and the default bound."""
    accel.keep_memory(0)
    accel.keep_memory(256 * MB)
    yield
    accel.keep_memory(0)
    accel.keep_memory(256 * MB)


def kept() -> int:
    return int(runtime.core.kept_results()[0])


def allocator(array: np.ndarray) -> str:
    module = getattr(np, "_core", None) or np.core
    return str(module.multiarray.get_handler_name(array))


def in_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


# -- reuse and bounds ----------------------------------------------------------------------------------------------


def test_the_next_result_is_where_the_last_one_was() -> None:
    x = normal(1024, 1024)
    first = fwht(x)
    place, expected = address(first), first.tobytes()
    assert place % (2 * MB) == 0 and kept() == 0
    del first
    assert kept() == 4 * MB
    second = fwht(x)
    assert address(second) == place and kept() == 0 and second.tobytes() == expected


def test_results_are_ordinary_arrays() -> None:
    y = fwht(normal(1024, 1024))
    assert y.flags.owndata and y.flags.writeable and y.flags.c_contiguous and y.base is None
    assert allocator(y) == "accel_results"
    assert allocator(y.copy()) == allocator(np.empty(4 * MB, np.uint8)) == "default_allocator"


def test_small_and_empty_results_are_numpys() -> None:
    for shape in ((), (0,), (3, 0, 10**6), (1000,), (MB // 4 - 1,)):
        assert allocator(runtime.empty(shape, np.float32)) == "default_allocator"
    assert allocator(runtime.empty((MB // 4,), np.float32)) == "accel_results"


def test_nothing_is_kept_with_a_bound_of_zero() -> None:
    held = runtime.empty(4 * MB, np.uint8)
    other = runtime.empty(8 * MB, np.uint8)
    del other
    assert kept() == 8 * MB
    assert accel.keep_memory(0) == 256 * MB and kept() == 0
    assert accel.isa_info()["keep_memory"] == 0
    assert allocator(runtime.empty(4 * MB, np.uint8)) == "default_allocator"
    held[:] = 1
    del held
    assert kept() == 0


def test_what_is_kept_longest_goes_first() -> None:
    accel.keep_memory(20 * MB)
    arrays = [runtime.empty(size * MB, np.uint8) for size in (4, 6, 8, 10)]
    places = [address(array) for array in arrays]
    while arrays:
        del arrays[0]
    assert kept() == 18 * MB  # 8 and 10; with 6 they would be too many
    assert address(runtime.empty(8 * MB, np.uint8)) == places[2]
    del places
    large = runtime.empty(21 * MB, np.uint8)
    del large
    assert kept() == 18 * MB  # too large for the bound, and no reason to let others go
    accel.keep_memory(9 * MB)
    assert kept() == 8 * MB


def test_a_block_that_goes_back_takes_no_other_with_it() -> None:
    arrays = [runtime.empty(size * MB, np.uint8) for size in (4, 8)]
    while arrays:
        del arrays[0]
    large, small = (runtime.empty(size * MB, np.uint8) for size in (8, 4))  # one was kept behind the other
    small[:] = 7
    accel.keep_memory(MB)
    del large
    assert (small == 7).all()


Request = tuple[int, bool, int | None]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(MB, 12 * MB), st.booleans(), st.none() | st.integers(0, 40 * MB)), min_size=5, max_size=25
    )
)
def test_never_more_than_the_bound(requests: list[Request]) -> None:
    """Whatever is asked for and whatever bound is set, in whatever order; what lives keeps what is in it."""
    held: list[np.ndarray] = []
    most = 256 * MB
    for number, (nbytes, keep, bound) in enumerate(requests):
        if bound is not None:
            accel.keep_memory(bound)
            most = bound
        array = runtime.empty(nbytes, np.uint8)
        array[[0, -1]] = number
        if keep:
            held.append(array)
        elif held:
            del held[0]
        assert kept() <= most
    assert all(array[0] == array[-1] for array in held)
    spans = sorted((address(array), address(array) + array.nbytes) for array in held)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
    held.clear()
    assert kept() <= most


def test_sizes_that_differ_little_share_memory() -> None:
    place = address(runtime.empty(10 * MB, np.uint8))
    assert address(runtime.empty(10 * MB - 300_000, np.uint8)) == place
    assert address(runtime.empty(8 * MB, np.uint8)) == place
    assert address(runtime.empty(7 * MB, np.uint8)) != place  # it would waste more than a quarter


@pytest.mark.parametrize("size", [1, 2 * MB, 6 * MB, 6 * MB + 5, 30 * MB])
def test_resized_arrays_keep_what_is_in_them(size: int) -> None:
    y = runtime.empty(6 * MB, np.uint8)
    y[:] = np.arange(6 * MB, dtype=np.uint32).view(np.uint8)[: 6 * MB]
    expected = y[: min(size, y.size)].copy()
    y.resize(size, refcheck=False)
    assert y.size == size and (y[: expected.size] == expected).all() and not y[expected.size :].any()
    del y
    assert kept() <= 40 * MB


def test_arrays_that_numpy_zeroes() -> None:
    for _ in range(2):
        y = runtime.empty((MB,), object)  # of null pointers, which NumPy asks to be zeroed
        assert y[0] is None and y[-1] is None and allocator(y) == "accel_results"
        del y
        runtime.empty(8 * MB, np.uint8)[:] = 255


def test_views_and_slices_keep_the_memory() -> None:
    y = fwht(normal(1024, 1024))
    row, expected = y[7], y[7].copy()
    del y
    gc.collect()
    assert kept() == 0
    runtime.empty(4 * MB, np.uint8)[:] = 255
    assert_same_bits(np.ascontiguousarray(row), expected)


def test_more_than_the_machine_has() -> None:
    with pytest.raises(MemoryError):
        runtime.empty((1 << 60,), np.uint8)
    with pytest.raises(ValueError, match=r"too big|Maximum allowed"):
        runtime.empty((1 << 40, 1 << 40), np.float64)
    assert allocator(runtime.empty(4 * MB, np.uint8)) == "accel_results"  # and NumPy's own again for NumPy
    assert allocator(np.empty(4 * MB, np.uint8)) == "default_allocator"


def test_empty_takes_what_numpy_takes() -> None:
    for shape in (3, (2, 3), [2, 3], (), (np.int64(4), 2), np.int64(5)):
        for dtype in (np.float32, "int16", np.dtype(">f8"), bool, np.dtype([("a", "i4"), ("b", "f8")])):
            mine, theirs = runtime.empty(shape, dtype), np.empty(shape, dtype)
            assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
    empty: Any = runtime.empty
    for wrong, error in (((2.5,), TypeError), ("ab", TypeError), ((-1,), ValueError), ((1,) * 65, ValueError)):
        with pytest.raises(error):
            empty(wrong, np.float32)
    with pytest.raises(TypeError):
        runtime.empty(3, "no dtype")
    with pytest.raises(TypeError, match="a shape and a dtype"):
        empty(3)
    for huge in (10**5000, (2, 10**5000)):
        with pytest.raises(ValueError, match="cannot fit 'int'"):
            empty(huge, np.float32)


def test_a_size_that_changes_the_shape() -> None:
    """It was read behind the end of the list."""
    shape: list[Any] = []

    class Size:
        def __index__(self) -> int:
            shape.clear()
            return 2

    shape[:] = [Size(), *[3] * 7]
    assert runtime.empty(shape, np.float32).shape == (2, *[3] * 7)


# -- stale bytes ---------------------------------------------------------------------------------------------------


def poison(most: int = 256 * 1024) -> None:
    """Leaves kept blocks of every size up to `most`, all bytes 255: NaN in every float."""
    sizes = {2**k // 8 * eighth for k in range(12, most.bit_length()) for eighth in range(8, 16)}
    arrays = [runtime.empty(size, np.uint8) for size in sorted(sizes) if 4096 <= size <= most for _ in range(3)]
    for array in arrays:
        array[:] = 255


@contextmanager
def large_from(nbytes: int) -> Iterator[None]:
    before = runtime.core.keep_results_from(nbytes)
    yield
    runtime.core.keep_results_from(before)


@pytest.fixture
def everything_is_large() -> Iterator[None]:
    """Results of a byte are taken from kept memory, too."""
    with large_from(1):
        yield


def copied(result: Any) -> list[tuple[Any, ...]]:
    arrays = [a for a in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(a, np.ndarray)]
    return [(a.dtype, a.shape, a.tobytes()) for a in arrays]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_no_kernel_reads_what_was_there(everything_is_large: None, name: str, implementation: str) -> None:
    """Results in memory full of NaN are those in memory that NumPy gives."""
    for seed, size in enumerate((16, 17)):
        call = CASES[name](seed, size)
        with using(implementation, threads=1):
            with large_from(sys.maxsize):
                expected = copied(call())
            for threads in (1, 2):
                poison()
                with accel.using(threads=threads):
                    assert copied(call()) == expected


@pytest.mark.parametrize("name", sorted(CASES.keys() - SOMETIMES_NUMPYS))
def test_results_are_in_kept_memory(everything_is_large: None, name: str) -> None:
    for size in (16, 17):
        result = CASES[name](0, size)()
        for array in result if isinstance(result, (tuple, list)) else [result]:
            while isinstance(array.base, np.ndarray):
                array = array.base
            assert allocator(array) == "accel_results"


def test_every_public_kernel_is_tried() -> None:
    tried = {name.partition(":")[0] for name in CASES}
    assert tried >= set(accel.kernels.__all__) - WITHOUT_ARRAYS


def test_sessions_write_all_of_their_outputs(everything_is_large: None) -> None:
    network = accel.load(sketch())
    x = normal(3, 2, 9, 9)
    session = accel.InferenceSession(network, threads=1)
    with large_from(sys.maxsize):
        (expected,) = session.run(None, {"x": x})
    poison()
    (y,) = session.run(None, {"x": x})
    assert allocator(y) == "accel_results"
    assert_same_bits(y, expected)


def sketch() -> bytes:
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    w = onnx.numpy_helper.from_array(normal(5, 2, 3, 3, seed=1), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, floats, ["n", c, 9, 9]) for name, c in (("x", 2), ("y", 5))]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [w])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_an_error_returns_nothing_and_loses_nothing() -> None:
    blob = bytearray(accel.kernels.huffman_encode(np.arange(2 * MB, dtype=np.uint32).astype(np.uint8)))
    accel.kernels.huffman_decode(bytes(blob))
    before = kept()
    assert before == 2 * MB
    blob[-20] ^= 1
    for _ in range(3):
        with pytest.raises(accel.FormatError):
            accel.kernels.huffman_decode(bytes(blob))
        gc.collect()
        assert kept() == before


# -- threads, processes, the end -------------------------------------------------------------------------------------


def test_threads_get_memory_of_their_own() -> None:
    x = [normal(64, 8192, seed=i) for i in range(4)]
    expected = [fwht(a).tobytes() for a in x]

    def work(number: int) -> bool:
        good, last = True, None
        for i in range(number, number + 25):
            y = fwht(x[i % 4])  # one lives while the next is made, and goes in whatever thread
            good &= y.tobytes() == expected[i % 4] and (last is None or address(last) != address(y))
            last = y
        return good

    accel.keep_memory(5 * MB)
    with ThreadPoolExecutor(8) as pool, accel.using(threads=1):
        assert all(pool.map(work, range(8)))
    gc.collect()
    assert 0 < kept() <= 5 * MB


def test_a_child_keeps_nothing_of_its_parents_and_works() -> None:
    code = """
import os, numpy as np, accel
from accel.kernels import runtime, fwht
x = np.random.default_rng(0).standard_normal((1024, 1024), np.float32)
held, expected = fwht(x), fwht(x).tobytes()
assert runtime.core.kept_results()[0] > 0
pid = os.fork()
good = held.tobytes() == expected and fwht(x).tobytes() == expected
good &= runtime.core.kept_results()[0] == len(expected)
held[:] = 7
del held
if pid == 0:
    os._exit(0 if good else 1)
assert good and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    result = in_python(code)
    assert result.returncode == 0, result.stderr


def test_results_alive_at_the_end_of_the_process() -> None:
    """In modules, in cycles, in threads that the end waits for, and freed by handlers that run last."""
    code = """
import atexit, sys, threading, numpy as np
from accel.kernels import fwht, runtime
x = np.ones((1024, 1024), np.float32)
class Last:
    def __del__(self, y=fwht(x)):
        self.y = y[0] + y[1]
kept, cycle = fwht(x), [fwht(x), Last()]
cycle.append(cycle)
sys.modules["held"] = fwht(x)
atexit.register(lambda: fwht(x))
local = threading.local(); local.y = fwht(x)
thread = threading.Thread(target=lambda: [fwht(x) for _ in range(50)])
thread.start()
print(runtime.empty((1 << 21,), np.uint8).size)
"""
    for _ in range(3):
        result = in_python(code)
        assert (result.returncode, result.stdout.split(), result.stderr) == (0, ["2097152"], "")


# -- settings --------------------------------------------------------------------------------------------------------


def test_errors_name_the_argument() -> None:
    wrong: Any
    for wrong in (2.0, None, "1", True):
        with pytest.raises(TypeError, match="nbytes: expected an integer >= 0, got"):
            accel.keep_memory(wrong)
    for wrong, shown in ((-1, "-1"), (1 << 63, str(1 << 63)), (10**5000, "<too many digits to be shown>")):
        with pytest.raises(ValueError, match=f"nbytes: expected an integer in 0..{sys.maxsize}, got {shown}"):
            accel.keep_memory(wrong)
    assert accel.keep_memory(sys.maxsize) == 256 * MB


def test_the_environment_sets_the_bound() -> None:
    code = "import accel; print(accel.isa_info()['keep_memory'])"
    assert in_python(code, ACCEL_KEEP_MEMORY="").stdout.split() == [str(256 * MB)]
    assert in_python(code, ACCEL_KEEP_MEMORY="0").stdout.split() == ["0"]
    assert in_python(code, ACCEL_KEEP_MEMORY="12345678").stdout.split() == ["12345678"]
    for wrong in ("-1", "256M", "1e9", "9" * 30, "9" * 5000):
        result = in_python(code, ACCEL_KEEP_MEMORY=wrong)
        assert f"ImportError: ACCEL_KEEP_MEMORY: expected a number of bytes, got {wrong!r:.60}" in result.stderr


def test_residence_grows_by_the_bound_at_most() -> None:
    """After results of many sizes, several of them at a time; and it all goes back."""
    accel.keep_memory(32 * MB)
    rng, before = np.random.default_rng(0), resident()

    def call() -> np.ndarray:
        return runtime.empty(int(rng.integers(1, 40)) * MB, np.uint8)

    for _ in range(20):
        for array in [call(), call()]:
            array[:] = 1
        del array
    assert resident() - before < (32 + 8) * MB
    accel.keep_memory(0)
    assert resident() - before < 8 * MB
