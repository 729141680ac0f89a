"""Changes a store: gathers documents and rows, then commits them as one new generation."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import commit, names, opening
from deformer_qa.store.commit import failing_cleanly, publish, require_room, tidy_up
from deformer_qa.store.encodings import Codebook, encoding_named
from deformer_qa.store.errors import CommitUncertain, DocumentNotFound, InvalidRecord, StoreError, StoreMissing
from deformer_qa.store.generations import Head, generation_before, highest_number
from deformer_qa.store.index_choice import AUTO, check_choice
from deformer_qa.store.lock import WriterLock
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, Manifest
from deformer_qa.store.pending import Move, Pending, PendingDocument, check_document, check_place, check_row
from deformer_qa.store.records import KEY_BYTES, DocumentRecord, EncoderInfo, PassageDraft, PassageRecord
from deformer_qa.store.segments.block import PendingRow, write_rows
from deformer_qa.store.segments.catalogue_writer import write_documents
from deformer_qa.store.segments.codebook_file import write_codebook
from deformer_qa.store.snapshot import Snapshot
from deformer_qa.store.upkeep import merge, reindex
from deformer_qa.store.upkeep.reindex import renewed_indexes

Documents = Iterator[tuple[DocumentRecord, Sequence[PassageRecord]]]
MOST_SEGMENTS = 40  # a commit that leaves more merges them, so that many small commits stay cheap to read
NewSegment = Callable[[], str]  # gives the name of another segment of the generation being written
Entries = tuple[list[BlockEntry], list[CatalogueEntry]]
Write = Callable[[NewSegment], Entries]


class Writer:
    """The one writer of a store, from ``Writer.open`` to ``close``, which drops uncommitted changes.

    Not thread-safe, except for ``make_row``. A failed commit or merge leaves the store unchanged and this writer
    unusable: close it.
    """

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
        self._codebook = codebook if head is None else None  # a store keeps its first one
        self._states_encoding = self.snapshot.states_encoding() if self.snapshot else encoding_named(encoding, codebook)
        self._next_document_id = head.manifest.next_document_id if head else 1
        self._next_passage_id = head.manifest.next_passage_id if head else 1
        self._vector_index = head.manifest.vector_index if head else AUTO
        self._pending = Pending()
        self._waiting: set[bytes] = set()  # keys of rows that must survive merges, dead or alive
        self._usable = True
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        encoder: EncoderInfo | None,
        encoding: str | None = None,
        create: bool = True,
        codebook: Codebook | None = None,
    ) -> Writer:
        """Take the lock, set a damaged head aside, remove leftovers of a killed commit.

        The store's folder is made if ``create`` allows.

        :param encoder: None takes that of the store, which must exist.
        :param encoding: None takes the store's own; for a new one that of the codebook, without one int8.
        :param codebook: for a new store; an existing one keeps its own.
        :raises StoreLocked: at once, if another process writes.
        :raises EncoderMismatch: if the store was built with another encoder or encoding.
        :raises StoreMissing, StoreFormat, StoreDamaged, StoreAccess: if it cannot be used.
        """
        path = Path(path)
        opening.check_encoder(encoder)
        create = create and encoder is not None
        opening.make_folder(path, create)
        lock = WriterLock(path)
        try:
            head = opening.head_or_none(path, create)
            if encoder is None:
                assert head is not None  # else StoreMissing was raised
                encoder = head.manifest.encoder
            encoding, codebook = opening.agreed_encoding(path, head, encoder, encoding, codebook)
            if head is not None:
                opening.set_aside(path, head)
            writer = cls(path, lock, encoder, encoding, head, codebook)
            opening.prepare_folder(path, head)
        except BaseException:
            lock.release()
            raise
        return writer

    def new_document_id(self) -> int:
        """An id that no document of this store ever had."""
        self._next_document_id += 1
        return self._next_document_id - 1

    def has_row(self, key: bytes) -> bool:
        """Whether this key has a row, so that it need not be encoded; the answer holds until ``close``."""
        if key in self._pending.rows:
            return True
        if self.snapshot is None or not self.snapshot.has_row(key):
            return False
        self._waiting.add(key)  # it may be dead, or die with the next commit
        return True

    def add_row(self, key: bytes, vector: NDArray[np.float32], states: NDArray[np.float32]) -> None:
        """Keep the vector and the states of an encoder input until the commit; a key that has a row is ignored.

        ``vector``: *Shape* (vector_width,). ``states``: *Shape* (n_tokens, hidden_width), n_tokens at least 1. Both are
        copied, as float32, and must be finite. A row that no document refers to is committed too, so that a long
        document can be encoded over several commits; merges of later writers remove it if none ever does.

        :raises InvalidRecord: if a shape or a value breaks these rules.
        """
        self._require_usable()
        if len(key) != KEY_BYTES:
            raise InvalidRecord(f"row: found a key of {len(key)} bytes, expected {KEY_BYTES}.")
        if not self.has_row(key):
            self.keep_row(key, self.make_row(key, vector, states))

    def make_row(self, key: bytes, vector: NDArray[np.float32], states: NDArray[np.float32]) -> PendingRow:
        """Make a row of a vector and states, as ``add_row`` does, for ``keep_row``; safe in any thread.

        :raises InvalidRecord: as ``add_row``.
        """
        vector = np.array(vector, dtype="<f4", order="C")
        states = np.asarray(states, dtype="<f4")
        check_row(key, vector, states, self.encoder)
        return PendingRow(vector, self._states_encoding.encode(states))

    def keep_row(self, key: bytes, row: PendingRow) -> None:
        """Keep a row of ``make_row`` until the commit; its key has no row yet."""
        self._require_usable()
        self._pending.add_row(key, row)

    def put_document(self, record: DocumentRecord, passages: Sequence[PassageDraft]) -> None:
        """Add a document, or replace the one with its id; passages whose key stays keep their ids, in order.

        :raises InvalidRecord: if the record breaks a rule; nothing is kept of it.
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
        """Give a document another place and, if given, another title and source state; ids stay, nothing is encoded.

        :raises DocumentNotFound: if there is no such document.
        """
        self._require_usable()
        check_place(f"document {document_id}", root, path)
        if document_id not in self._pending.documents:
            self._require_committed(document_id)
        self._pending.move(document_id, Move(root, path, title, source_state))

    def remove_document(self, document_id: int) -> None:
        """Remove a document and its passages.

        :raises DocumentNotFound: if there is no such document.
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

        :raises InvalidRecord: if it is none of these.
        """
        self._require_usable()
        self._vector_index = check_choice(choice)

    @property
    def pending_bytes(self) -> int:
        """The approximate memory of uncommitted content, in bytes: commit every few hundred MB."""
        return self._pending.n_bytes

    def commit(self) -> int | None:
        """Commit everything gathered as one new generation; returns its number, None if nothing changed.

        Afterwards many small segments are merged; a failure of that is not an error, but stands in ``notice``.

        :raises MissingRows, InvalidRecord: if the gathered content is incomplete; it is kept, and the writer usable.
        :raises StoreFull, StoreAccess, CommitFailed: if the disk refused; the index is unchanged.
        :raises CommitUncertain: if an error came after the commit point.
        """
        self._require_usable()
        pending, snapshot = self._pending, self.snapshot
        if pending.is_empty:
            return None
        commit.check_rows(snapshot, pending)
        commit.check_places(snapshot, pending)
        room = pending.n_row_bytes + 3 * pending.n_document_bytes
        if pending.moves and snapshot is not None:
            room += sum(catalogue.entry.n_bytes for catalogue in snapshot.catalogues)
        needed = commit.needed_keys(pending)

        def write(new_segment: NewSegment) -> Entries:
            blocks = commit.surviving_blocks(snapshot, pending) if snapshot else []
            catalogues = commit.surviving_catalogues(snapshot, pending) if snapshot else []
            if pending.rows:
                segment = new_segment()
                blocks.append(write_rows(self.path, segment, self._states_encoding, pending.rows, needed.__contains__))
            if pending.documents or pending.moves:
                catalogues.append(write_documents(self.path, new_segment(), self._documents_to_write()))
            return blocks, catalogues

        generation = self._commit(room, write)
        self._waiting = (self._waiting | pending.rows.keys()) - needed
        assert self.snapshot is not None
        if len(self.snapshot.manifest.segments) > MOST_SEGMENTS:
            self._merge_if_it_can(self.snapshot)
        return generation

    def _merge_if_it_can(self, snapshot: Snapshot) -> None:
        """Merge after a successful commit: a full disk or old damage must not look like a failed commit."""
        try:
            self._merge(snapshot)
        except CommitUncertain:
            raise
        except StoreError as error:
            self.notice, self._usable = f"segments were not merged: {error}", True

    def merge(self) -> bool:
        """Merge small segments into few, without dead content, as a separate generation.

        It commits gathered content first, and renews vector indexes. Returns whether there was anything to do. Answers
        change only as far as a new vector index proposes other candidates.

        :raises StoreDamaged: if a segment to copy is damaged; the index is unchanged.
        """
        self.commit()
        return self.snapshot is not None and self._merge(self.snapshot, with_indexes=True)

    def compact(self) -> int:
        """Rewrite live content and erase everything else, even the previous generation; see ``store.upkeep.merge``.

        It commits gathered content first, and returns the generation. Ids and answers do not change. Rows that no
        document refers to are dropped, even those that wait for one.

        :raises StoreDamaged: if a segment is damaged; the index is unchanged.
        :raises NotErased: if everything is committed, but something older could not be removed.
        """
        self.commit()
        snapshot = self._require_store()
        if not snapshot.manifest.compacted:  # else only files that could not be removed then are left
            room = merge.bytes_to_write(snapshot)
            self._commit(
                room, lambda new: merge.write_compacted(self.path, snapshot, new), with_indexes=True, compacted=True
            )
            snapshot = self._require_store()
        merge.erase(self.path, snapshot.manifest)
        return snapshot.generation

    def rollback(self) -> int:
        """Commit the content of the previous generation as a new one; a second rollback undoes the first.

        Returns the new generation's number. Ids assigned since are not assigned again.

        :raises NothingBefore: if the head has no parent, or it cannot be read.
        """
        before = generation_before(self.path, self._require_store().manifest)
        if not self._pending.is_empty:
            raise StoreError(f"{self.path}: found changes that are not committed; commit them or open another writer.")
        Snapshot(self.path, before, reuse=self.snapshot).close()  # checks that its files exist
        self._vector_index = before.vector_index
        return self._commit(0, lambda new: (list(before.blocks), list(before.catalogues)), origin=before)

    def begin(self, next_ids: tuple[int, int], roots: Sequence[str], room: int, write: Write) -> int:
        """Commit a first generation that ``write`` makes, with ids from another store (an import)."""
        self._next_document_id, self._next_passage_id = next_ids
        self.set_roots(roots)
        return self._commit(room, write)

    def close(self) -> None:
        """Release the lock; uncommitted changes are dropped."""
        if self.snapshot is not None:
            self.snapshot.close()
            self.snapshot = None
        if not self._closed:
            self._lock.release()
        self._closed, self._usable = True, False

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _commit(
        self,
        room: int,
        write: Write,
        *,
        origin: Manifest | None = None,
        with_indexes: bool = False,
        compacted: bool = False,
    ) -> int:
        """Check the room, write segments, publish the manifest, switch to the new head, collect.

        ``origin``: the generation that the content is based on, None for the head; the parent is always the head.
        """
        require_room(self.path, room)
        parent = self.snapshot.manifest if self.snapshot else None
        origin = origin or parent
        generation = highest_number(self.path) + 1
        new_segments: list[str] = []

        def new_segment() -> str:
            new_segments.append(names.new_segment_name(generation))
            return new_segments[-1]

        self._usable = False  # until everything succeeded
        with failing_cleanly(self.path, new_segments):
            blocks, catalogues = write(new_segment)
            codebook = origin.codebook if origin else None
            if origin is None and self._codebook is not None:
                codebook = write_codebook(self.path, new_segment(), self._codebook)
            roots = self._pending.roots
            indexes = reindex.surviving(origin.indexes, blocks) if origin else []
            if with_indexes:
                indexes = renewed_indexes(
                    self.path, new_segment, self.encoder, self.encoding, blocks, indexes, self._vector_index
                )
            manifest = Manifest(
                generation=generation,
                parent=parent.generation if parent and not compacted else None,
                encoder=origin.encoder if origin else self.encoder,
                encoding=self.encoding,
                roots=roots if roots is not None else origin.roots if origin else (),
                next_document_id=self._next_document_id,
                next_passage_id=self._next_passage_id,
                blocks=tuple(blocks),
                catalogues=tuple(catalogues),
                indexes=tuple(indexes),
                vector_index=self._vector_index,
                codebook=codebook,
                compacted=compacted,
            )
            publish(self.path, manifest)
        try:
            self._turn_to(manifest)
        except (OSError, sqlite3.Error, StoreError) as error:  # the commit is the head all the same
            raise CommitUncertain(self.path, generation, str(error).rstrip(".")) from error
        tidy_up(self.path, manifest)
        self._usable = True
        return generation

    def _merge(self, snapshot: Snapshot, with_indexes: bool = False) -> bool:
        """Merge the segments that ``merge.choose`` names and commit; False if it chooses none.

        ``with_indexes``: also renew vector indexes if ``reindex.plan`` says so, even if nothing is merged.
        """
        chosen = merge.choose(snapshot, sorted(self._waiting))
        manifest = snapshot.manifest
        plan = reindex.plan(manifest.indexes, manifest.blocks, self._vector_index)
        renew = with_indexes and (self._vector_index != manifest.vector_index or plan.changes(manifest.indexes))
        if not chosen.replaced and not renew:
            return False
        self._commit(
            sum(entry.n_bytes for entry in chosen.replaced),
            lambda new: merge.write_merged(self.path, snapshot, chosen, self._states_encoding, new),
            with_indexes=with_indexes,
        )
        return True

    def _turn_to(self, manifest: Manifest) -> None:
        before = self.snapshot
        self.snapshot = Snapshot(self.path, manifest, reuse=before)
        self._pending = Pending()
        if before is not None:
            before.close()

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
