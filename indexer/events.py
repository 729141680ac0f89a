"""What does a sync tell while it runs? Values for a progress bar, an ndjson log or a report, and a summary."""

from __future__ import annotations

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
