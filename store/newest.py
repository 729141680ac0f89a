"""Opens the newest undamaged generation, and refreshes a long-lived reader when a newer one is committed."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

from deformer_qa.store import names
from deformer_qa.store.errors import EncoderMismatch, StoreDamaged, StoreMissing, reading_refused
from deformer_qa.store.generations import find_head, list_generations
from deformer_qa.store.snapshot import Snapshot

OPEN_ATTEMPTS = 20


def open_snapshot(path: Path, *, encoder_id: str | None = None, reuse: Snapshot | None = None) -> Snapshot:
    """Open the newest undamaged generation of the store at ``path`` for reading. Writes nothing.

    If the head manifest is damaged, its parent answers, and ``Snapshot.notice`` says so.

    :param reuse: an older generation, whose open files are shared.
    :raises StoreMissing: if there is no store.
    :raises EncoderMismatch: if it was built with another encoder than ``encoder_id``.
    :raises StoreFormat, StoreDamaged, StoreAccess: if it cannot be used.
    """
    path = Path(path)
    for _ in range(OPEN_ATTEMPTS - 1):
        newest = list_generations(path)[0]
        try:
            snapshot = _open_head(path, encoder_id, reuse)
            if snapshot.index_problem is None or list_generations(path)[0] == newest:
                return snapshot
        except (OSError, sqlite3.Error, StoreDamaged):  # perhaps a writer collected it meanwhile
            if list_generations(path)[0] == newest:
                break
    try:
        return _open_head(path, encoder_id, reuse)
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, OSError) and (refused := reading_refused(path, error)):
            raise refused from error
        raise StoreDamaged(str(path), f"cannot be opened ({error})") from error


def _open_head(path: Path, encoder_id: str | None, reuse: Snapshot | None) -> Snapshot:
    head = find_head(path)
    if encoder_id is not None and head.manifest.encoder.encoder_id != encoder_id:
        raise EncoderMismatch(path, "encoder", head.manifest.encoder.encoder_id, encoder_id)
    return Snapshot(path, head.manifest, head.notice, reuse)


class NewestSnapshot:
    """Gives the newest generation. Thread-safe; a generation handed out stays open while it is referenced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._seen: tuple[int, ...] = ()

    def get(self) -> Snapshot:
        """The newest undamaged generation.

        :raises StoreMissing: if there is no store.
        :raises StoreError: if it cannot be used.
        """
        with self._lock:
            try:
                seen = self._look()
            except StoreMissing:
                self._snapshot = None
                raise
            if self._snapshot is None or seen != self._seen:
                # Not if the number did not rise: then the store was restored, and its files may have been repaired.
                older = self._snapshot if seen[:1] > self._seen[:1] else None
                self._snapshot, self._seen = open_snapshot(self.path, reuse=older), seen
            return self._snapshot

    def _look(self) -> tuple[int, ...]:
        """Identify the newest generation, so that a store replaced on disk is not mistaken for the old one."""
        newest = list_generations(self.path)[0]
        try:
            found = os.stat(self.path / names.manifest_name(newest))
        except OSError:  # missing or inaccessible: opening reports it
            return (newest,)
        return newest, found.st_dev, found.st_ino, found.st_mtime_ns

    def close(self) -> None:
        """Drop the generation; the next ``get`` opens it again."""
        with self._lock:
            self._snapshot = None
