"""Runs several things in turn, A B A B ..., prints how many times as fast each is as others, and writes JSON.

Machines are shared, so only ratios of one printout mean something, and CPU time more than wall time. The CPU time of a
run includes that of the processes it has waited for. All libraries compute on ``--threads`` threads, 1 by default.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deformer_qa.reader.kernel_defaults import set_kernel_defaults
from deformer_qa.reader.machine import processor, usable_cpus

Run = Callable[[int], object]
_LIBRARIES = ("numpy", "onnxruntime", "torch", "transformers", "faiss-cpu", "haystack-ai", "transformers-haystack")


@dataclass(frozen=True)
class Cost:
    """What one run took, in seconds.

    :ivar cpu: of all threads, and of processes that it waited for
    :ivar made: what it returned
    """

    cpu: float
    wall: float
    made: Any


def arguments(about: str | None, rounds: int | None = 7) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks of speed have.

    :param rounds: the default number of rounds; None if there are none.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="passages and questions of a SQuAD file; else the sample corpus")
    parser.add_argument("--paragraphs", type=int, default=200, help="of the SQuAD file, the first so many")
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, help="counted ones; one more warms up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser


def pinned(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line; start again with the number of threads in the environment, where libraries look once."""
    given = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != str(given.threads):
        set_kernel_defaults()
        os.environ["OMP_NUM_THREADS"] = str(given.threads)
        os.execv(sys.executable, sys.orig_argv)
    return given


def costs_in_turn(runs: Mapping[str, Run], rounds: int) -> dict[str, list[Cost]]:
    """Run all in turn, after an uncounted round; each run is given the number of the round."""
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            cpu, began = _cpu_seconds(), time.perf_counter()
            made = run(number)
            cost = Cost(_cpu_seconds() - cpu, time.perf_counter() - began, made)
            if number:
                costs[name].append(cost)
    return costs


def _cpu_seconds() -> float:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def table(title: str, costs: Mapping[str, Sequence[Cost]], bases: Sequence[str]) -> dict[str, Any]:
    """Print and return, for each run, how many times as fast it is as each base: medians of the rounds' ratios."""
    rows: dict[str, Any] = {
        name: {
            "cpu_ms": round(1000 * statistics.median(one.cpu for one in taken), 1),
            "wall_ms": round(1000 * statistics.median(one.wall for one in taken), 1),
            "times_as_fast_as": {
                base: {
                    "cpu": _ratio([one.cpu for one in costs[base]], [one.cpu for one in taken]),
                    "wall": _ratio([one.wall for one in costs[base]], [one.wall for one in taken]),
                }
                for base in bases
            },
        }
        for name, taken in costs.items()
    }
    width = max(map(len, costs))
    print(f"\n{title}: medians of {len(next(iter(costs.values())))} rounds in turn")
    for base in bases:
        print(f"  times as fast as {base}: by CPU time (least to most), by wall time")
        for name, row in rows.items():
            cpu, wall = (row["times_as_fast_as"][base][kind] for kind in ("cpu", "wall"))
            spread = f"({cpu['least']:.2f} to {cpu['most']:.2f})"
            own = f"{row['cpu_ms']:.0f} ms CPU, {row['wall_ms']:.0f} ms wall"
            print(f"    {name:{width}}  {cpu['times']:6.2f} {spread:16}  {wall['times']:6.2f}   {own}", flush=True)
    return rows


def _ratio(of: Sequence[float], to: Sequence[float]) -> dict[str, float]:
    ratios = [one / other for one, other in zip(of, to, strict=True)]
    return {
        "times": round(statistics.median(ratios), 3),
        "least": round(min(ratios), 3),
        "most": round(max(ratios), 3),
    }


def finish(given: argparse.Namespace, figures: Mapping[str, Any]) -> None:
    """Print what the figures were measured with, and write both as JSON if that is wanted."""
    about = {
        "processor": processor(),
        "cores": usable_cpus(),
        "load": round(os.getloadavg()[0], 1),
        "options": {
            name: one.name if isinstance(one, Path) else one for name, one in vars(given).items() if name != "json"
        },
        "python": platform.python_version(),
        "versions": {name: found for name in _LIBRARIES if (found := _version(name))},
    }
    print("\n" + json.dumps(about))
    if given.json:
        given.json.write_text(json.dumps({"about": about, **figures}, indent=1) + "\n", encoding="utf-8")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
