"""Lets one process at a time write, by an advisory lock that the system releases when the process dies."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from deformer_qa.store import disk, names
from deformer_qa.store.errors import StoreAccess, StoreLocked, writing_refused

_of_paths: dict[str, threading.Lock] = {}


def waiting_lock(store: Path) -> threading.Lock:
    """A lock per store within this process, for threads that wait for each other instead of being refused."""
    return _of_paths.setdefault(os.path.realpath(store), threading.Lock())


class WriterLock:
    """The lock of a store, held from construction to ``release``.

    A forked child would keep it after its parent's death: spawn workers, do not fork them.

    :raises StoreLocked: at once, if another process holds it.
    :raises StoreAccess: if the folder cannot be written.
    """

    def __init__(self, store: Path) -> None:
        path = store / names.LOCK
        try:
            self._fd = disk.open_lock(path)
        except OSError as error:
            problem = f"no permission to write the store ({error.strerror})"
            raise writing_refused(store, path, error) or StoreAccess(path, problem) from error
        try:
            self._take(store, path)
        except BaseException:
            os.close(self._fd)
            raise

    def release(self) -> None:
        """Release the lock; the file stays."""
        os.close(self._fd)

    def _take(self, store: Path, path: Path) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise StoreLocked(store, *self._read_note()) from None
            raise StoreAccess(path, f"this file system grants no lock ({error.strerror})") from error
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        note = {"pid": os.getpid(), "host": socket.gethostname(), "started": started}
        with suppress(OSError):  # a full disk must not keep a writer from removing documents
            disk.write_lock_note(self._fd, json.dumps(note).encode())

    def _read_note(self) -> tuple[int | None, str, str]:
        """The holder of the lock; anybody may have written the note, so it is not trusted."""
        try:
            note = json.loads(os.pread(self._fd, 4096, 0))
            pid, host, started = note["pid"], note["host"], note["started"]
        except (ValueError, KeyError, TypeError):
            return None, "", ""
        if not (isinstance(pid, int) and isinstance(host, str) and isinstance(started, str)):
            return None, "", ""
        return pid, "".join(filter(str.isprintable, host)), "".join(filter(str.isprintable, started))
