"""Events and report of a sync, and its running count of files, bytes and passages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from deformer_qa.indexer.formats.parsed import Kind

Outcome = Literal["added", "updated", "moved", "removed", "unchanged", "skipped", "ignored"]


@dataclass(frozen=True)
class Found:
    """The sync has its plan.

    :ivar n_files: files in the synced paths, including those that will be skipped
    :ivar n_bytes: bytes of the new and changed files: the length of the progress bar
    """

    n_files: int
    n_bytes: int


@dataclass(frozen=True)
class PassagesEncoded:
    """Some passages were encoded.

    :ivar n_passages: since the last event of this kind
    :ivar n_bytes_done: of ``Found.n_bytes``; the current file counts in part
    """

    n_passages: int
    n_bytes_done: int


@dataclass(frozen=True)
class FileDone:
    """One file is finished; there is one event for each file found and each file that vanished.

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
    """A record of a file gave no document; the rest of the file is not affected.

    :ivar path: absolute, with the record: '/corpus/notes.jsonl#3'
    """

    path: str
    reason: str


@dataclass(frozen=True)
class Committed:
    """Everything done so far is committed.

    :ivar n_passages_encoded: since the sync began
    """

    generation: int
    n_passages_encoded: int
    n_bytes_done: int


@dataclass(frozen=True)
class Noted:
    """A file was indexed, but part of it could not be read.

    :ivar path: absolute
    """

    path: str
    note: str


Event = Found | PassagesEncoded | FileDone | RecordSkipped | Noted | Committed


@dataclass(frozen=True)
class Skipped:
    """A file, an unlistable folder or a record that was not indexed, and why."""

    path: str
    reason: str
    kind: Kind


@dataclass(frozen=True)
class FileCounts:
    """The number of files by outcome; all but ``removed`` add up to the files found.

    :ivar ignored: files that a pattern leaves out; a folder counts once
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
    """The result of a sync.

    :ivar generation: of the store afterwards; None if there is no store, because there was nothing to index
    :ivar n_passages: in the whole store
    :ivar n_documents: in the whole store
    :ivar n_passages_encoded: by this sync
    :ivar skipped: files and records, in the order met
    :ivar ignored: files and folders that a pattern leaves out
    :ivar notes: parts of indexed files that could not be read
    :ivar empty: the synced paths without anything to index
    :ivar committed: whether this sync committed a generation
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
    """Counts of one sync; every change sends an event.

    :ivar n_encoded: passages encoded
    :ivar n_commits: generations committed
    :ivar skipped: files and records left out, in the order met
    :ivar ignored: files and folders that a pattern leaves out
    :ivar notes: parts of indexed files that could not be read
    """

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._counts: Counter[str] = Counter()
        self._n_bytes_before = 0  # of the finished files
        self._n_bytes_here = 0  # of the current file
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
        """Bytes done of the new and changed files; the current file counts in part."""
        return self._n_bytes_before + int(self._share * self._n_bytes_here)

    def found(self, n_files: int, n_bytes: int) -> None:
        """Report that the plan is made."""
        self._on_event(Found(n_files, n_bytes))

    def start_file(self, n_bytes: int) -> None:
        """Start on a new or changed file."""
        self._n_bytes_here, self._share = n_bytes, 0.0

    def reach(self, share: float) -> None:
        """Set the share of the current file, 0 to 1, that is done."""
        self._share = share

    def encoded(self, n_passages: int) -> None:
        """Count passages as encoded."""
        self.n_encoded += n_passages
        self._on_event(PassagesEncoded(n_passages, self.n_bytes_done))

    def file_done(self, path: str, outcome: Outcome, reason: str = "", kind: Kind = "damaged") -> None:
        """Count a file as finished, whether it was started or not.

        :param reason: why it was skipped or ignored; ``kind`` is the kind of this reason.
        """
        self._n_bytes_before += self._n_bytes_here
        self._n_bytes_here, self._share = 0, 0.0
        self._counts[outcome] += 1
        if outcome in ("skipped", "ignored"):
            (self.skipped if outcome == "skipped" else self.ignored).append(Skipped(path, reason, kind))
        self._on_event(FileDone(path, outcome, reason, kind if reason else None, self.n_bytes_done))

    def record_skipped(self, path: str, reason: str, kind: Kind) -> None:
        """Report a record of the current file that gives no document."""
        self.skipped.append(Skipped(path, reason, kind))
        self._on_event(RecordSkipped(path, reason))

    def noted(self, path: str, note: str) -> None:
        """Report a part of the current file that is not in the index."""
        self.notes.append(Noted(path, note))
        self._on_event(self.notes[-1])

    def committed(self, generation: int) -> None:
        """Report a commit."""
        self.n_commits += 1
        self._on_event(Committed(generation, self.n_encoded, self.n_bytes_done))
