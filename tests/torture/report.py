"""What did a part of the torture find? Counts, and of each failure the case with which it can be replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FAILURES_SHOWN = 6


@dataclass
class Result:
    """One part's result: how many cases there were, what each failed one did, and what else is worth a line."""

    part: str
    n_cases: int
    failures: Mapping[str, Sequence[str]]  # by case
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def json(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "cases": self.n_cases,
            "failures": {case: list(problems) for case, problems in self.failures.items()},
            "facts": self.facts,
            "seconds": round(self.seconds, 1),
        }


def table(results: Sequence[Result]) -> str:
    """One line a part, its facts below it."""
    lines = [f"{'part':<14}{'cases':>8}{'failed':>8}{'seconds':>9}"]
    for result in results:
        lines.append(f"{result.part:<14}{result.n_cases:>8,}{len(result.failures):>8,}{result.seconds:>9.1f}")
        lines += [f"    {name}: {_shown(value)}" for name, value in result.facts.items()]
    return "\n".join(lines)


def failures_shown(results: Sequence[Result], seed: int) -> str:
    """The first failures of each part, with the command that replays them."""
    lines = []
    for result in results:
        for case, problems in list(result.failures.items())[:FAILURES_SHOWN]:
            lines.append(f"FAILED: python -m torture --only {result.part} --seed {seed} --case {case!r}")
            lines += [f"    {line}" for problem in problems for line in str(problem).strip().splitlines()[-6:]]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
