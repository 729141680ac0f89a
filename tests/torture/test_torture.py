"""Every part of ``make torture`` with small numbers, in the suite."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from torture.__main__ import PARTS, run_part
from torture.hostile import HOSTILE
from torture.operations import OPERATIONS
from torture.pool import Crash, Pool
from torture.report import Result, failures_shown
from torture.variants import VARIANTS

SEED = 5
SMALL: dict[str, dict[str, int]] = {
    "faults": {"n": 250},
    "power-cuts": {"n": 250},
    "damages": {"n": 250},
    "hostile": {"n": len(HOSTILE)},
    "asks": {"n": 800, "n_commits": 20},
    "signals": {"n": 30},
    "variants": {"n": 60},
    "kills": {"n": 3},
    "commands": {"n": 10},
}


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(2) as processes:
        yield processes


@pytest.mark.parametrize("name", PARTS)
def test_a_small_torture_finds_nothing(pool: Pool, name: str) -> None:
    result = run_part(name, pool, SEED, **SMALL[name])
    assert failures_shown([result], SEED) == ""
    assert result.n_cases >= min(SMALL[name]["n"], len(VARIANTS))


def test_every_operation_calls_the_disk_and_is_cut_at_each_call(pool: Pool) -> None:
    result = run_part("faults", pool, SEED, n=1)
    assert set(result.facts["calls"]) == set(OPERATIONS)
    assert min(result.facts["calls"].values()) > 10


def _end(how: str) -> str:
    if how == "dies":
        os.abort()
    if how == "raises":
        raise ValueError("a bug")
    return how


def test_a_case_that_kills_its_process_or_raises_fails_alone() -> None:
    with Pool(1) as own:
        found = own.run(_end, [("well",), ("dies",), ("well",), ("raises",), ("well",)])
    assert found[::2] == ["well"] * 3
    assert isinstance(found[1], Crash)
    assert isinstance(found[3], Crash)
    assert "SIGABRT" in found[1]
    assert "a bug" in found[3]


def test_a_failure_says_how_to_replay_it() -> None:
    shown = failures_shown([Result("faults", 2, {"commit/3/eio": ["lost"]})], 7)
    assert shown.splitlines() == ["FAILED: python -m torture --only faults --seed 7 --case 'commit/3/eio'", "    lost"]
