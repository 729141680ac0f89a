"""How a store is changed: gather documents and rows, then commit them as one new generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import disk, merging, names, planning
from deformer_qa.store.block_writing import PendingRow, copy_live_rows, write_rows
from deformer_qa.store.catalogue_writing import copy_live_documents, write_documents
from deformer_qa.store.collecting import collect
from deformer_qa.store.committing import failing_cleanly, publish, require_room, tidy_up
from deformer_qa.store.encodings import DEFAULT_ENCODING, encoding_named
from deformer_qa.store.errors import (
    DocumentNotFound,
    EncoderMismatch,
    InvalidRecord,
    StoreAccess,
    StoreError,
    StoreMissing,
)
from deformer_qa.store.generations import Head, find_head
from deformer_qa.store.lock import WriterLock
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, Manifest
from deformer_qa.store.pending import Move, Pending, PendingDocument, check_document, check_place
from deformer_qa.store.records import (
    KEY_BYTES,
    DocumentRecord,
    EncoderInfo,
    PassageDraft,
    PassageRecord,
)
from deformer_qa.store.snapshot import Snapshot
from deformer_qa.store.verifying import check_file

Documents = Iterator[tuple[DocumentRecord, Sequence[PassageRecord]]]


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
        self._usable = True

    @classmethod
    def open(cls, path: Path, encoder: EncoderInfo, encoding: str | None = None, create: bool = True) -> Writer:
        """Take the lock, set a damaged head aside, remove what a killed commit left.

        ``encoding`` None takes the store's own, int8 for a new one. The store's folder is made where ``create`` allows.

        :raises StoreLocked: at once, where another process writes.
        :raises EncoderMismatch: where the store was built with another encoder or encoding.
        :raises StoreMissing, StoreFormat, StoreDamaged, StoreAccess: where it cannot be used.
        """
        path = Path(path)
        _make_folder(path, create)
        lock = WriterLock(path)
        try:
            head = _head_or_none(path, create)
            encoding = _agreed_encoding(path, head, encoder, encoding)
            if head is not None:
                _set_aside(path, head)
            writer = cls(path, lock, encoder, encoding, head)
            _prepare_folder(path, head)
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
        """Whether a row lies under this key, so that it need not be encoded; holds until the next merge."""
        return key in self._pending.rows or (self.snapshot is not None and self.snapshot.has_row(key))

    def add_row(self, key: bytes, vector: NDArray[np.float32], states: NDArray[np.float32]) -> None:
        """Keep the vector and the states of an encoder input until the commit; a key that has a row is passed over.

        ``vector``: *Shape* (vector_width,). ``states``: *Shape* (n_tokens, hidden_width), n_tokens at least 1. Both are
        copied, as float32, and must be finite. A row that no document refers to is committed too, so that a long
        document can be encoded over several commits; the first merge removes it if none ever does.

        :raises InvalidRecord: where a shape or a value is not so.
        """
        self._require_usable()
        if len(key) != KEY_BYTES:
            raise InvalidRecord(f"row: found a key of {len(key)} bytes, expected {KEY_BYTES}.")
        if self.has_row(key):
            return
        vector = np.array(vector, dtype="<f4", order="C")
        states = np.asarray(states, dtype="<f4")
        shapes = (vector.shape, states.shape[1:], states.ndim)
        if shapes != ((self.encoder.vector_width,), (self.encoder.hidden_width,), 2) or not len(states):
            raise InvalidRecord(
                f"row {key.hex()}: found a vector of shape {vector.shape} and states of shape {states.shape}, "
                f"expected ({self.encoder.vector_width},) and (tokens, {self.encoder.hidden_width})."
            )
        if not (np.isfinite(vector).all() and np.isfinite(states).all()):
            raise InvalidRecord(f"row {key.hex()}: found a value that is not finite, expected numbers.")
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
        move = Move(root, path, title, source_state)
        pending = self._pending.documents.get(document_id)
        if pending is not None:
            self._pending.put(replace(pending, record=move.applied(pending.record)))
            return
        self._require_committed(document_id)
        earlier = self._pending.moves.get(document_id)
        if earlier is not None:
            move = replace(move, title=title or earlier.title, source_state=source_state or earlier.source_state)
        self._pending.moves[document_id] = move

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
        committed = self.snapshot.roots if self.snapshot else ()
        self._pending.roots = None if tuple(roots) == committed else tuple(roots)

    @property
    def pending_bytes(self) -> int:
        """About how much memory the next commit's content takes: commit every few hundred MB."""
        return self._pending.n_bytes

    # Committing

    def commit(self) -> int | None:
        """Make everything gathered one new generation; returns its number, None where nothing changed.

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

        def write(new_segment: Callable[[], str]) -> tuple[list[BlockEntry], list[CatalogueEntry]]:
            blocks = planning.surviving_blocks(snapshot, pending) if snapshot else []
            catalogues = planning.surviving_catalogues(snapshot, pending) if snapshot else []
            if pending.rows:
                needed = planning.needed_keys(pending)
                encoding = encoding_named(self.encoding)
                blocks.append(write_rows(self.path, new_segment(), encoding, pending.rows, needed.__contains__))
            if pending.documents or pending.moves:
                catalogues.append(write_documents(self.path, new_segment(), self._documents_to_write()))
            return blocks, catalogues

        return self._commit(room, write)

    def merge(self) -> bool:
        """Write small segments anew as few, without what died in them, as a generation of its own.

        Commits first what is gathered. Returns whether there was anything to do; answers do not change.

        :raises StoreDamaged: where a segment to be copied is damaged; the index is as it was.
        """
        self.commit()
        if self.snapshot is None:
            return False
        blocks, catalogues = self.snapshot.blocks, self.snapshot.catalogues
        block_groups = merging.groups_to_merge(
            [merging.live_bytes(block) for block in blocks],
            [block.entry.n_bytes for block in blocks],
            merging.SMALL_BLOCK_BYTES,
        )
        catalogue_groups = merging.groups_to_merge(
            [merging.live_rows(catalogue) for catalogue in catalogues],
            [merging.all_rows(catalogue) for catalogue in catalogues],
            merging.SMALL_CATALOGUE_ROWS,
        )
        if not block_groups and not catalogue_groups:
            return False
        replaced = [blocks[number].entry for group in block_groups for number in group]
        replaced_catalogues = [catalogues[number].entry for group in catalogue_groups for number in group]
        room = sum(entry.n_bytes for entry in (*replaced, *replaced_catalogues))

        def write(new_segment: Callable[[], str]) -> tuple[list[BlockEntry], list[CatalogueEntry]]:
            for entry in (*replaced, *replaced_catalogues):
                for file, expected in entry.files.items():  # else damage would get a fresh checksum
                    check_file(self.path, entry.segment, file, expected)
            new_blocks = [block.entry for block in blocks if block.entry not in replaced]
            for block_group in block_groups:
                block_sources = [blocks[number] for number in block_group if blocks[number].entry.n_live_rows]
                if block_sources:
                    encoding = encoding_named(self.encoding)
                    new_blocks.append(copy_live_rows(self.path, new_segment(), encoding, block_sources))
            new_catalogues = [c.entry for c in catalogues if c.entry not in replaced_catalogues]
            for group in catalogue_groups:
                sources = [catalogues[number] for number in group]
                new_catalogues.append(copy_live_documents(self.path, new_segment(), sources))
            return new_blocks, new_catalogues

        self._commit(room, write)
        return True

    def close(self) -> None:
        """Let the next writer in; what is not committed is forgotten."""
        if self.snapshot is not None:
            self.snapshot.close()
            self.snapshot = None
        if self._usable is not None:
            self._lock.release()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _commit(
        self, room: int, write: Callable[[Callable[[], str]], tuple[list[BlockEntry], list[CatalogueEntry]]]
    ) -> int:
        """Check the room, write segments, publish the manifest, turn to the new head, collect."""
        require_room(self.path, room)
        parent = self.snapshot.manifest if self.snapshot else None
        generation = names.highest_generation(self.path) + 1
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
                parent=parent.generation if parent else None,
                encoder=parent.encoder if parent else self.encoder,
                encoding=self.encoding,
                roots=roots if roots is not None else parent.roots if parent else (),
                next_document_id=self._next_document_id,
                next_passage_id=self._next_passage_id,
                blocks=tuple(blocks),
                catalogues=tuple(catalogues),
            )
            publish(self.path, manifest)
        self._turn_to(manifest)
        tidy_up(self.path, manifest)
        self._usable = True
        return generation

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

    def _require_usable(self) -> None:
        if not self._usable:
            raise StoreError(f"{self.path}: this writer is closed or its last commit failed; open another.")


def _make_folder(path: Path, create: bool) -> None:
    """Make the store's folder where it is missing, durably."""
    if path.is_dir():
        return
    if path.exists() or not create:
        raise StoreMissing(path, "found a file, expected a store's folder" if path.exists() else "there is no store here")
    try:
        for folder in reversed([path, *path.parents]):
            if not folder.is_dir():
                disk.make_directory(folder)
                disk.sync_directory(folder.parent)
    except OSError as error:
        raise StoreAccess(path, f"cannot make the store's folder ({error.strerror})") from error


