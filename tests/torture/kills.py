"""Does ``qa index`` stand ``kill -9`` at any moment? The real command, killed at random, and where the kills fell."""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from torture import world
from torture.operations import orphans
from torture.pool import Crash, Pool, scratch
from torture.report import Result

from deformer_qa.store import Snapshot, open_snapshot, verify

N_FILES = 12
COMMIT_OFTEN = 0.0  # seconds; a commit a passage. The command's own are 60, which makes one commit of all
BETWEEN = ("segments begun", "manifest begun")  # after a commit's first write, before its link
MOST_SEGMENTS = 20  # that are waited for
SOON = 0.004  # seconds, about what is left of a commit
PATIENCE = 120.0


def run(pool: Pool, seed: int, n: int, case: str | None = None) -> Result:
    """n kills; a case is its number."""
    made = pool.run(make_world, [(str(pool.folder / "kills"),)], 3 * PATIENCE)[0]
    if isinstance(made, Crash):
        return Result("kills", 0, {"preparation": [made]})
    cases = [str(number) for number in range(n)] if case is None else [case]
    found = pool.run(kill, [(one, seed, made) for one in cases], 3 * PATIENCE)
    failures = {c: [f] if isinstance(f, Crash) else f[0] for c, f in zip(cases, found, strict=True)}
    phases = Counter(one[1] for one in found if not isinstance(one, Crash))
    share = sum(phases[phase] for phase in BETWEEN) / max(1, len(cases))
    if share < 1 / 3 and len(cases) >= 30:
        failures["all"] = [f"only {share:.0%} of the kills fell between a commit's first write and its link"]
    facts: dict[str, Any] = {"fell": dict(phases.most_common()), "between first write and link": f"{share:.0%}"}
    facts["generations that may answer"] = pool.run(n_generations, [(made,)])[0]
    return Result("kills", len(cases), {case: one for case, one in failures.items() if one}, facts)


