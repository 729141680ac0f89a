"""Everything that changes the disk: each step that can fail or be killed is a function here; no other module writes.

Tests inject a fault at the i-th call of ``STEPS``, so functions look each other up in the module when called.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

PIECE_BYTES = 8 << 20  # written and hashed at once, so that the hash reads from the processor's cache

STEPS = (
    "make_directory",
    "create_file",
    "write_once",
    "sync_file",
    "sync_directory",
    "link_file",
    "rename_file",
    "remove_file",
    "remove_directory",
    "open_lock",
    "write_lock_note",
)


@dataclass(frozen=True)
class FileSum:
    """Size and checksum of one committed file, as the manifest records them."""

    n_bytes: int
    xxh3_128: str


def make_directory(path: Path) -> None:
    """Make one directory; it must not exist."""
    os.mkdir(path)


def create_file(path: Path) -> int:
    """Create a file and return its descriptor; it must not exist, and links are not followed."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def write_once(fd: int, piece: memoryview) -> int:
    """Write as much of ``piece`` as the system takes; returns the number of bytes."""
    return os.write(fd, piece)


def sync_file(fd: int) -> None:
    """Wait until a file's bytes are on the disk; an error is final, because its pages may be lost."""
    os.fsync(fd)


def sync_directory(path: Path) -> None:
    """Wait until a directory's entries are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name; fails if the name is taken. This is the one atomic act of a commit."""
    os.link(source, target, follow_symlinks=False)


def rename_file(source: Path, target: Path) -> None:
    """Rename a file or folder, to set a damaged manifest aside or to complete an export."""
    os.rename(source, target)


def remove_file(path: Path) -> None:
    """Remove one name; a missing one is no error, so that collecting can be repeated."""
    path.unlink(missing_ok=True)


def remove_directory(path: Path) -> None:
    """Remove one empty directory."""
    os.rmdir(path)


def open_lock(path: Path) -> int:
    """Open the lock file, which is created if missing and never removed."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def write_lock_note(fd: int, note: bytes) -> None:
    """Replace the content of the lock file, which only serves for messages."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, note, 0)


class NewFile:
    """A file being written, and hashed on the way; ``finish`` syncs it and returns its size and checksum."""

    def __init__(self, path: Path) -> None:
        self._fd = create_file(path)
        self._hash = xxhash.xxh3_128()
        self._n_bytes = 0

    def write(self, content: bytes | memoryview | NDArray[Any]) -> None:
        """Append bytes, or an array's content in its memory layout."""
        if isinstance(content, np.ndarray):
            content = np.ascontiguousarray(content).reshape(-1).view(np.uint8).data
        view = memoryview(content)
        for start in range(0, view.nbytes, PIECE_BYTES):
            piece = view[start : start + PIECE_BYTES]
            self._hash.update(piece)
            self._n_bytes += piece.nbytes
            while piece.nbytes:
                piece = piece[write_once(self._fd, piece) :]

    def finish(self) -> FileSum:
        """Sync the file; nothing may be written after."""
        sync_file(self._fd)
        return FileSum(self._n_bytes, self._hash.hexdigest())

    def close(self) -> None:
        """Close the descriptor, finished or not."""
        os.close(self._fd)

    def __enter__(self) -> NewFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_file(path: Path, pieces: Iterable[bytes | memoryview | NDArray[Any]]) -> FileSum:
    """Write, sync and close a new file from its pieces."""
    with NewFile(path) as file:
        for piece in pieces:
            file.write(piece)
        return file.finish()


def adopt_file(path: Path) -> FileSum:
    """Sync a file that a library (SQLite) wrote; returns its size and checksum."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        checksum = hash_descriptor(fd)
        sync_file(fd)
    finally:
        os.close(fd)
    return checksum


def hash_descriptor(fd: int) -> FileSum:
    """Size and checksum of an open file, read from its beginning."""
    hasher = xxhash.xxh3_128()
    buffer = memoryview(bytearray(min(PIECE_BYTES, os.fstat(fd).st_size + 1)))
    offset = 0
    while n_read := os.preadv(fd, [buffer], offset):
        hasher.update(buffer[:n_read])
        offset += n_read
    return FileSum(offset, hasher.hexdigest())


def create_empty_file(path: Path) -> None:
    """Create an empty file for a library to fill (SQLite opens it by name)."""
    os.close(create_file(path))


def free_bytes(path: Path) -> int:
    """The number of bytes that an unprivileged process may still write beside ``path``."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize
