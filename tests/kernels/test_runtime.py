"""What runs where: settings, threads, fork, the GIL and the floating-point mode."""

from __future__ import annotations

import contextvars
import ctypes
import multiprocessing
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from kernels.floats import assert_same_bits, normal

import accel
from accel.kernels import average_pool2d, circulant_matmul, conv2d, linear, max_pool2d, runtime

needs_native = pytest.mark.skipif(runtime.core is None, reason="the native kernels are not built")


@needs_native
def test_peaks_are_of_this_machine(isa: str) -> None:
    """More than a slow core does, less than any: tens of operations and bytes per cycle."""
    assert 1e8 < runtime.fma_peak() < 1e13
    for nbytes in (1024, 3000, 1 << 20):
        assert 1e8 < runtime.read_peak(nbytes) < 1e13
    with pytest.raises(ValueError, match="at least 256"):
        runtime.read_peak(1020)


def kernels() -> dict[str, Callable[[], np.ndarray]]:
    """Calls of a few milliseconds on one thread, all large enough to be split."""
    image, w, taps = normal(2, 64, 56, 56), normal(64, 64, 3, 3), normal(64, 1, 3, 3)
    rows, matrix = normal(256, 512), normal(512, 512)
    return {
        "conv": lambda: conv2d(image, w, pads=1),
        "gather": lambda: conv2d(image[:, :3].copy(), w[:, :3].copy(), pads=1),
        "depthwise": lambda: conv2d(image, taps, pads=1, group=64),
        "linear": lambda: linear(rows, matrix),
        "max pool": lambda: max_pool2d(image, 3, pads=1),
        "average pool": lambda: average_pool2d(image, 3, pads=1),
    }


# -- settings ------------------------------------------------------------------------------------------------------


def test_settings_nest_and_end() -> None:
    before = runtime.isa_info()
    with accel.using(threads=3):
        with accel.using(backend="numpy"):
            assert runtime.isa_info() == {**before, "backend": "numpy", "threads": 3}
        assert runtime.backend() == before["backend"] and runtime.threads() == 3
        with pytest.raises(RuntimeError), accel.using(threads=5):
            raise RuntimeError
        assert runtime.threads() == 3
    assert runtime.isa_info() == before


def test_settings_belong_to_their_thread() -> None:
    with accel.using(threads=7), ThreadPoolExecutor(1) as pool:
        assert runtime.threads() == 7
        assert pool.submit(runtime.threads).result() != 7
        assert pool.submit(contextvars.copy_context().run, runtime.threads).result() == 7


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"backend": "cuda"}, r"backend: expected one of .*numpy \(installed here\), got 'cuda'"),
        ({"isa": "avx9"}, r"isa: expected one of .* \(supported here\), got 'avx9'"),
        ({"threads": 0}, "threads: expected an integer in 1..1024, got 0"),
        ({"threads": 2**40}, "threads: expected an integer in 1..1024, got 1099511627776"),
        ({"threads": 1.5}, "threads: expected an integer in 1..1024, got 1.5"),
        ({"threads": True}, "threads: expected an integer in 1..1024, got True"),
    ],
)
def test_a_bad_choice_is_named(choice: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message), accel.using(**choice):  # type: ignore[arg-type]
        pass


def in_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in this environment, ACCEL_* and OMP_NUM_THREADS replaced."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ACCEL_") and k != "OMP_NUM_THREADS"}
    environment = {**inherited, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)


def test_the_environment_chooses_threads() -> None:
    code = "import accel; print(accel.isa_info()['threads'])"
    assert in_python(code, ACCEL_NUM_THREADS="3", OMP_NUM_THREADS="5").stdout.split() == ["3"]
    assert in_python(code, OMP_NUM_THREADS="5,2").stdout.split() == ["5"]
    assert in_python(code, ACCEL_NUM_THREADS="99999999999").stdout.split() == ["1024"]
    assert in_python(code, ACCEL_NUM_THREADS="9" * 5000, OMP_NUM_THREADS="5").stdout.split() == ["5"]
    for nonsense in ("0", "-2", "many", ""):
        assert int(in_python(code, ACCEL_NUM_THREADS=nonsense).stdout) >= 1


