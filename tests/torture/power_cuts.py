"""Does what was reported survive a power cut? Every state that a disk may legally be in after one, or a sample.

A cut comes after any event of a trace. Then what no sync covers is lost, kept or torn, each piece by itself, whatever
came before or after it: a write of content (to its file's next sync) and a change of a directory (to its own).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from torture.operations import OPERATIONS, origin_of
from torture.pool import Crash, Pool, sample, scratch
from torture.recording import ROOT, Event, Trace, recorded
from torture.report import Result
from torture.variants import broken

from deformer_qa.store import names

SECTOR = 512
KEPT, LOST, ZEROS = "kept", "lost", "zeros"  # and "torn N", "torn to zeros N": the first N bytes reached the disk
Fates = Mapping[int, str]  # by number of event; those not in it are kept
Tree = dict[str, bytes | None]  # by path; None is a directory


def run(pool: Pool, seed: int, n: int, case: str | None = None, variant: str = "") -> Result:
    """n distinct states; a case is "operation/events before the cut/fates"."""
    if case is not None:
        cases, facts = [case], {}
    else:
        share = -(-n // len(OPERATIONS))
        listed = pool.run(states_of, [(name, variant, seed, share) for name in OPERATIONS])
        if crashes := [one for one in listed if isinstance(one, Crash)]:
            return Result("power-cuts", 0, {"recording": crashes})
        if (missing := n - sum(len(one[0]) for one in listed)) > 0:  # some operations are too short for their share
            long_ones = [place for place, one in enumerate(listed) if len(one[0]) == share]
            more = share + -(-missing // max(1, len(long_ones)))
            names_ = list(OPERATIONS)
            again = pool.run(states_of, [(names_[place], variant, seed, more) for place in long_ones])
            for place, one in zip(long_ones, again, strict=True):
                listed[place] = one
        cases = [case for one in listed for case in one[0]][:n]
        facts: dict[str, Any] = {"events": {name: one[1] for name, one in zip(OPERATIONS, listed, strict=True)}}
        facts["states with all, nothing or one name lost"] = sum(one[2] for one in listed)
    found = pool.run(cut, [(one, variant) for one in cases])
    problems = {c: [p] if isinstance(p, Crash) else p for c, p in zip(cases, found, strict=True)}
    return Result("power-cuts", len(cases), {case: one for case, one in problems.items() if one}, facts)


def cut(case: str, variant: str) -> list[str]:
    """One state: what is wrong with it."""
    name, n_events, fates = _parse(case)
    origin, trace = origin_of(name), trace_of(name, variant)
    store = scratch("cut") / ".qa"
    _lay_out(store.parent, after_cut(trace, n_events, fates))
    n_reported = sum(event.kind == "report" for event in trace.events[:n_events])
    return origin.judge(store, n_reported, n_reported + 1, n_reported == len(origin.said) - 1)


@functools.cache
def trace_of(name: str, variant: str) -> Trace:
    """What an operation asks of the disk; the same in every process."""
    origin = origin_of(name)
    folder = scratch("recorded")
    store = origin.copy(folder)
    numbers = iter(range(1, 1000))
    with (
        recorded(folder) as (trace, report),
        broken(variant),
        patch.object(names, "token_hex", lambda n: f"{next(numbers):0{2 * n}x}"),
    ):
        origin.operation.act(store, report)
    assert after_cut(trace, len(trace.events), {}) == _tree(folder), "the trace does not tell what lies on the disk"
    return trace


def states_of(name: str, variant: str, seed: int, n: int) -> tuple[list[str], int, int]:
    """n cases with distinct states, the number of events, and how many of the cases are of the simple kind."""
    trace = trace_of(name, variant)
    seen: set[tuple[int, bytes]] = set()

    def distinct(cases: Iterator[tuple[int, Fates]]) -> Iterator[str]:
        for n_events, fates in cases:
            n_reported = sum(event.kind == "report" for event in trace.events[:n_events])
            state = (n_reported, _digest(after_cut(trace, n_events, fates)))
            if state not in seen:
                seen.add(state)
                yield _case(name, n_events, fates)

    simple = sample(list(distinct(_simple_states(trace))), n, seed)
    cases = list(simple)
    drawn = distinct(_random_states(trace, np.random.default_rng([seed, *name.encode()]), 20 * n))
    while len(cases) < n and (case := next(drawn, None)) is not None:
        cases.append(case)
    return cases, len(trace.events), len(simple)


def pending(trace: Trace, n_events: int) -> list[int]:
    """The events before the cut that no sync covers."""
    synced: set[int] = set()
    found = []
    for number in range(n_events - 1, -1, -1):
        event = trace.events[number]
        if event.kind == "sync":
            synced.add(event.place)
        elif event.kind != "report" and event.place not in synced:
            found.append(number)
    return found[::-1]


def _simple_states(trace: Trace) -> Iterator[tuple[int, Fates]]:
    """At each border: all kept, all lost, only names, only content; and each name alone lost, and alone kept."""
    for n_events in range(len(trace.events) + 1):
        open_ones = pending(trace, n_events)
        writes = [number for number in open_ones if trace.events[number].kind == "write"]
        entries = [number for number in open_ones if trace.events[number].kind != "write"]
        for losers, fate in ((open_ones, LOST), ([], LOST), (writes, LOST), (writes, ZEROS), (entries, LOST)):
            yield n_events, dict.fromkeys(losers, fate)
        for entry in entries:
            yield n_events, {entry: LOST}
            yield n_events, dict.fromkeys((number for number in open_ones if number != entry), LOST)


def _random_states(trace: Trace, chance: np.random.Generator, n: int) -> Iterator[tuple[int, Fates]]:
    for _ in range(n):
        n_events = int(chance.integers(1, len(trace.events) + 1))
        share = chance.choice([0.1, 0.5, 0.9])
        fates = {
            number: _fate(trace.events[number], chance)
            for number in pending(trace, n_events)
            if chance.random() < share
        }
        yield n_events, fates


def _fate(event: Event, chance: np.random.Generator) -> str:
    if event.kind != "write" or not event.content:
        return LOST
    first = -event.offset % SECTOR
    borders = list(range(first, len(event.content), SECTOR))
    kinds = [
        LOST,
        ZEROS,
        *(f"torn {border}" for border in borders[-3:]),
        *(f"torn to zeros {border}" for border in borders[-3:]),
    ]
    return str(chance.choice(kinds))


def after_cut(trace: Trace, n_events: int, fates: Fates) -> Tree:
    """What lies on the disk where these events came before the cut and these of them went wrong."""
    directories = {number: dict(entries) for number, entries in trace.directories.items()}
    directories |= {number: {} for number in trace.made_directories}
    files = {number: bytearray(content) for number, content in trace.files.items()}
    for number, event in enumerate(trace.events[:n_events]):
        fate = fates.get(number, KEPT)
        if event.kind == "write":
            _apply_write(files.setdefault(event.place, bytearray()), event, fate)
        elif fate != KEPT or event.kind not in ("entry", "rename"):
            continue
        elif event.target is None:
            directories[event.place].pop(event.name, None)
        else:
            if event.kind == "rename":
                directories[event.place].pop(event.old, None)
            directories[event.place][event.name] = event.target
    tree: Tree = {}
    _walk("", ROOT, directories, files, tree)
    return tree


def _apply_write(content: bytearray, event: Event, fate: str) -> None:
    if fate == LOST:
        return
    if event.name == "truncate":
        content.clear()
        return
    piece = event.content
    if fate == ZEROS:
        piece = bytes(len(piece))
    elif fate.startswith("torn"):
        n_kept = int(fate.split()[-1])
        piece = piece[:n_kept] + (bytes(len(piece) - n_kept) if "zeros" in fate else b"")
    if len(content) < event.offset:
        content.extend(bytes(event.offset - len(content)))
    content[event.offset : event.offset + len(piece)] = piece


def _walk(path: str, number: int, directories: Any, files: Any, tree: Tree) -> None:
    for name, child in directories[number].items():
        if child in directories:
            tree[f"{path}{name}"] = None
            _walk(f"{path}{name}/", child, directories, files, tree)
        else:
            tree[f"{path}{name}"] = bytes(files.get(child, b""))


def _lay_out(folder: Path, tree: Tree) -> None:
    folder.mkdir()
    for path, content in sorted(tree.items()):
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)


def _tree(folder: Path) -> Tree:
    paths = (path for path in folder.rglob("*") if path.name != "LOCK")
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in paths}


def _digest(tree: Tree) -> bytes:
    hasher = hashlib.blake2b(digest_size=16)
    for path, content in sorted(tree.items()):
        hasher.update(
            repr((path, None if content is None else hashlib.blake2b(content, digest_size=16).digest())).encode()
        )
    return hasher.digest()


def _case(name: str, n_events: int, fates: Fates) -> str:
    return f"{name}/{n_events}/" + ",".join(f"{number}:{fate}" for number, fate in sorted(fates.items()))


def _parse(case: str) -> tuple[str, int, Fates]:
    name, n_events, fates = case.split("/")
    return name, int(n_events), {int(n): fate for n, _, fate in (one.partition(":") for one in fates.split(",")) if n}
