"""What a sync tells while it runs: its events, its report, and the count of files, bytes and passages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from deformer_qa.indexer.formats.parsed import Kind

Outcome = Literal["added", "updated", "moved", "removed", "unchanged", "skipped", "ignored"]


@dataclass(frozen=True)
class Found:
    """The plan is made.

    :ivar n_files: files in the synced paths, those that will be skipped included
    :ivar n_bytes: of the new and changed ones: the length of the progress bar
    """

    n_files: int
    n_bytes: int


@dataclass(frozen=True)
class PassagesEncoded:
    """Some passages passed the encoder.

    :ivar n_passages: since the last event of this kind
    :ivar n_bytes_done: of ``Found.n_bytes``, the file at work counted in part
    """

    n_passages: int
    n_bytes_done: int


@dataclass(frozen=True)
class FileDone:
    """One file is done with; each file found gives one, and each file that vanished.

    :ivar path: absolute
    :ivar reason: why it was skipped or ignored, else ''
    :ivar kind: of the reason, None where there is none
    """

    path: str
    outcome: Outcome
    reason: str
    kind: Kind | None
    n_bytes_done: int


@dataclass(frozen=True)
class RecordSkipped:
    """A record of a file that gives no document; the rest of the file is not concerned.

    :ivar path: absolute, with the record: '/corpus/notes.jsonl#3'
    """

    path: str
    reason: str


@dataclass(frozen=True)
class Committed:
    """What was done so far is safe from now on.

    :ivar n_passages_encoded: since the sync began
    """

    generation: int
    n_passages_encoded: int
    n_bytes_done: int


@dataclass(frozen=True)
class Noted:
    """Something of a file that was indexed is not in the index, and should be.

    :ivar path: absolute
    """

    path: str
    note: str


Event = Found | PassagesEncoded | FileDone | RecordSkipped | Noted | Committed


@dataclass(frozen=True)
class Skipped:
    """A file, a folder that could not be listed, or a record, that is not in the index, and why."""

    path: str
    reason: str
    kind: Kind


@dataclass(frozen=True)
class FileCounts:
    """Files by outcome; all but ``removed`` sum up to the files found.

    :ivar ignored: files, and folders with all in them, that the user does not want
    """

    added: int = 0
    updated: int = 0
    moved: int = 0
    removed: int = 0
    unchanged: int = 0
    skipped: int = 0
    ignored: int = 0


@dataclass(frozen=True)
class SyncReport:
    """What a sync did.

    :ivar generation: of the store after it; None where there is no store, as there was nothing to put in one
    :ivar n_passages: in the whole store
    :ivar n_documents: in the whole store
    :ivar n_passages_encoded: by this sync
    :ivar skipped: files and records, in the order met
    :ivar ignored: what the user does not want, by a pattern
    :ivar notes: of files that are indexed
    :ivar empty: the synced paths in which there is nothing to index
    :ivar committed: whether this sync changed what the store answers
    """

    generation: int | None
    files: FileCounts
    n_documents: int
    n_passages: int
    n_passages_encoded: int
    skipped: tuple[Skipped, ...]
    ignored: tuple[Skipped, ...]
    notes: tuple[Noted, ...]
    empty: tuple[str, ...]
    committed: bool


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
