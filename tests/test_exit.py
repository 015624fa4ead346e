"""A process ends cleanly while daemon threads of Python are inside kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Calls long enough to be inside one when the interpreter ends, and one that Python enters and leaves all the time.
ENDING = """
import sys, threading, time
import numpy as np
import accel
from accel import kernels

x = np.ones((256, 4096), np.float32)
codes = kernels.huffman_encode(np.tile(np.arange(16, dtype=np.uint8), 1 << 16))
calls = {
    "fwht": lambda: kernels.fwht(x),
    "huffman": lambda: kernels.huffman_decode(codes),
    "small": lambda: kernels.fwht(x[:4]),
}

def repeat(begun):
    with accel.using(threads=int(sys.argv[2])):
        while True:
            calls[sys.argv[1]]()
            begun.set()

begun = [threading.Event() for _ in range(2)]
for event in begun:
    threading.Thread(target=repeat, args=(event,), daemon=True).start()
for event in begun:
    event.wait()
print("ends")
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", ["fwht", "huffman", "small"])
def test_the_process_ends_cleanly_while_daemon_threads_run_kernels(call: str, threads: int) -> None:
    command = [sys.executable, "-c", ENDING, call, str(threads)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=120)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ends\n", "")
