"""The changes that a writer has gathered and not yet committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store.errors import InvalidRecord
from deformer_qa.store.records import (
    KEY_BYTES,
    DocumentRecord,
    EncoderInfo,
    PassageDraft,
    PassageRecord,
    keyed_input,
    to_json,
)
from deformer_qa.store.segments.block import PendingRow

RECORD_BYTES = 300  # about the memory of a passage without its text


@dataclass(frozen=True)
class PendingDocument:
    """A document to be written, with its passages."""

    record: DocumentRecord
    passages: tuple[PassageRecord, ...]

    @property
    def n_bytes(self) -> int:
        return 4 * len(self.record.text) + RECORD_BYTES * (1 + len(self.passages))


@dataclass(frozen=True)
class Move:
    """A document's new place; fields that are None stay unchanged."""

    root: str
    path: str
    title: str | None
    source_state: str | None

    def applied(self, record: DocumentRecord) -> DocumentRecord:
        """The document at its new place."""
        return replace(
            record,
            root=self.root,
            path=self.path,
            title=record.title if self.title is None else self.title,
            source_state=record.source_state if self.source_state is None else self.source_state,
        )


@dataclass
class Pending:
    """Everything between two commits."""

    rows: dict[bytes, PendingRow] = field(default_factory=dict)
    documents: dict[int, PendingDocument] = field(default_factory=dict)
    moves: dict[int, Move] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    roots: tuple[str, ...] | None = None
    n_row_bytes: int = 0
    n_document_bytes: int = 0

    @property
    def n_bytes(self) -> int:
        return self.n_row_bytes + self.n_document_bytes

    @property
    def is_empty(self) -> bool:
        return not (self.rows or self.documents or self.moves or self.removed or self.roots is not None)

    def add_row(self, key: bytes, row: PendingRow) -> None:
        """Keep a row; its key is new."""
        self.rows[key] = row
        self.n_row_bytes += row.n_bytes

    def put(self, document: PendingDocument) -> None:
        """Keep a document in place of an earlier version, move or removal of it."""
        self.drop(document.record.id)
        self.documents[document.record.id] = document
        self.n_document_bytes += document.n_bytes

    def move(self, document_id: int, move: Move) -> None:
        """Keep a document's move; fields that it leaves open stay as in an earlier move."""
        pending = self.documents.get(document_id)
        if pending is not None:
            self.put(replace(pending, record=move.applied(pending.record)))
            return
        earlier = self.moves.get(document_id)
        if earlier is not None:
            title = earlier.title if move.title is None else move.title
            source_state = earlier.source_state if move.source_state is None else move.source_state
            move = replace(move, title=title, source_state=source_state)
        self.moves[document_id] = move

    def drop(self, document_id: int) -> None:
        """Drop the pending changes of a document."""
        self.moves.pop(document_id, None)
        self.removed.discard(document_id)
        earlier = self.documents.pop(document_id, None)
        self.n_document_bytes -= earlier.n_bytes if earlier else 0


def check_row(key: bytes, vector: NDArray[np.float32], states: NDArray[np.float32], encoder: EncoderInfo) -> None:
    """Refuse a row whose shapes differ from the encoder's, or whose values are not finite.

    :raises InvalidRecord: naming the row and the rule.
    """
    shapes = (vector.shape, states.shape[1:], states.ndim)
    if shapes != ((encoder.vector_width,), (encoder.hidden_width,), 2) or not len(states):
        raise InvalidRecord(
            f"row {key.hex()}: found a vector of shape {vector.shape} and states of shape {states.shape}, "
            f"expected ({encoder.vector_width},) and (tokens, {encoder.hidden_width})."
        )
    if not (np.isfinite(vector).all() and np.isfinite(states).all()):
        raise InvalidRecord(f"row {key.hex()}: found a value that is not finite, expected numbers.")


def check_document(record: DocumentRecord, passages: Sequence[PassageDraft]) -> None:
    """Refuse a document that would break a rule of the store.

    :raises InvalidRecord: naming the document and the rule.
    """
    where = f"document {record.id} ({record.path})"
    check_place(where, record.root, record.path)
    try:
        for words in (record.title, record.content_hash, record.source_state, record.text):
            words.encode("utf-8")
        to_json([dict(record.meta), [list(entry) for entry in record.outline]]).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRecord(f"{where}: found text that is no valid Unicode ({error.reason}), expected none.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidRecord(f"{where}: its metadata is not json ({error}).") from error
    for offset, _ in record.outline:
        if not 0 <= offset <= len(record.text):
            raise InvalidRecord(f"{where}: found a heading at {offset}, expected 0 to {len(record.text)}.")
    for number, draft in enumerate(passages):
        _check_passage(f"{where}, passage {number}", record.text, draft)


def check_place(where: str, root: str, path: str) -> None:
    """Refuse a root or path that is empty, no valid Unicode, or not a place within the root."""
    try:
        (root + path).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRecord(f"{where}: its root or path is no valid Unicode.") from None
    if not root or not path or path.startswith("/") or ".." in path.split("/"):
        raise InvalidRecord(f"{where}: found root {root!r} and path {path!r}, expected a path relative to a root.")


def _check_passage(where: str, text: str, draft: PassageDraft) -> None:
    if not 0 <= draft.start < draft.end <= len(text):
        raise InvalidRecord(f"{where}: found offsets {draft.start} to {draft.end}, expected 0 to {len(text)}.")
    try:
        draft.heading.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRecord(f"{where}: its heading is no valid Unicode.") from None
    is_own = len(draft.key) == KEY_BYTES and keyed_input(draft.key, draft.heading, text[draft.start : draft.end])
    if not is_own:
        raise InvalidRecord(
            f"{where}: its key is not block_key of the text between its offsets, with its heading or without."
        )
