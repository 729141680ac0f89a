"""``make torture``: every part of the machine proof of the store, and one table of what it found.

``--only PART --seed N --case CASE`` replays one case; a failure prints that line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from torture import asks, catching, commands, damages, faults, hostile, kills, power_cuts
from torture.pool import Crash, Pool
from torture.report import Result, failures_shown, table

ALL = 1_000_000

PARTS: dict[str, tuple[Callable[..., Result], dict[str, int]]] = {
    "faults": (faults.run, {"n": ALL}),
    "power-cuts": (power_cuts.run, {"n": 5000}),
    "damages": (damages.run, {"n": 2500}),
    "hostile": (hostile.run, {"n": ALL}),
    "asks": (asks.run, {"n": 20_000, "n_commits": 100}),
    "signals": (lambda pool, seed, n: signals(pool, n), {"n": 300}),
    "variants": (catching.run, {"n": 300}),
    "kills": (kills.run, {"n": 150}),
    "commands": (commands.run, {"n": 500}),
}


def signals(pool: Pool, n: int) -> Result:
    """Commits under a timer's signals."""
    found = pool.run(faults.commit_under_signals, [(n,)])[0]
    if isinstance(found, Crash):
        return Result("signals", 0, {"all": [found]})
    n_signals, problems = found
    return Result("signals", n, {"all": problems} if problems else {}, {"signals that came": n_signals})


def run_part(name: str, pool: Pool, seed: int, **numbers: Any) -> Result:
    """One part with its numbers, or others given here."""
    function, usual = PARTS[name]
    began = time.monotonic()
    result = function(pool, seed, **{**usual, **numbers})
    result.seconds = time.monotonic() - began
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="this part alone; may be repeated")
    parser.add_argument("--seed", type=int, default=None, help="of what is drawn (default: the time)")
    parser.add_argument("--case", help="one case of the one part, as a failure prints it")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of cases (default: 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default: 2)")
    parser.add_argument("--json", action="store_true", help="the results as json")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    results = []
    with Pool(options.jobs) as pool:
        for name in options.only or PARTS:
            numbers: dict[str, Any] = {"case": options.case} if options.case is not None else {}
            if options.share != 1:
                numbers |= {key: max(1, int(n * options.share)) for key, n in PARTS[name][1].items() if n != ALL}
            results.append(run_part(name, pool, seed, **numbers))
            print(table(results[-1:]), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"seed": seed, "parts": [result.json() for result in results]}, indent=1))
    else:
        print(table(results))
    if complaints := failures_shown(results, seed):
        print(complaints)
    print(f"seed {seed}: " + ("something failed." if complaints else "nothing lost, nothing wrong, nothing silent."))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
