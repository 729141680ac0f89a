"""What did a run ask of the disk, in which order? A trace of the system's calls, whichever module made them.

SQLite writes behind Python's back: what it wrote to a file is noticed at the next call, as one write that nothing
ordered or synced.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

ROOT = 0
IGNORED = "LOCK"  # not data


@dataclass(frozen=True)
class Event:
    """One thing that was asked of the disk. Directories and files are numbered in the order of their making.

    "entry": directory ``place`` calls ``target`` (None: nothing any more) ``name``; "rename": what it called ``old`` it
    calls ``name``. "write": ``content`` at ``offset`` of file ``place``. "sync": all before it that concerns ``place``
    is on the disk. "report": a commit was said to be done.
    """

    kind: Literal["entry", "rename", "write", "sync", "report"]
    place: int = -1
    name: str = ""
    target: int | None = None
    old: str = ""
    offset: int = 0
    content: bytes = b""


@dataclass
class Trace:
    """``directories`` and ``files``: what was there before, by number; numbers of later ones are beyond those."""

    directories: dict[int, dict[str, int]] = field(default_factory=dict)
    files: dict[int, bytes] = field(default_factory=dict)
    made_directories: set[int] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)


@contextmanager
def recorded(root: Path) -> Iterator[tuple[Trace, Callable[[], None]]]:
    """Within, all changes below ``root`` are recorded; gives the trace and what notes a report in it."""
    recorder = _Recorder(root)
    with ExitStack() as stack:
        for name in ("open", "write", "pwrite", "fsync", "link", "rename", "replace", "unlink", "mkdir", "rmdir"):
            stack.enter_context(patch.object(os, name, recorder.watching(name, getattr(os, name))))
        yield recorder.trace, lambda: recorder.note(Event("report"))
    recorder.look_at_files()


class _Recorder:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.trace = Trace()
        self._numbers: dict[int, int] = {}  # by the system's inode number
        self._known: dict[int, bytearray] = {}
        self._paths: dict[int, Path] = {}  # of files made here, for looking at what a library wrote
        self._enter(root)

    def _enter(self, path: Path) -> int:
        number = self._number_of(path, new=True)
        if path.is_dir():
            self.trace.directories[number] = {}
            for child in sorted(path.iterdir()):
                if child.name != IGNORED:
                    self.trace.directories[number][child.name] = self._enter(child)
        else:
            self.trace.files[number] = path.read_bytes()
        return number

    def _number_of(self, path: Path | int, new: bool = False) -> int:
        inode = (os.fstat(path) if isinstance(path, int) else os.lstat(path)).st_ino
        if new and inode not in self._numbers:
            self._numbers[inode] = len(self._numbers)
        return self._numbers[inode]

    def _fresh(self, path: Path) -> int:
        inode = os.lstat(path).st_ino
        self._numbers.pop(inode, None)
        self._numbers[inode] = number = 1 + max(self._numbers.values(), default=-1, key=int) if self._numbers else 0
        return number

    def note(self, event: Event) -> None:
        self.look_at_files()
        self.trace.events.append(event)

    def look_at_files(self) -> None:
        """Note as a write what a library wrote to a file of ours."""
        for number, path in list(self._paths.items()):
            try:
                if os.lstat(path).st_size == len(self._known[number]):
                    continue
                content = path.read_bytes()
            except FileNotFoundError:
                del self._paths[number]
                continue
            page = 4096
            for start in range(0, len(content), page):
                self.trace.events.append(Event("write", number, offset=start, content=content[start : start + page]))
            self._known[number] = bytearray(content)

    def watching(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        handler = getattr(self, f"_{name}")

        def run(*arguments: Any, **more: Any) -> Any:
            return handler(function, *arguments, **more)

        return run

    def _ours(self, path: Any) -> Path | None:
        if isinstance(path, int):
            return None
        found = Path(os.path.abspath(os.fsdecode(path)))
        return found if self.root in found.parents and found.name != IGNORED else None

    def _entry(self, path: Path, target: int | None) -> None:
        self.note(Event("entry", self._number_of(path.parent), path.name, target))

    def _open(self, function: Callable[..., int], path: Any, flags: int, *rest: Any, **more: Any) -> int:
        ours = self._ours(path) if more.get("dir_fd") is None else None
        is_new = ours is not None and bool(flags & os.O_CREAT) and not os.path.lexists(ours)
        fd = function(path, flags, *rest, **more)
        if ours is not None and is_new:
            number = self._fresh(ours)
            self._entry(ours, number)
            self._known[number], self._paths[number] = bytearray(), ours
        elif ours is not None and flags & os.O_TRUNC:
            number = self._number_of(fd)
            self._known.setdefault(number, bytearray())
            self._known[number][:] = b""
            self.note(Event("write", number, name="truncate"))
        return fd

    def _write(self, function: Callable[..., int], fd: int, content: Any) -> int:
        return self._written(function, fd, content, os.lseek(fd, 0, os.SEEK_CUR) if _is_file(fd) else 0)

    def _pwrite(self, function: Callable[..., int], fd: int, content: Any, offset: int) -> int:
        return self._written(function, fd, content, offset, offset)

    def _written(self, function: Callable[..., int], fd: int, content: Any, at: int, *offset: int) -> int:
        n_written = function(fd, content, *offset)
        number = self._numbers.get(os.fstat(fd).st_ino)
        if number is not None and number in self._known:
            whole = self._known[number]
            piece = bytes(content[:n_written])
            whole[at : at + n_written] = piece
            self.note(Event("write", number, offset=at, content=piece))
        return n_written

    def _fsync(self, function: Callable[..., None], fd: int) -> None:
        self.look_at_files()
        function(fd)
        number = self._numbers.get(os.fstat(fd).st_ino)
        if number is not None:
            self.note(Event("sync", number))

    def _link(self, function: Callable[..., None], source: Any, target: Any, **more: Any) -> None:
        function(source, target, **more)
        if (ours := self._ours(target)) is not None:
            self._entry(ours, self._number_of(ours))

    def _rename(self, function: Callable[..., None], source: Any, target: Any, **more: Any) -> None:
        function(source, target, **more)
        ours, old = self._ours(target), self._ours(source)
        if ours is not None and old is not None:
            number = self._number_of(ours)
            self.note(Event("rename", self._number_of(ours.parent), ours.name, number, old.name))

    _replace = _rename

    def _unlink(self, function: Callable[..., None], path: Any, **more: Any) -> None:
        function(path, **more)
        if (ours := self._ours(path)) is not None:
            self._entry(ours, None)

    def _mkdir(self, function: Callable[..., None], path: Any, *rest: Any, **more: Any) -> None:
        function(path, *rest, **more)
        if (ours := self._ours(path)) is not None:
            number = self._fresh(ours)
            self.trace.made_directories.add(number)
            self._entry(ours, number)

    _rmdir = _unlink


def _is_file(fd: int) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)