def _head_or_none(path: Path, create: bool) -> Head | None:
    try:
        return find_head(path)
    except StoreMissing:
        if create:
            return None
        raise


def _agreed_encoding(path: Path, head: Head | None, encoder: EncoderInfo, encoding: str | None) -> str:
    """The encoding to write with.

    :raises EncoderMismatch: where the store's encoder, widths or encoding are others than those asked for.
    """
    if head is None:
        return encoding_named(encoding or DEFAULT_ENCODING).name
    there = head.manifest.encoder
    for what, found, expected in (
        ("encoder", there.encoder_id, encoder.encoder_id),
        ("vector width", str(there.vector_width), str(encoder.vector_width)),
        ("hidden width", str(there.hidden_width), str(encoder.hidden_width)),
        ("states encoded as", head.manifest.encoding, encoding or head.manifest.encoding),
    ):
        if found != expected:
            raise EncoderMismatch(path, what, found, expected)
    return head.manifest.encoding


def _set_aside(path: Path, head: Head) -> None:
    """Rename damaged manifests above the head, so that the next generation does not stand behind them; nothing is deleted."""
    try:
        for error in head.damaged:
            target = path / (error.file + names.QUARANTINE_SUFFIX)
            number = 0
            while target.exists():
                number += 1
                target = path / f"{error.file}{names.QUARANTINE_SUFFIX}.{number}"
            disk.rename_file(path / error.file, target)
        if head.damaged:
            disk.sync_directory(path)
    except OSError as os_error:
        raise StoreAccess(path, f"no permission to write the store ({os_error.strerror})") from os_error


def _prepare_folder(path: Path, head: Head | None) -> None:
    """Make ``seg/``, and remove what no kept generation needs."""
    segments = path / names.SEGMENTS
    try:
        if not segments.exists():
            disk.make_directory(segments)
            disk.sync_directory(path)
        if head is not None:
            collect(path, head.manifest)
    except OSError as error:
        raise StoreAccess(path, f"no permission to write the store ({error.strerror})") from error