@needs_native
def test_the_environment_chooses_the_instruction_set() -> None:
    code = """
import numpy as np, accel
from accel.kernels import program
x, w = (np.random.default_rng(i).standard_normal((16, 16), np.float32) for i in (0, 1))
print(accel.isa_info()["isa"], program.new_program().isa, accel.kernels.linear(x, w).tobytes().hex())
"""
    for number, isa in enumerate(runtime.isa_info()["compiled"]):
        result = in_python(code, ACCEL_ISA=isa)
        if isa not in runtime.isa_info()["supported"]:
            assert "ImportError: ACCEL_ISA: expected one of" in result.stderr
            continue
        name, index, bits = result.stdout.split()
        assert (name, int(index)) == (isa, number), result.stderr
        with accel.using(backend="native", isa=isa):
            x, w = normal(16, 16, seed=0), normal(16, 16, seed=1)
            assert linear(x, w).tobytes().hex() == bits
    result = in_python("import accel", ACCEL_ISA="avx9")
    assert result.returncode != 0
    assert "ImportError: ACCEL_ISA: expected one of" in result.stderr and "got 'avx9'" in result.stderr


# -- threads -------------------------------------------------------------------------------------------------------


@needs_native
def test_callers_at_once_get_the_bits_of_callers_alone() -> None:
    """Eight Python threads share one pool: whoever finds it busy runs alone."""
    calls = list(kernels().values())
    with accel.using(threads=3):
        expected = [call() for call in calls]
    barrier = threading.Barrier(8)

    def work(start: int) -> None:
        barrier.wait()
        with accel.using(threads=3):
            for i in range(start, start + 24):
                assert_same_bits(calls[i % len(calls)](), expected[i % len(calls)])

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, i) for i in range(8)]:
            future.result(timeout=120)


@needs_native
def test_more_threads_than_work_or_processors() -> None:
    x, w = normal(1, 16, 3, 3), normal(16, 16, 3, 3)
    expected = conv2d(x, w)
    with accel.using(threads=64):
        assert_same_bits(conv2d(x, w), expected)
        for call in kernels().values():
            call()


def ticks_during(call: Callable[[], object]) -> float:
    """How many ticks a Python thread makes during the call, as a share of what it makes while this one sleeps."""
    count = 0
    stop = threading.Event()

    def tick() -> None:
        nonlocal count
        while not stop.is_set():
            time.sleep(0.001)
            count += 1

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        first, start = count, time.perf_counter()
        call()
        busy, seconds = count - first, time.perf_counter() - start
        first = count
        time.sleep(seconds)
        return busy / max(count - first, 1)
    finally:
        stop.set()
        ticker.join()


LEAST_SHARE = 0.1  # a hundredth while the GIL is held, a fifth where ten processes want the only core


@needs_native
@pytest.mark.parametrize("name", list(kernels()))
def test_the_gil_is_released(name: str) -> None:
    """One call held long enough to see: the kernel alone, repeated inside one program."""
    from accel.kernels import program

    repeated, (arrays, add) = program.new_program(), long_step(name)
    for _ in range(20):
        add(repeated)
    with accel.using(threads=1):
        program.run(repeated, np.zeros(len(arrays), np.uintp), list(enumerate(arrays)))
        shares = []
        while len(repeated) < 20_000:
            start = time.perf_counter()
            program.run(repeated, np.zeros(len(arrays), np.uintp), list(enumerate(arrays)))
            if time.perf_counter() - start > 0.1:
                break
            for _ in range(len(repeated)):
                add(repeated)
        for _ in range(3):  # the machine may be busy with something else
            shares.append(
                ticks_during(lambda: program.run(repeated, np.zeros(len(arrays), np.uintp), list(enumerate(arrays))))
            )
            if shares[-1] >= LEAST_SHARE:
                return
    pytest.fail(f"a Python thread made {max(shares):.0%} of its ticks while the kernel ran")


def long_step(name: str) -> tuple[list[np.ndarray], Callable[[object], None]]:
    """Arrays for the slots and what adds one step over them to a program."""
    from accel.kernels import program
    from accel.kernels.conv_native import Method, Route

    shape = (1, 64, 56, 56)
    source, target = program.blocked_map(shape, 1), program.blocked_map(shape)
    place = program.place
    arrays = [np.zeros(source.floats, np.float32), np.zeros(target.floats, np.float32)]
    if name == "linear":
        weights = program.pack_linear(normal(512, 512)), program.pack_bias(None, 512)
        arrays = [
            normal(256, 512),
            np.zeros((256, 512), np.float32),
            np.zeros((257, 528), np.float32),
        ]  # the last: scratch
        return arrays, lambda p: p.linear(  # type: ignore[attr-defined]
            256, 512, 512, program.activation(None), place(0), place(1), place(2), *weights
        )
    if "pool" in name:
        pool = program.pool_spec(
            source, target, (3, 3), average=name.startswith("average"), strides=(1, 1), pads=(1,) * 4, dilations=(1, 1)
        )
        return arrays, lambda p: p.pool(pool, place(0), place(1))  # type: ignore[attr-defined]
    method = Method({"conv": Route.BLOCKED, "gather": Route.GATHER, "depthwise": Route.DEPTHWISE}[name], "direct")
    w = normal(64, {"conv": 64, "gather": 3, "depthwise": 1}[name], 3, 3)
    if method.route is Route.GATHER:
        source = program.plain_map((1, 3, 56, 56), 1)
    spec = program.conv_spec(source, target, (3, 3), strides=(1, 1), before=(1, 1), dilations=(1, 1))
    packed = method.pack(w, None, (1, 1), 64 if method.route is Route.DEPTHWISE else 1)
    nowhere = place(program.NOWHERE)

    def add(p: object) -> None:
        p.conv(method.prepare(spec, 1), place(0), place(1), nowhere, nowhere, *packed)  # type: ignore[attr-defined]

    return arrays, add


