"""Compare ``qa ask`` from a cold shell with the least that it could cost: importing what any such command needs.

    python benchmarks/cold.py [--data squad-v1.1-dev.json.xz] [--rounds 9] [--threads 1]

Each run is a process. Peaks of memory are medians of the processes' own. The last table says which packages' imports
take the time of ``qa ask``, by ``python -X importtime``.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus import corpus
from in_turn import arguments, costs_in_turn, finish, pinned, table

QA = [sys.executable, "-c", "from deformer_qa.cli.main import main; main()"]
FLOOR = [sys.executable, "-c", "import numpy, sqlite3, faiss, onnxruntime"]
_MOST_SHOWN = 12


def main() -> None:
    """Print the tables."""
    given = pinned(arguments(__doc__))
    with tempfile.TemporaryDirectory() as name:
        source, asked = corpus(given.data, given.paragraphs, Path(name))
        store = str(Path(name) / "store")
        subprocess.run([*QA, "index", str(source), "--store", store], check=True, capture_output=True)
        ask = [*QA, "ask", asked[0].text, "--store", store, "--threads", str(given.threads)]
        costs = costs_in_turn({"qa ask": lambda _: peak_of(ask), "floor": lambda _: peak_of(FLOOR)}, given.rounds)
        figures: dict[str, Any] = {"cold": table("from a cold shell", costs, ["qa ask"])}
        for kind, taken in costs.items():
            figures["cold"][kind]["peak_mib"] = round(statistics.median(one.made for one in taken))
            print(f"  peak of memory: {figures['cold'][kind]['peak_mib']} MiB, {kind}")
        figures["import_ms"] = import_milliseconds(ask)
    print("milliseconds of imports:")
    for package, spent in list(figures["import_ms"].items())[:_MOST_SHOWN]:
        print(f"  {spent:7.1f}  {package}")
    finish(given, figures)


def peak_of(command: Sequence[str]) -> float:
    """Run a command, and return the most memory it held, in MiB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):  # 1: nothing found
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def import_milliseconds(command: Sequence[str]) -> dict[str, float]:
    """The time that a command's imports take by package, most first; our packages count by folder."""
    told = subprocess.run([command[0], "-X", "importtime", *command[1:]], capture_output=True, text=True).stderr
    spent: Counter[str] = Counter()
    for microseconds, module in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", told, re.M):
        parts = module.split(".")
        spent[".".join(parts[: 2 if parts[0] == "deformer_qa" else 1])] += int(microseconds)
    return {package: one / 1000 for package, one in spent.most_common()}


if __name__ == "__main__":
    main()
