"""How a store is changed: gather documents and rows, then commit them as one new generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import compacting, merging, names, opening, planning
from deformer_qa.store.block_writing import PendingRow, copy_rows, write_rows
from deformer_qa.store.catalogue_writing import copy_live_documents, write_documents
from deformer_qa.store.committing import failing_cleanly, publish, require_room, tidy_up
from deformer_qa.store.encodings import encoding_named
from deformer_qa.store.errors import CommitUncertain, DocumentNotFound, InvalidRecord, StoreError, StoreMissing
from deformer_qa.store.generations import Head, generation_before, highest_number
from deformer_qa.store.lock import WriterLock
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, Manifest
from deformer_qa.store.pending import Move, Pending, PendingDocument, check_document, check_place, check_row
from deformer_qa.store.records import KEY_BYTES, DocumentRecord, EncoderInfo, PassageDraft, PassageRecord
from deformer_qa.store.snapshot import Snapshot
from deformer_qa.store.verifying import check_file

MOST_SEGMENTS = 40  # a commit that leaves more merges them, so that a long run of small commits stays cheap to read
Documents = Iterator[tuple[DocumentRecord, Sequence[PassageRecord]]]
NewSegment = Callable[[], str]  # the name of one more segment of the generation being written
Entries = tuple[list[BlockEntry], list[CatalogueEntry]]
Write = Callable[[NewSegment], Entries]


class Writer:
    """The one writer of a store, from ``Writer.open`` to ``close``; what is not committed by then is forgotten.

    Not for several threads. A failed commit or merge leaves the store as it was and this writer useless: close it.
    """

    def __init__(self, path: Path, lock: WriterLock, encoder: EncoderInfo, encoding: str, head: Head | None) -> None:
        self.path = path
        self.encoder = encoder
        self.encoding = encoding
        self.snapshot: Snapshot | None = Snapshot(path, head.manifest, head.notice) if head else None
        self.notice = head.notice if head else None
        self._lock = lock
        self._next_document_id = head.manifest.next_document_id if head else 1
        self._next_passage_id = head.manifest.next_passage_id if head else 1
        self._pending = Pending()
        self._waiting: set[bytes] = set()  # keys of rows that are to survive merges, dead or alive
        self._usable = True
        self._closed = False

    @classmethod
    def open(cls, path: Path, encoder: EncoderInfo | None, encoding: str | None = None, create: bool = True) -> Writer:
        """Take the lock, set a damaged head aside, remove what a killed commit left.

        ``encoding`` None takes the store's own, int8 for a new one. The store's folder is made where ``create`` allows.
        ``encoder`` None takes that of the store, which must be there.

        :raises StoreLocked: at once, where another process writes.
        :raises EncoderMismatch: where the store was built with another encoder or encoding.
        :raises StoreMissing, StoreFormat, StoreDamaged, StoreAccess: where it cannot be used.
        """
        path = Path(path)
        opening.check_encoder(encoder)
        create = create and encoder is not None
        opening.make_folder(path, create)
        lock = WriterLock(path)
        try:
            head = opening.head_or_none(path, create)
            if encoder is None:
                assert head is not None  # or it would be missing
                encoder = head.manifest.encoder
            encoding = opening.agreed_encoding(path, head, encoder, encoding)
            if head is not None:
                opening.set_aside(path, head)
            writer = cls(path, lock, encoder, encoding, head)
            opening.prepare_folder(path, head)
        except BaseException:
            lock.release()
            raise
        return writer

    # Gathering

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
        self._pending.add_row(key, PendingRow(vector, encoding_named(self.encoding).encode(states)))

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

    @property
    def pending_bytes(self) -> int:
        """About how much memory the next commit's content takes: commit every few hundred MB."""
        return self._pending.n_bytes

    # Committing

    def commit(self) -> int | None:
        """Make everything gathered one new generation; returns its number, None where nothing changed.

        Small segments are merged after it where they are many; that this failed is no error, and stands in ``notice``.

        :raises MissingRows, InvalidRecord: where what was gathered is not whole; it stays gathered, the writer usable.
        :raises StoreFull, StoreAccess, CommitFailed: where the disk refused; the index is as it was.
        :raises CommitUncertain: where an error came after the commit point.
        """
        self._require_usable()
        pending, snapshot = self._pending, self.snapshot
        if pending.is_empty:
            return None
        planning.check_rows(snapshot, pending)
        planning.check_places(snapshot, pending)
        room = pending.n_row_bytes + 3 * pending.n_document_bytes
        if pending.moves and snapshot is not None:
            room += sum(catalogue.entry.n_bytes for catalogue in snapshot.catalogues)
        needed = planning.needed_keys(pending)

        def write(new_segment: NewSegment) -> Entries:
            blocks = planning.surviving_blocks(snapshot, pending) if snapshot else []
            catalogues = planning.surviving_catalogues(snapshot, pending) if snapshot else []
            if pending.rows:
                encoding = encoding_named(self.encoding)
                blocks.append(write_rows(self.path, new_segment(), encoding, pending.rows, needed.__contains__))
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
        """Merge after a commit, which has happened: a full disk or old damage must not look like its failure."""
        try:
            self._merge(snapshot)
        except CommitUncertain:
            raise
        except StoreError as error:
            self.notice, self._usable = f"segments were not merged: {error}", True

    def merge(self) -> bool:
        """Write small segments anew as few, without what died in them, as a generation of its own.

        Commits first what is gathered. Returns whether there was anything to do; answers do not change.

        :raises StoreDamaged: where a segment to be copied is damaged; the index is as it was.
        """
        self.commit()
        return self.snapshot is not None and self._merge(self.snapshot)

    def compact(self) -> int:
        """Write anew what lives and erase everything else, the generation before included; see ``store.compacting``.

        Commits first what is gathered; returns the generation. Ids and answers do not change. Rows that no document
        refers to are dropped, also those that wait for one.

        :raises StoreDamaged: where a segment is damaged; the index is as it was.
        :raises NotErased: where all is committed, but something older could not be removed.
        """
        self.commit()
        snapshot = self._require_store()
        if not snapshot.manifest.compacted:  # else only what could not be removed then is left to do
            room = compacting.bytes_to_write(snapshot)
            self._commit(room, lambda new: compacting.write(self.path, snapshot, new), compacted=True)
            snapshot = self._require_store()
        compacting.erase(self.path, snapshot.manifest)
        return snapshot.generation

    def rollback(self) -> int:
        """Commit the content of the generation before as a new one; a second rollback undoes the first.

        Returns the new generation's number. Ids given out since are not given out again.

        :raises NothingBefore: where the head has no parent, or it cannot be read.
        """
        before = generation_before(self.path, self._require_store().manifest)
        if not self._pending.is_empty:
            raise StoreError(f"{self.path}: found changes that are not committed; commit them or open another writer.")
        Snapshot(self.path, before, reuse=self.snapshot).close()  # its files are there
        self.set_roots(before.roots)
        return self._commit(0, lambda new: (list(before.blocks), list(before.catalogues)))

    def begin(self, next_ids: tuple[int, int], roots: Sequence[str], room: int, write: Write) -> int:
        """Commit a first generation as ``write`` makes it, with ids that another store gave (an import)."""
        self._next_document_id, self._next_passage_id = next_ids
        self.set_roots(roots)
        return self._commit(room, write)

    def close(self) -> None:
        """Let the next writer in; what is not committed is forgotten."""
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

    def _commit(self, room: int, write: Write, compacted: bool = False) -> int:
        """Check the room, write segments, publish the manifest, turn to the new head, collect."""
        require_room(self.path, room)
        parent = self.snapshot.manifest if self.snapshot else None
        generation = highest_number(self.path) + 1
        new_segments: list[str] = []

        def new_segment() -> str:
            new_segments.append(names.new_segment_name(generation))
            return new_segments[-1]

        self._usable = False  # until all of it went well
        with failing_cleanly(self.path, new_segments):
            blocks, catalogues = write(new_segment)
            roots = self._pending.roots
            manifest = Manifest(
                generation=generation,
                parent=parent.generation if parent and not compacted else None,
                encoder=parent.encoder if parent else self.encoder,
                encoding=self.encoding,
                roots=roots if roots is not None else parent.roots if parent else (),
                next_document_id=self._next_document_id,
                next_passage_id=self._next_passage_id,
                blocks=tuple(blocks),
                catalogues=tuple(catalogues),
                compacted=compacted,
            )
            publish(self.path, manifest)
        self._turn_to(manifest)
        tidy_up(self.path, manifest)
        self._usable = True
        return generation

    def _merge(self, snapshot: Snapshot) -> bool:
        """Commit the segments that ``merging`` chooses as fewer ones; False where it chooses none."""
        waiting = sorted(self._waiting)
        blocks = merging.blocks_to_merge(snapshot.blocks, waiting)
        catalogues = merging.catalogues_to_merge(snapshot.catalogues)
        replaced: list[BlockEntry | CatalogueEntry] = [block.entry for group in blocks for block in group]
        replaced += [catalogue.entry for group in catalogues for catalogue in group]
        if not replaced:
            return False

        def write(new_segment: NewSegment) -> Entries:
            for entry in replaced:
                for file, expected in entry.files.items():  # else damage would get a fresh checksum
                    check_file(self.path, entry.segment, file, expected)
            encoding = encoding_named(self.encoding)
            new_blocks = [copy_rows(self.path, new_segment(), encoding, group, waiting) for group in blocks]
            new_catalogues = [copy_live_documents(self.path, new_segment(), group) for group in catalogues]
            return (
                [block.entry for block in snapshot.blocks if block.entry not in replaced]
                + [entry for entry in new_blocks if entry is not None],
                [catalogue.entry for catalogue in snapshot.catalogues if catalogue.entry not in replaced]
                + new_catalogues,
            )

        self._commit(sum(entry.n_bytes for entry in replaced), write)
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
