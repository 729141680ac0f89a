"""Is the torture strong enough? Each broken variant must be caught by the part that looks for its like."""

from __future__ import annotations

from collections.abc import Callable

from torture import asks, faults, power_cuts
from torture.pool import Pool
from torture.report import Result
from torture.variants import VARIANTS, broken

CATCHERS: dict[str, str] = {
    "no file sync": "power-cuts",
    "no directory sync": "power-cuts",
    "manifest in place": "power-cuts",
    "segments in place": "faults",
    "collect before commit": "faults",
    "collect before root sync": "power-cuts",
    "no lock": "asks",
}


BATCH = 50  # cases between two looks whether it was caught


def run(pool: Pool, seed: int, n: int, case: str | None = None) -> Result:
    """Each variant against one part, until it is caught or n cases did not; a case is a variant."""
    parts: dict[str, Callable[..., Result]] = {
        "faults": faults.run,
        "power-cuts": power_cuts.run,
        "asks": lambda pool, seed, n, variant: asks.run(pool, seed, 4 * n, n_commits=10, variant=variant),
    }
    variants = list(VARIANTS) if case is None else [case]
    for variant in variants:
        with broken(variant):  # else a name that is gone would count as caught
            pass
    facts, failures = {}, {}
    for variant in variants:
        part, n_tried, caught = CATCHERS[variant], 0, None
        while n_tried < n and caught is None:
            result = parts[part](pool, seed + n_tried, BATCH, variant=variant)
            caught = next(iter(result.failures.values()), None)
            n_tried += max(1, result.n_cases)
        if caught is None:
            failures[variant] = [f"not caught by {n_tried} cases of {part}"]
        else:
            facts[variant] = f"caught by {part} within {n_tried} cases: {' '.join(caught[0].split())[-110:]}"
    return Result("variants", len(variants), failures, facts)