def make_world(place: str) -> str:
    """The reader, a store of the corpus as it was, and the corpus as it is now; the folder with all of it."""
    folder = Path(place)
    if not folder.exists():
        from deformer_qa.indexer.sync import sync

        world.make_reader(folder)
        before = {f"{number}.txt": _text(number, 0) for number in range(N_FILES)}
        world.write_corpus(folder / "corpus", before)
        sync(folder / "base", world.encoder(folder), [folder / "corpus"])
        after = {f"{number}.txt": _text(number, number % 3 // 2) for number in range(3, N_FILES)}
        after |= {f"moved/{number}.txt": before[f"{number}.txt"] for number in range(2)}
        after |= {f"new/{number}.txt": _text(number, 1) for number in range(N_FILES, 2 * N_FILES)}
        world.write_corpus(folder / "corpus", after)
    return place


def _text(number: int, version: int) -> str:
    return "\n\n".join(f"Part {part} of {number} was the city of version {version}. The river." for part in range(2))


@functools.cache
def _reference(place: str) -> list[str]:
    """What each generation says that an uninterrupted run may commit, in order; the base first."""
    from deformer_qa.indexer.sync import sync

    folder, store = Path(place), scratch("reference")
    shutil.copytree(folder / "base", store)
    said = [_says(store)]

    def look(event: Any) -> None:
        if (now := _says(store)) != said[-1]:
            said.append(now)

    sync(store, world.encoder(folder), [folder / "corpus"], commit_seconds=0.0, on_event=look)
    look(None)
    return said


def n_generations(place: str) -> int:
    return len(_reference(place))


def _says(store: Path) -> str:
    with open_snapshot(store) as snapshot:
        return repr(_all_of(snapshot))


def _all_of(snapshot: Snapshot) -> Any:
    """Documents, passages and rankings, without ids: what an interrupted run may number otherwise."""
    found = {}
    texts: dict[int, str] = {}
    for info in snapshot.iter_documents():
        passages = snapshot.document_passages(info.id)
        of_this = snapshot.passage_texts([passage.id for passage in passages])
        texts.update(zip((passage.id for passage in passages), of_this, strict=True))
        n_tokens = [len(states) for states in snapshot.states([passage.key for passage in passages])]
        found[info.path] = (info.title, snapshot.document(info.id).text, of_this, n_tokens)
    query = np.ones(snapshot.encoder.vector_width, np.float32)
    hits = [*snapshot.nearest(query, 10_000), *snapshot.bm25("city of version 1", 10_000)]
    return sorted(found.items()), sorted((round(hit.score, 9), texts[hit.passage_id]) for hit in hits)


@functools.cache
def _lifetime(place: str, commit_seconds: float) -> tuple[float, float]:
    """Seconds from the start of an uninterrupted run to its first write, and from there to its end."""
    folder, store = Path(place), scratch("timed")
    shutil.copytree(folder / "base", store)
    before = _names(store)
    began = time.monotonic()
    child = world.start(world.index_arguments(folder, folder / "corpus", store), commit_seconds)
    _wait_for_change(store, before, child)
    first = time.monotonic()
    _, complaint = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, complaint.decode()
    return first - began, time.monotonic() - first


def kill(case: str, seed: int, place: str) -> tuple[list[str], str]:
    """One kill: what is wrong after it, and where it fell."""
    number, folder, store = int(case), Path(place), scratch("killed")
    chance = np.random.default_rng([seed, number])
    commit_seconds = COMMIT_OFTEN if number % 3 else 60.0
    to_first, to_end = _lifetime(place, commit_seconds)
    shutil.copytree(folder / "base", store)
    before = _names(store)
    child = world.start(world.index_arguments(folder, folder / "corpus", store), commit_seconds)
    if number % 5 == 4:  # at any moment of its life
        time.sleep(chance.uniform(0, to_first + to_end))
    elif number % 5 == 3:  # or of its writing, for most of a life is loading
        _wait_for_change(store, before, child)
        time.sleep(chance.uniform(0, to_end))
    else:  # or soon after it began a segment, for most of the rest is encoding
        seen = before
        for _ in range(chance.integers(1, 3 if commit_seconds else MOST_SEGMENTS)):
            seen = _wait_for_segment(store, seen, child)
        time.sleep(chance.uniform(0, SOON))
    child.kill()
    child.communicate()
    phase = _phase(store, before, child.returncode)
    problems = []
    if _says(store) not in _reference(place):
        problems.append("what it says is no generation of an uninterrupted run")
    problems += [f"verify names {damage.file}" for damage in verify(store)]
    problems += _finish(folder, store, by_command=number % 10 == 0)
    if _says(store) != _reference(place)[-1]:
        problems.append("the next run ends otherwise than an uninterrupted one")
    problems += [f"left behind: {name}" for name in orphans(store)]
    problems += [f"verify names {damage.file} after the next run" for damage in verify(store)]
    return problems, phase


def _finish(folder: Path, store: Path, by_command: bool) -> list[str]:
    """The next run: every tenth is the command again, the others are what it calls."""
    if not by_command:
        from deformer_qa.indexer.sync import sync

        sync(store, world.encoder(folder), [folder / "corpus"])
        return []
    child = world.start(world.index_arguments(folder, folder / "corpus", store))
    _, complaint = child.communicate(timeout=PATIENCE)
    return [f"the next run ends with {child.returncode}: {complaint.decode()[-300:]}"] if child.returncode else []


def _names(store: Path) -> set[str]:
    return {name for name in (*os.listdir(store), *os.listdir(store / "seg")) if name != "LOCK"}


def _wait_for_segment(store: Path, before: set[str], child: Any) -> set[str]:
    now = before
    while not any("-" in name and "MANIFEST" not in name for name in now - before) and child.poll() is None:
        now = _wait_for_change(store, now, child)
    return before | now


def _wait_for_change(store: Path, before: set[str], child: Any) -> set[str]:
    """Wait until other names lie in the store than these, or the command ended; the names then."""
    deadline = time.monotonic() + PATIENCE
    while (now := _names(store)) == before and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    return now


def _phase(store: Path, before: set[str], exit_code: int) -> str:
    """Where a run was when it was killed, by what lies on the disk."""
    from deformer_qa.store.generations import find_head, read_manifest

    if exit_code == 0:
        return "it had ended"
    names = _names(store)
    if names == before:
        return "nothing written"
    head = find_head(store).manifest
    if "MANIFEST.tmp" in names:
        return "linked" if (store / "MANIFEST.tmp").stat().st_nlink > 1 else "manifest begun"
    needed = head.segment_names | (read_manifest(store, head.parent).segment_names if head.parent else set())
    left = [name for name in os.listdir(store / "seg") if name not in needed]
    if any(int(name.split("-")[0]) > head.generation for name in left):
        return "segments begun"
    return "collecting" if left or len([name for name in names if "MANIFEST" in name]) > 2 else "between commits"
