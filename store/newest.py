"""The newest generation of a store for somebody who stays: opened once, and again when there is a newer one."""

from __future__ import annotations

import threading
from pathlib import Path

from deformer_qa.store.generations import list_generations
from deformer_qa.store.snapshot import Snapshot, open_snapshot


class NewestSnapshot:
    """Safe to use from several threads. A generation that was handed out stays open for as long as it is held."""

    def __init__(self, path: Path, encoder_id: str | None = None) -> None:
        """:param encoder_id: where it is given, a store of another encoder is refused."""
        self.path, self._encoder_id = path, encoder_id
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._newest = 0

    def get(self) -> Snapshot:
        """The newest whole generation.

        :raises StoreMissing: where there is no store.
        :raises StoreError: where it cannot be used.
        """
        with self._lock:
            newest = list_generations(self.path)[0]
            if self._snapshot is None or newest != self._newest:
                self._snapshot, self._newest = open_snapshot(self.path, encoder_id=self._encoder_id), newest
            return self._snapshot

    def close(self) -> None:
        """Let go of it; the next ``get`` opens it again."""
        with self._lock:
            self._snapshot = None
