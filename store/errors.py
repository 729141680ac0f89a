"""Errors of the store: one base class, one subclass per case that a caller would handle differently.

Every message is one complete line (where, found, expected, what to do); the command line prints it unchanged.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

HOW_TO_LIST_DAMAGE = 'Run "qa verify" to list every damaged file, "qa verify --repair" to make the store whole again.'


class StoreError(Exception):
    """Base of everything that this package raises on purpose."""


class StoreMissing(StoreError):
    """There is no committed generation at ``path``."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f'{path}: {problem}. Run "qa index PATH..." to build a store.')
        self.path = path


class StoreDamaged(StoreError):
    """``file`` (relative to the store) does not have the bytes that were committed."""

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(f"{file}: {problem}. {HOW_TO_LIST_DAMAGE}")
        self.file = file
        self.problem = problem


class StoreFormat(StoreError):
    """The store was written by a version whose format this one does not read."""

    def __init__(self, file: str, found: str, expected: str, advice: str) -> None:
        super().__init__(f"{file}: found {found}, expected {expected}. {advice}")
        self.file = file
        self.found = found
        self.expected = expected


class EncoderMismatch(StoreError):
    """The store holds states of another encoder (or another encoding of them) than the one asked for."""

    def __init__(self, path: Path, what: str, found: str, expected: str) -> None:
        told = f"another encoder ({found}, asked for with {expected})"
        if what != "encoder":
            told = f"{what} {found}, asked for with {expected}"
        super().__init__(
            f"{path}: built with {told}: index again into a new folder, or use the reader that it was built with."
        )
        self.path = path
        self.found = found
        self.expected = expected


class StoreLocked(StoreError):
    """Another process is writing; ``pid`` is None where the lock's note could not be read."""

    def __init__(self, path: Path, pid: int | None, host: str, started: str) -> None:
        who = f"process {pid} on {host}, started {started}," if pid is not None else "another process"
        super().__init__(f"{path}: {who} is writing to this store. Wait for it to end, then run again.")
        self.path = path
        self.pid = pid
        self.host = host
        self.started = started


class StoreAccess(StoreError):
    """The operating system does not let us read or write ``path``."""

    def __init__(self, path: Path, problem: str, advice: str = "Check the permissions of the store's folder.") -> None:
        super().__init__(f"{path}: {problem}. {advice}")
        self.path = path


class StoreFull(StoreError):
    """There is no room for a commit; earlier commits stay."""

    def __init__(self, path: Path, needed: int | None, free: int | None) -> None:
        found = f"the commit needs {needed:,} bytes, {free:,} are free" if needed is not None else "the disk is full"
        super().__init__(f"{path}: {found}. The index is as it was; make room and run again.")
        self.path = path
        self.needed = needed
        self.free = free


class CommitFailed(StoreError):
    """A commit stopped before its commit point: the previous generation stands, this writer is unusable."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: the commit failed ({problem}). The index is as it was; run again.")
        self.path = path


class CommitUncertain(StoreError):
    """An error after the commit point: generation ``generation`` may or may not survive a power cut."""

    def __init__(self, path: Path, generation: int, problem: str) -> None:
        super().__init__(
            f"{path}: generation {generation} was written, but an error followed ({problem}), "
            "so it is not certain to survive a power cut. Run again: what is there is kept."
        )
        self.path = path
        self.generation = generation


class NotErased(StoreError):
    """Generation ``generation`` is compacted, but files older than it could not be removed."""

    def __init__(self, path: Path, generation: int, problem: str) -> None:
        super().__init__(
            f"{path}: generation {generation} is compacted, but what is older could not be removed ({problem}), "
            'so removed texts may still be in it. Run "qa compact" again.'
        )
        self.path = path
        self.generation = generation


class NothingBefore(StoreError):
    """There is no generation to go back to; the index is unchanged."""

    def __init__(self, path: Path, generation: int, reason: str) -> None:
        super().__init__(f"{path}: cannot go back from generation {generation}: {reason}. The index is as it was.")
        self.path = path
        self.generation = generation
        self.reason = reason


class FolderTaken(StoreError):
    """The folder to make exists already and is not empty."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: expected no folder or an empty one for {what}, found files. Name another folder.")
        self.path = path


class InvalidExport(StoreError):
    """A folder is no export, or an incomplete one; nothing was imported."""

    def __init__(self, path: Path, where: str, problem: str) -> None:
        super().__init__(f"{path / where}: {problem}. Nothing was imported.")
        self.path = path
        self.problem = problem


class InvalidRecord(StoreError, ValueError):
    """A value given to the writer breaks a rule of the store; nothing was stored."""


class MissingRows(StoreError):
    """Passages refer to keys for which no row was ever added; nothing was committed."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__(
            f"{len(keys)} passages have no vector and states in the store (first key {keys[0].hex()}). "
            "Call add_row for every key before commit."
        )
        self.keys = tuple(keys)


class PassageNotFound(StoreError, KeyError):
    """No live passage has this id."""

    def __init__(self, passage_id: int) -> None:
        super().__init__(f"passage {passage_id}: not in this generation of the store.")
        self.passage_id = passage_id

    __str__ = Exception.__str__


class DocumentNotFound(StoreError, KeyError):
    """No live document has this id."""

    def __init__(self, document_id: int) -> None:
        super().__init__(f"document {document_id}: not in this generation of the store.")
        self.document_id = document_id

    __str__ = Exception.__str__


_NO_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_TOO_LITTLE = {
    errno.EMFILE: ("too many open files", "Raise the limit (ulimit -n)."),
    errno.EFBIG: ("the limit on a file's size is reached", "Raise it (ulimit -f)."),
    errno.ENFILE: ("too many open files on this machine", "Wait, then run again."),
    errno.ENOMEM: ("not enough memory", "Raise the limit (ulimit -v), or run again with more."),
}


def reading_refused(path: Path, error: OSError) -> StoreAccess | None:
    """The error to raise if a part of the store could not be read; None if the file itself is at fault."""
    if error.errno in _NO_RIGHTS:
        return StoreAccess(path, "no permission to read the store")
    if error.errno in _TOO_LITTLE:
        return StoreAccess(path, *_TOO_LITTLE[error.errno])
    return None


def writing_refused(store: Path, path: Path, error: OSError) -> StoreError | None:
    """The error to raise if a part of the store could not be written; None for any other error."""
    if error.errno in _NO_ROOM:
        return StoreFull(store, None, None)
    if error.errno in _NO_RIGHTS:
        return StoreAccess(path, f"no permission to write the store ({error.strerror})")
    if error.errno in _TOO_LITTLE:
        return StoreAccess(path, *_TOO_LITTLE[error.errno])
    return None
