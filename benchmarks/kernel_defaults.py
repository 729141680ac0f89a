"""Measure what qa's two defaults for the CPU kernels save and cost: the figures of decision 6.

    python benchmarks/kernel_defaults.py [--runs 3] [--reads 15] [--busy 2]

Each line is a process that reads 20 passages for each of several questions with the shipped reader in torch; the
environments take turns. Waiting is timed with nothing else running, and beside --busy busy processes. Memory is the
peak after ten times as many questions, each on passages of different lengths.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time

from deformer_qa.reader.kernel_defaults import KERNEL_DEFAULTS

WAITING = {"passive, as qa sets it": {}, "active": {"OMP_WAIT_POLICY": "ACTIVE"}}
MEMORY = {
    "64 primitives kept, as qa sets it": {},
    "1,024 primitives kept, the default": {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"},
}
CANDIDATES = 20


def child(reads: int) -> None:
    """Read questions; print the median seconds of one and the peak resident MiB."""
    import numpy as np

    from deformer_qa.reader.reading import SplitReader

    reader, chance, made = SplitReader.load().use("torch"), random.Random(0), np.random.default_rng(0)
    width = reader.encoder.hidden_width
    seconds = []
    for _ in range(reads):
        lengths = [chance.randint(40, 254) for _ in range(CANDIDATES)]
        passages = [made.standard_normal((length, width), np.float32) for length in lengths]
        question = made.standard_normal((chance.randint(8, 20), width), np.float32)
        began = time.perf_counter()
        reader.read(question, passages)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": statistics.median(seconds), "mib": peak}))


def run(environment: dict[str, str], reads: int) -> dict[str, float]:
    """Return the figures of a child process with qa's environment, changed as given."""
    command = [sys.executable, __file__, "--child", "--reads", str(reads)]
    done = subprocess.run(
        command, env={**os.environ, **KERNEL_DEFAULTS, **environment}, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--reads", type=int, default=15)
    parser.add_argument("--busy", type=int, default=os.cpu_count())
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.reads)
        return
    for n_busy in (0, given.busy):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_busy)]
        try:
            turns = [{name: run(one, given.reads) for name, one in WAITING.items()} for _ in range(given.runs)]
        finally:
            for process in busy:
                process.kill()
        print(f"beside {n_busy} busy processes, milliseconds of a question, median of {given.runs} runs in turn:")
        for name in WAITING:
            times = sorted(turn[name]["seconds"] * 1000 for turn in turns)
            print(f"  {statistics.median(times):8.0f}  {name}  ({times[0]:.0f} to {times[-1]:.0f})")
    print(f"peak resident MiB after {10 * given.reads} questions:")
    for name, environment in MEMORY.items():
        print(f"  {run(environment, 10 * given.reads)['mib']:8.0f}  {name}")


if __name__ == "__main__":
    main()
