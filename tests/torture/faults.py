"""Does a writer stand any fault of any call? Each call of the disk is killed, failed or cut short, each in its turn."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from typing import Any

from parts.interruptions import stepping
from parts.tiny_store import Tiny
from torture.operations import OPERATIONS, origin_of, steps_allowed
from torture.pool import Crash, Pool, sample, scratch
from torture.report import Result
from torture.variants import broken

from deformer_qa.store import StoreError, Writer, open_snapshot, verify

WRITES = ("write_once", "write_lock_note")
ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC, "eintr": errno.EINTR}
KINDS = (
    *("killed before", "killed after", "killed halfway"),
    *("eio", "eio after", "enospc", "enospc halfway", "eintr", "short"),
    *("interrupted before", "interrupted after"),
)


def fits(kind: str, step: str) -> bool:
    """Whether this can happen to this call. A lock's note and room for it are nobody's promise, but may not hurt."""
    return step == "write_once" if kind == "short" else step in WRITES if kind.endswith("halfway") else True


def run(pool: Pool, seed: int, n: int, case: str | None = None, variant: str = "") -> Result:
    """n of all faults (all where there are fewer); a case is "operation/call/kind"."""
    if case is None:
        calls = {name: pool.run(calls_of, [(name, variant)])[0] for name in OPERATIONS}
        crashed = {name: [made] for name, made in calls.items() if isinstance(made, Crash)}
        cases = [
            f"{name}/{number}/{kind}"
            for name, made in calls.items()
            if not isinstance(made, Crash)
            for number, step in enumerate(made, 1)
            for kind in KINDS
            if fits(kind, step)
        ]
        facts: dict[str, Any] = {"calls": {name: len(made) for name, made in calls.items() if name not in crashed}}
        facts["all faults"] = len(cases)
        cases = sample(cases, n, seed)
    else:
        cases, facts, crashed = [case], {}, {}
    found = pool.run(inject, [(one, variant) for one in cases])
    problems = {c: [p] if isinstance(p, Crash) else p for c, p in zip(cases, found, strict=True)}
    return Result("faults", len(cases), {**crashed, **{case: one for case, one in problems.items() if one}}, facts)


def calls_of(name: str, variant: str) -> list[str]:
    """The steps of the disk that an operation calls, in order."""
    origin = origin_of(name)
    store = origin.copy(scratch("counting"))
    calls: list[str] = []

    def note(step: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        calls.append(step)
        return function(*arguments)

    with broken(variant), stepping(note):
        origin.operation.act(store)
    return calls


def inject(case: str, variant: str) -> list[str]:
    """One fault; what is wrong after it."""
    name, number, kind = case.split("/")
    origin = origin_of(name)
    store = origin.copy(scratch("faulted"))
    reports = scratch("reports")

    def report() -> None:
        with reports.open("ab") as file:  # a kill does not take it back
            file.write(b".")

    def act_with_fault() -> BaseException | None:
        try:
            with broken(variant), stepping(Fault(kind, int(number))):
                origin.operation.act(store, report)
        except (StoreError, KeyboardInterrupt) as error:
            return error
        return None

    error: BaseException | None
    if kind.startswith("killed"):
        status, trace = Tiny().in_child(act_with_fault)
        if status != -signal.SIGKILL:
            return [f"expected a killed process, found status {status}: {trace}"]
        error = SystemExit()
    else:
        try:
            error = act_with_fault()
        except OSError as raised:
            return [f"an error that is not the store's own: {raised!r}"]
    n_reported = reports.stat().st_size if reports.exists() else 0
    if kind == "short" and error is not None:
        return [f"a short write is no error, found {error}"]
    n_steps = len(origin.said) - 1
    allowed = steps_allowed(error, n_reported, n_steps)
    return [f"{problem} (after {error!r})" for problem in origin.judge(store, *allowed, n_reported == n_steps)]


class Fault:
    """What happens to one call; all others are as ever."""

    def __init__(self, kind: str, at: int) -> None:
        self.kind, self.at = kind, at
        self.n_calls = 0

    def __call__(self, step: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        self.n_calls += 1
        if self.n_calls != self.at:
            return function(*arguments)
        if self.kind.endswith("after"):
            result = function(*arguments)
            if step in ("create_file", "open_lock") and self.kind != "killed after":
                os.close(result)
        elif self.kind.endswith("halfway") or self.kind == "short":
            fd, content = arguments
            half = os.write(fd, bytes(content)[: max(1, len(content) // 2)])
            if self.kind == "short":
                return half
        if self.kind.startswith("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind.startswith("interrupted"):
            raise KeyboardInterrupt
        number = ERRORS[self.kind.split()[0]]
        raise OSError(number, os.strerror(number), "somewhere")


def commit_under_signals(n_commits: int) -> tuple[int, list[str]]:
    """Commits while a timer's signal arrives every half millisecond: how many came, and what is wrong."""
    store = scratch("signals") / ".qa"
    n_signals = 0

    def count(number: int, frame: object) -> None:
        nonlocal n_signals
        n_signals += 1

    before = signal.signal(signal.SIGALRM, count)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        with Writer.open(store, Tiny.encoder) as writer:
            for number in range(n_commits):
                Tiny().put(writer, f"{number}.txt", f"Number {number} stands here")
                writer.commit()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with open_snapshot(store) as snapshot:
        problems = [] if snapshot.n_documents == n_commits else [f"found {snapshot.n_documents} documents"]
    problems += [f"verify names {damage.file}" for damage in verify(store)]
    shutil.rmtree(store.parent)
    return n_signals, problems