# -- fork ----------------------------------------------------------------------------------------------------------


CHILD_SECONDS = 60  # a child that does not hang has taken 16 where ten others wanted the same core


def child(connection: object, expected: bytes) -> None:
    with accel.using(threads=3):
        connection.send(kernels()["conv"]().tobytes() == expected)  # type: ignore[attr-defined]


def parallel_call_after(method: str, times: int) -> None:
    with accel.using(threads=3):
        expected = kernels()["conv"]().tobytes()
    context = multiprocessing.get_context(method)
    for _ in range(times):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(there, expected))
        process.start()
        try:
            assert here.poll(CHILD_SECONDS), "the child hangs"
            assert here.recv()
        finally:
            process.join(5)
            process.kill()
            process.join()
        with accel.using(threads=3):
            assert kernels()["conv"]().tobytes() == expected


@needs_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_computes() -> None:
    parallel_call_after("fork", 20)


@needs_native
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_thousand_forked_children_compute() -> None:
    parallel_call_after("fork", 1000)


@needs_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_while_another_thread_computes() -> None:
    stop = threading.Event()

    def busy() -> None:
        call = kernels()["conv"]
        with accel.using(threads=3):
            while not stop.is_set():
                call()

    worker = threading.Thread(target=busy)
    worker.start()
    try:
        parallel_call_after("fork", 10)
    finally:
        stop.set()
        worker.join()


@needs_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_while_another_thread_makes_tables() -> None:
    """The child found their lock taken, by a thread that it does not have."""
    x, stop = normal(5000), threading.Event()

    def busy() -> None:
        size = 1000
        while not stop.is_set():
            size = size % 4000 + 17  # there are no tables of this length yet
            circulant_matmul(x[:size], x[:size])

    def child() -> None:
        circulant_matmul(x[:101], x[:101])

    worker = threading.Thread(target=busy)
    worker.start()
    context = multiprocessing.get_context("fork")
    try:
        for _ in range(20):
            process = context.Process(target=child)
            process.start()
            process.join(CHILD_SECONDS)
            process.kill()
            process.join()
            assert process.exitcode == 0
    finally:
        stop.set()
        worker.join()


# -- the floating-point mode ---------------------------------------------------------------------------------------


def float_mode() -> bytes:
    """The control bits of the floating-point environment, without the flags that record what happened."""
    buffer = ctypes.create_string_buffer(64)
    assert ctypes.CDLL(None).fegetenv(buffer) == 0
    if platform.machine() == "x86_64":  # MXCSR is the last word of fenv_t; its low 6 bits are flags
        return (int.from_bytes(buffer.raw[28:32], "little") & ~0x3F).to_bytes(4, "little")
    return buffer.raw[:4]


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="reads fenv_t")
def test_the_mode_is_the_same_after_every_kernel() -> None:
    tiny = np.float32(1e-40)
    before = float_mode()
    for threads in (1, 3):
        for name, call in kernels().items():
            with accel.using(threads=threads):
                call()
            assert float_mode() == before, name
            assert tiny * np.float32(1) != 0, name


def test_array_kernels_keep_denormals_on_every_thread() -> None:
    x = np.full((2, 32, 56, 56), 1e-40, np.float32)
    w = np.eye(32, dtype=np.float32)[:, :, None, None].copy()
    with accel.using(threads=3):
        assert (conv2d(x, w) == x).all()
        assert (max_pool2d(x, 2) == x[0, 0, 0, 0]).all()


def test_the_environment_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEL_NUM_THREADS", " 3 ,1")
    assert runtime.threads() == 3
    monkeypatch.setenv("ACCEL_NUM_THREADS", "4")
    assert runtime.threads() == 4
    monkeypatch.setenv("ACCEL_NUM_THREADS", "\u00b2")  # a digit that is no number
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert runtime.threads() == 5
