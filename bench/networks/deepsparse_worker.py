"""DeepSparse in a process and an environment of its own: it ended in 2025, and wants an older NumPy than ours.

    PYTHON deepsparse_worker.py MODEL.onnx INPUT.npy ANSWER.npy THREADS

Writes its answer to the input, then runs once for every line that it reads, and answers with the seconds that took.
Only NumPy and deepsparse are imported.
"""

from __future__ import annotations

import sys
import time

import numpy as np


def main() -> None:
    import deepsparse

    model, given, answer, threads = sys.argv[1:]
    x = np.load(given, allow_pickle=False)
    engine = deepsparse.Engine(model=model, batch_size=x.shape[0], num_cores=int(threads))
    np.save(answer, engine.run([x])[0])
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        engine.run([x])
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
