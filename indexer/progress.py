"""How far is a sync? Counts files, bytes and passages, and tells of each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from deformer_qa.indexer.events import (
    Committed,
    Event,
    FileCounts,
    FileDone,
    Found,
    Noted,
    Outcome,
    PassagesEncoded,
    RecordSkipped,
    Skipped,
)
from deformer_qa.indexer.formats.parsed import Kind


class Progress:
    """The tally of one sync; every change of it is an event.

    :ivar n_encoded: passages that passed the encoder
    :ivar n_commits: generations committed
    :ivar skipped: files and records left out, in the order met
    :ivar ignored: files and folders that are not wanted
    :ivar notes: what of files that are indexed is not in the index
    """

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._counts: Counter[str] = Counter()
        self._n_bytes_before = 0  # of the files done with
        self._n_bytes_here = 0  # of the file at work
        self._share = 0.0  # of that file
        self.n_encoded = 0
        self.n_commits = 0
        self.skipped: list[Skipped] = []
        self.ignored: list[Skipped] = []
        self.notes: list[Noted] = []

    @property
    def counts(self) -> FileCounts:
        """Files by outcome so far."""
        return FileCounts(**self._counts)

    @property
    def n_bytes_done(self) -> int:
        """Of the new and changed files, the file at work counted in part."""
        return self._n_bytes_before + int(self._share * self._n_bytes_here)

    def found(self, n_files: int, n_bytes: int) -> None:
        """The plan is made."""
        self._on_event(Found(n_files, n_bytes))

    def start_file(self, n_bytes: int) -> None:
        """A new or changed file is taken up."""
        self._n_bytes_here, self._share = n_bytes, 0.0

    def reach(self, share: float) -> None:
        """So much of the file at work, 0 to 1, is done."""
        self._share = share

    def encoded(self, n_passages: int) -> None:
        """Passages passed the encoder."""
        self.n_encoded += n_passages
        self._on_event(PassagesEncoded(n_passages, self.n_bytes_done))

    def file_done(self, path: str, outcome: Outcome, reason: str = "", kind: Kind = "damaged") -> None:
        """A file is done with, taken up before or not.

        :param reason: why it was skipped or ignored; of this ``kind``.
        """
        self._n_bytes_before += self._n_bytes_here
        self._n_bytes_here, self._share = 0, 0.0
        self._counts[outcome] += 1
        if outcome in ("skipped", "ignored"):
            (self.skipped if outcome == "skipped" else self.ignored).append(Skipped(path, reason, kind))
        self._on_event(FileDone(path, outcome, reason, kind if reason else None, self.n_bytes_done))

    def record_skipped(self, path: str, reason: str, kind: Kind) -> None:
        """A record of the file at work gives no document."""
        self.skipped.append(Skipped(path, reason, kind))
        self._on_event(RecordSkipped(path, reason))

    def noted(self, path: str, note: str) -> None:
        """Something of the file at work is not in the index."""
        self.notes.append(Noted(path, note))
        self._on_event(self.notes[-1])

    def committed(self, generation: int) -> None:
        """What was done so far is safe."""
        self.n_commits += 1
        self._on_event(Committed(generation, self.n_encoded, self.n_bytes_done))
