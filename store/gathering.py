"""What is a writer told between commits? Rows and documents, moves and removals, kept in memory until then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import opening
from deformer_qa.store.block_writing import PendingRow
from deformer_qa.store.codebook import Codebook
from deformer_qa.store.encodings import encoding_named
from deformer_qa.store.errors import DocumentNotFound, InvalidRecord, StoreError, StoreMissing
from deformer_qa.store.factory import AUTO, check_choice
from deformer_qa.store.generations import Head
from deformer_qa.store.lock import WriterLock
from deformer_qa.store.pending import Move, Pending, PendingDocument, check_document, check_place, check_row
from deformer_qa.store.records import KEY_BYTES, DocumentRecord, EncoderInfo, PassageDraft, PassageRecord
from deformer_qa.store.snapshot import Snapshot

Documents = Iterator[tuple[DocumentRecord, Sequence[PassageRecord]]]


class Gathering:
    """The part of a ``Writer`` that changes no disk."""

    def __init__(
        self,
        path: Path,
        lock: WriterLock,
        encoder: EncoderInfo,
        encoding: str,
        head: Head | None,
        codebook: Codebook | None = None,
    ) -> None:
        self.path = path
        self.encoder = encoder
        self.encoding = encoding
        self.snapshot: Snapshot | None = Snapshot(path, head.manifest, head.notice) if head else None
        self.notice = head.notice if head else None
        self._lock = lock
        self._codebook = codebook if head is None else None  # a store keeps the one it began with
        self._states_encoding = self.snapshot.states_encoding() if self.snapshot else encoding_named(encoding, codebook)
        self._next_document_id = head.manifest.next_document_id if head else 1
        self._next_passage_id = head.manifest.next_passage_id if head else 1
        self._vector_index = head.manifest.vector_index if head else AUTO
        self._pending = Pending()
        self._waiting: set[bytes] = set()  # keys of rows that are to survive merges, dead or alive
        self._usable = True
        self._closed = False

    def new_document_id(self) -> int:
        """An id that no document of this store ever had."""
        self._next_document_id += 1
        return self._next_document_id - 1

    def has_row(self, key: bytes) -> bool:
        """Whether a row lies under this key, so that it need not be encoded; what it says holds until ``close``."""
        if key in self._pending.rows:
            return True
        if self.snapshot is None or not self.snapshot.has_row(key):
            return False
        self._waiting.add(key)  # it may be dead, or die with the next commit
        return True

    def add_row(self, key: bytes, vector: NDArray[np.float32], states: NDArray[np.float32]) -> None:
        """Keep the vector and the states of an encoder input until the commit; a key that has a row is passed over.

        ``vector``: *Shape* (vector_width,). ``states``: *Shape* (n_tokens, hidden_width), n_tokens at least 1. Both are
        copied, as float32, and must be finite. A row that no document refers to is committed too, so that a long
        document can be encoded over several commits; merges of later writers remove it if none ever does.

        :raises InvalidRecord: where a shape or a value is not so.
        """
        self._require_usable()
        if len(key) != KEY_BYTES:
            raise InvalidRecord(f"row: found a key of {len(key)} bytes, expected {KEY_BYTES}.")
        if self.has_row(key):
            return
        vector = np.array(vector, dtype="<f4", order="C")
        states = np.asarray(states, dtype="<f4")
        check_row(key, vector, states, self.encoder)
        self._pending.add_row(key, PendingRow(vector, self._states_encoding.encode(states)))

    def put_document(self, record: DocumentRecord, passages: Sequence[PassageDraft]) -> None:
        """Add a document, or replace the one with its id; passages whose key stays keep their ids, in order.

        :raises InvalidRecord: where the record breaks a rule; nothing is taken over.
        """
        self._require_usable()
        if not 0 < record.id < self._next_document_id:
            raise InvalidRecord(f"document {record.id}: not an id of this store. Take one from new_document_id.")
        check_document(record, passages)
        ids: dict[bytes, list[int]] = {}
        for passage in reversed(self._passages_before(record.id)):
            ids.setdefault(passage.key, []).append(passage.id)
        records = tuple(
            PassageRecord(
                id=ids[draft.key].pop() if ids.get(draft.key) else self._new_passage_id(),
                document_id=record.id,
                ordinal=ordinal,
                start=draft.start,
                end=draft.end,
                heading=draft.heading,
                key=draft.key,
            )
            for ordinal, draft in enumerate(passages)
        )
        self._pending.put(PendingDocument(record, records))

    def move_document(
        self, document_id: int, *, root: str, path: str, title: str | None = None, source_state: str | None = None
    ) -> None:
        """Give a document another place, and where given another title and source state; ids stay, nothing is encoded.

        :raises DocumentNotFound: where there is no such document.
        """
        self._require_usable()
        check_place(f"document {document_id}", root, path)
        if document_id not in self._pending.documents:
            self._require_committed(document_id)
        self._pending.move(document_id, Move(root, path, title, source_state))

    def remove_document(self, document_id: int) -> None:
        """Remove a document and its passages.

        :raises DocumentNotFound: where there is no such document.
        """
        self._require_usable()
        was_pending = document_id in self._pending.documents
        if not was_pending:
            self._require_committed(document_id)
        self._pending.drop(document_id)
        if self._is_committed(document_id):
            self._pending.removed.add(document_id)

    def set_roots(self, roots: Sequence[str]) -> None:
        """Record the roots that the index is synchronised with."""
        self._require_usable()
        opening.check_unicode("roots", *roots)
        committed = self.snapshot.roots if self.snapshot else ()
        self._pending.roots = None if tuple(roots) == committed else tuple(roots)

    def set_vector_index(self, choice: str) -> None:
        """Choose the vector index that merges make from now on: auto, flat, or a factory string.

        :raises InvalidRecord: where it is none of these.
        """
        self._require_usable()
        self._vector_index = check_choice(choice)

    @property
    def pending_bytes(self) -> int:
        """About how much memory the next commit's content takes: commit every few hundred MB."""
        return self._pending.n_bytes

    def _documents_to_write(self) -> Documents:
        for document in self._pending.documents.values():
            yield document.record, document.passages
        for document_id, move in self._pending.moves.items():
            assert self.snapshot is not None
            yield move.applied(self.snapshot.document(document_id)), self.snapshot.document_passages(document_id)

    def _passages_before(self, document_id: int) -> Sequence[PassageRecord]:
        """The passages of the version that a put replaces."""
        if document_id in self._pending.documents:
            return self._pending.documents[document_id].passages
        if self.snapshot is None or document_id >= self.snapshot.manifest.next_document_id:
            return ()
        try:
            return self.snapshot.document_passages(document_id)
        except DocumentNotFound:
            return ()

    def _new_passage_id(self) -> int:
        self._next_passage_id += 1
        return self._next_passage_id - 1

    def _is_committed(self, document_id: int) -> bool:
        return self.snapshot is not None and self.snapshot.has_document(document_id)

    def _require_committed(self, document_id: int) -> None:
        if document_id in self._pending.removed or not self._is_committed(document_id):
            raise DocumentNotFound(document_id)

    def _require_store(self) -> Snapshot:
        self._require_usable()
        if self.snapshot is None:
            raise StoreMissing(self.path, "this folder holds no committed index")
        return self.snapshot

    def _require_usable(self) -> None:
        if not self._usable:
            raise StoreError(f"{self.path}: this writer is closed or its last commit failed; open another.")
