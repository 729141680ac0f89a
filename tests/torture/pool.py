"""Who works through the cases: spawned processes, so that one that crashes or hangs fails its case and no other."""

from __future__ import annotations

import functools
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

SECONDS_PER_CASE = 120.0
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


def memory_folder() -> str | None:
    """Where thousands of small files cost least, None for the system's usual place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Crash(str):
    """What became of a case whose process died or hung, in one line."""


class Pool:
    """``run`` gives each case to a process that is free; results come in the order of the cases."""

    def __init__(self, jobs: int) -> None:
        os.environ.update(ONE_THREAD)  # every process here is one of several
        self.folder = Path(tempfile.mkdtemp(prefix="torture-", dir=memory_folder()))
        self._jobs = jobs
        self._workers: list[_Worker] = []

    def run(
        self, work: Callable[..., Any], cases: Sequence[tuple[Any, ...]], seconds: float = SECONDS_PER_CASE
    ) -> list[Any]:
        """``work(*case)`` of each case; a ``Crash`` stands for one whose process died, hung or raised."""
        results: list[Any] = [None] * len(cases)
        waiting = list(enumerate(cases))[::-1]
        while len(self._workers) < min(self._jobs, len(cases)):
            self._workers.append(_Worker(self.folder))
        busy: dict[Connection, tuple[_Worker, int, float]] = {}
        free = list(self._workers)
        while waiting or busy:
            while waiting and free:
                worker = free.pop()
                number, case = waiting.pop()
                worker.pipe.send((work, case))
                busy[worker.pipe] = (worker, number, time.monotonic() + seconds)
            wait(list(busy), timeout=1.0)
            for pipe, (worker, number, deadline) in list(busy.items()):
                if pipe.poll():
                    results[number] = worker.result()
                elif time.monotonic() < deadline:
                    continue
                else:
                    results[number] = Crash(f"hung for {seconds:.0f} s")
                del busy[pipe]
                if isinstance(results[number], Crash) and not worker.is_well:
                    worker.end()
                    self._workers[self._workers.index(worker)] = worker = _Worker(self.folder)
                free.append(worker)
        return results

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end()
        shutil.rmtree(self.folder, ignore_errors=True)


class _Worker:
    def __init__(self, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, folder), daemon=True)
        self.process.start()
        self.is_well = False
        other.close()

    def result(self) -> Any:
        try:
            raised, result = self.pipe.recv()
        except EOFError:
            self.is_well = False
            self.process.join()
            return Crash(f"the process died with {_shown(self.process.exitcode)}")
        self.is_well = True
        return Crash(result) if raised else result

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _shown(exit_code: int | None) -> str:
    return signal.Signals(-exit_code).name if exit_code and exit_code < 0 else f"exit code {exit_code}"


def _serve(pipe: Connection, folder: Path) -> None:
    os.environ["TORTURE_FOLDER"] = str(folder)
    while True:
        try:
            work, case = pipe.recv()
        except (EOFError, ConnectionResetError):  # the parent is gone
            return
        try:
            answer = (False, work(*case))
        except Exception:
            answer = (True, traceback.format_exc())
        pipe.send(answer)


@functools.cache
def _own_folder(pid: int) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{pid}-", dir=os.environ.get("TORTURE_FOLDER") or memory_folder()))


def scratch(name: str) -> Path:
    """A path below this process's own folder; whatever was there is gone."""
    path = _own_folder(os.getpid()) / name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        path.unlink()
    return path


def sample(cases: Sequence[Any], n: int, seed: int) -> list[Any]:
    """At most n of the cases, in their order, drawn by the seed."""
    if len(cases) <= n:
        return list(cases)
    return [cases[place] for place in sorted(np.random.default_rng(seed).choice(len(cases), n, replace=False))]
