"""The newest generation of a store for somebody who stays: opened once, and what is new of a newer one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from deformer_qa.store import names
from deformer_qa.store.errors import StoreMissing
from deformer_qa.store.generations import list_generations
from deformer_qa.store.snapshot import Snapshot, open_snapshot


class NewestSnapshot:
    """Safe to use from several threads. A generation that was handed out stays open for as long as it is held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._seen: tuple[int, ...] = ()

    def get(self) -> Snapshot:
        """The newest whole generation.

        :raises StoreMissing: where there is no store.
        :raises StoreError: where it cannot be used.
        """
        with self._lock:
            try:
                seen = self._look()
            except StoreMissing:
                self._snapshot = None
                raise
            if self._snapshot is None or seen != self._seen:
                # Not where the number did not rise: then it is a store put back, whose files may have been mended.
                older = self._snapshot if seen[:1] > self._seen[:1] else None
                self._snapshot, self._seen = open_snapshot(self.path, reuse=older), seen
            return self._snapshot

    def _look(self) -> tuple[int, ...]:
        """What tells the newest generation from every other, also of a store that was put in the place of this one."""
        newest = list_generations(self.path)[0]
        try:
            found = os.stat(self.path / names.manifest_name(newest))
        except OSError:  # gone, or not to be looked at: opening says so
            return (newest,)
        return newest, found.st_dev, found.st_ino, found.st_mtime_ns

    def close(self) -> None:
        """Let go of it; the next ``get`` opens it again."""
        with self._lock:
            self._snapshot = None
