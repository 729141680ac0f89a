"""Does a prepared store run anything, lead anywhere, hang or take all memory? Each is used in a process with limits."""

from __future__ import annotations

import math
import os
import resource
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from parts.tiny_store import Tiny
from torture.hostile_derived import DERIVED, HARMLESS_DERIVED
from torture.hostile_stores import HARMLESS as HARMLESS_STORES
from torture.hostile_stores import STORES, make_whole
from torture.pool import Crash, Pool, sample, scratch
from torture.report import Result

from deformer_qa.store import StoreError, Writer, open_snapshot, verify

HOSTILE = {**STORES, **DERIVED}
HARMLESS = HARMLESS_STORES | HARMLESS_DERIVED
CPU_SECONDS = 10
WALL_SECONDS = 30.0
MORE_MEMORY = 2 << 30  # address space beyond what the process has; maps of the largest store here take 0.4 GB


def run(pool: Pool, seed: int, n: int, case: str | None = None) -> Result:
    """n of the stores; a case is a store's name."""
    cases = sample(list(HOSTILE), n, seed) if case is None else [case]
    found = pool.run(use, [(one,) for one in cases])
    outcomes = Counter(outcome for one in found if not isinstance(one, Crash) for outcome in one[1])
    failures = {c: [f] if isinstance(f, Crash) else f[0] for c, f in zip(cases, found, strict=True)}
    facts = {"first use was": dict(sorted(outcomes.items()))}
    return Result("hostile", len(cases), {case: one for case, one in failures.items() if one}, facts)


def use(name: str) -> tuple[list[str], list[str]]:
    """Ask, verify and write one hostile store; what is wrong, and whether it was refused."""
    folder = scratch("hostile")
    folder.mkdir()
    store = folder / ".qa"
    make_whole(store)
    HOSTILE[name](store)
    outside, inside = _seen(folder, store), _seen(store)
    problems: list[str] = []
    outcomes: list[str] = []
    for number, act in enumerate((_ask, verify, _write)):
        status, told = _limited(lambda act=act: act(store))  # type: ignore[misc]
        if status:
            problems.append(f"{act.__name__}: {told}")
        elif not number:
            outcomes.append(told)
            if told == "harmless" and name not in HARMLESS:
                problems.append("it was not refused")
        if act is not _write and _seen(store) != inside:
            problems.append(f"{act.__name__} changed the store")
    if (folder / "canary").exists():
        problems.append("code of the store ran")
    if _seen(folder, store) != outside:
        problems.append(f"something outside changed: {_seen(folder, store)} was {outside}")
    shutil.rmtree(folder)
    return problems, outcomes


def _ask(store: Path) -> str:
    """Ask all that can be asked; how it ended."""
    refusals = 0
    try:
        snapshot = open_snapshot(store)
    except StoreError as error:
        _one_line(error)
        return "refused"
    with snapshot:
        asked: list[Callable[[], Any]] = [
            lambda: list(snapshot.iter_documents()),
            lambda: snapshot.find_documents(Tiny.root),
            lambda: [snapshot.document(id_) for id_ in range(1, 7) if snapshot.has_document(id_)],
            lambda: [snapshot.passage_texts([p.id for p in snapshot.document_passages(id_)]) for id_ in (1, 2, 5)],
            lambda: list(snapshot.vectors([p.key for p in snapshot.document_passages(5)])),
            lambda: snapshot.states([p.key for p in snapshot.document_passages(5)]),
            lambda: snapshot.nearest(np.ones(8, np.float32), 3),
            lambda: snapshot.nearest(np.ones(8, np.float32), 1000),
            lambda: snapshot.nearest(np.ones(8, np.float32), 3, among=range(1, 9)),
            lambda: snapshot.bm25("the fox saw 3 dogs", 10),
            snapshot.size_report,
        ]
        for ask in asked:
            try:
                _require_finite(ask())
            except StoreError as error:
                _one_line(error)
                refusals += 1
    return "refused" if refusals else "answered by the parent" if snapshot.notice else "harmless"


def _write(store: Path) -> str:
    """Write to it: what is committed must be there."""
    try:
        with Writer.open(store, Tiny.encoder) as writer:
            Tiny().put(writer, "new.txt", "Entirely new")
            generation = writer.commit()
            with open_snapshot(store) as snapshot:
                assert snapshot.generation == generation, f"committed {generation}, found {snapshot.generation}"
            writer.merge()
    except StoreError as error:
        _one_line(error)
        return "refused"
    return "written"


def _one_line(error: StoreError) -> None:
    assert "\n" not in str(error), str(error)


def _require_finite(answer: Any) -> None:
    if isinstance(answer, list):
        for one in answer:
            _require_finite(one)
    elif isinstance(answer, np.ndarray):
        assert np.isfinite(answer).all(), "states that are not finite"
    elif hasattr(answer, "score"):
        assert math.isfinite(answer.score), f"a score of {answer.score}"


def _limited(act: Callable[[], object]) -> tuple[int, str]:
    """Run something in a forked process with limits of time and memory; its status, and what it told."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            n_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (n_bytes + MORE_MEMORY, n_bytes + MORE_MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            try:
                told, status = str(act()), 0
            except StoreError as error:
                _one_line(error)
                told, status = "refused", 0
        except BaseException:
            told = traceback.format_exc()[-3000:]
        os.write(write_end, told.encode(errors="replace")[:4000])
        os._exit(status)
    os.close(write_end)
    deadline = time.monotonic() + WALL_SECONDS
    ended, raw = os.waitpid(child, os.WNOHANG)
    while not ended and time.monotonic() < deadline:
        time.sleep(0.002)
        ended, raw = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, signal.SIGKILL)
        _, raw = os.waitpid(child, 0)
    told = os.read(read_end, 4000).decode()
    os.close(read_end)
    status = os.waitstatus_to_exitcode(raw)
    return status, told or ("no answer" if ended else f"hung for {WALL_SECONDS:.0f} s") + f" (status {status})"


def _seen(folder: Path, but: Path | None = None) -> list[tuple[str, int, int]]:
    """Every name below a folder, with its size and time of change, links not followed; not what lies below ``but``."""
    found = []
    for place, folders, files in os.walk(folder):
        if but is not None and Path(place) == folder:
            folders.remove(but.name)
        for name in (*folders, *files):
            state = os.lstat(os.path.join(place, name))
            found.append((os.path.relpath(os.path.join(place, name), folder), state.st_size, state.st_mtime_ns))
    return sorted(found)
