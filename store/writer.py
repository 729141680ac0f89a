"""How a store is changed: gather documents and rows, then commit them as one new generation."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from deformer_qa.store import compacting, index_planning, merging, names, opening, planning
from deformer_qa.store.block_writing import write_rows
from deformer_qa.store.catalogue_writing import write_documents
from deformer_qa.store.codebook import Codebook
from deformer_qa.store.codebook_files import write_codebook
from deformer_qa.store.committing import failing_cleanly, publish, require_room, tidy_up
from deformer_qa.store.errors import CommitUncertain, StoreError
from deformer_qa.store.gathering import Gathering
from deformer_qa.store.generations import generation_before, highest_number
from deformer_qa.store.lock import WriterLock
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, Manifest
from deformer_qa.store.pending import Pending
from deformer_qa.store.records import EncoderInfo
from deformer_qa.store.renewing import renewed_indexes
from deformer_qa.store.snapshot import Snapshot

MOST_SEGMENTS = 40  # a commit that leaves more merges them, so that a long run of small commits stays cheap to read
NewSegment = Callable[[], str]  # the name of one more segment of the generation being written
Entries = tuple[list[BlockEntry], list[CatalogueEntry]]
Write = Callable[[NewSegment], Entries]


class Writer(Gathering):
    """The one writer of a store, from ``Writer.open`` to ``close``; what is not committed by then is forgotten.

    Not for several threads. A failed commit or merge leaves the store as it was and this writer useless: close it.
    """

    @classmethod
    def open(
        cls,
        path: Path,
        encoder: EncoderInfo | None,
        encoding: str | None = None,
        create: bool = True,
        codebook: Codebook | None = None,
    ) -> Writer:
        """Take the lock, set a damaged head aside, remove what a killed commit left.

        The store's folder is made where ``create`` allows.

        :param encoder: None takes that of the store, which must be there.
        :param encoding: None takes the store's own; for a new one that of the codebook, without one int8.
        :param codebook: for a new store; one that is there keeps its own.
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
            encoding, codebook = opening.agreed_encoding(path, head, encoder, encoding, codebook)
            if head is not None:
                opening.set_aside(path, head)
            writer = cls(path, lock, encoder, encoding, head, codebook)
            opening.prepare_folder(path, head)
        except BaseException:
            lock.release()
            raise
        return writer

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
        """Merge after a commit, which has happened: a full disk or old damage must not look like its failure."""
        try:
            self._merge(snapshot)
        except CommitUncertain:
            raise
        except StoreError as error:
            self.notice, self._usable = f"segments were not merged: {error}", True

    def merge(self) -> bool:
        """Write small segments anew as few, without what died in them, as a generation of its own.

        Vector indexes are renewed with it. Commits first what is gathered. Returns whether there was anything to do;
        answers do not change, but for what a new vector index does not propose.

        :raises StoreDamaged: where a segment to be copied is damaged; the index is as it was.
        """
        self.commit()
        return self.snapshot is not None and self._merge(self.snapshot, with_indexes=True)

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
            self._commit(
                room, lambda new: compacting.write(self.path, snapshot, new), with_indexes=True, compacted=True
            )
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
        self._vector_index = before.vector_index
        return self._commit(0, lambda new: (list(before.blocks), list(before.catalogues)), origin=before)

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

    def _commit(
        self,
        room: int,
        write: Write,
        *,
        origin: Manifest | None = None,
        with_indexes: bool = False,
        compacted: bool = False,
    ) -> int:
        """Check the room, write segments, publish the manifest, turn to the new head, collect.

        ``origin``: the generation whose content is changed, None for the head; its parent is the head in any case.
        """
        require_room(self.path, room)
        parent = self.snapshot.manifest if self.snapshot else None
        origin = origin or parent
        generation = highest_number(self.path) + 1
        new_segments: list[str] = []

        def new_segment() -> str:
            new_segments.append(names.new_segment_name(generation))
            return new_segments[-1]

        self._usable = False  # until all of it went well
        with failing_cleanly(self.path, new_segments):
            blocks, catalogues = write(new_segment)
            codebook = origin.codebook if origin else None
            if origin is None and self._codebook is not None:
                codebook = write_codebook(self.path, new_segment(), self._codebook)
            roots = self._pending.roots
            indexes = index_planning.surviving(origin.indexes, blocks) if origin else []
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
        except (OSError, sqlite3.Error, StoreError) as error:  # it is the head all the same
            raise CommitUncertain(self.path, generation, str(error).rstrip(".")) from error
        tidy_up(self.path, manifest)
        self._usable = True
        return generation

    def _merge(self, snapshot: Snapshot, with_indexes: bool = False) -> bool:
        """Commit the segments that ``merging`` chooses as fewer ones; False where it chooses none.

        ``with_indexes``: vector indexes are renewed where ``index_planning`` says so, also where nothing is merged.
        """
        chosen = merging.choose(snapshot, sorted(self._waiting))
        manifest = snapshot.manifest
        plan = index_planning.plan(manifest.indexes, manifest.blocks, self._vector_index)
        renew = with_indexes and (self._vector_index != manifest.vector_index or plan.changes(manifest.indexes))
        if not chosen.replaced and not renew:
            return False
        self._commit(
            sum(entry.n_bytes for entry in chosen.replaced),
            lambda new: merging.write(self.path, snapshot, chosen, self._states_encoding, new),
            with_indexes=with_indexes,
        )
        return True

    def _turn_to(self, manifest: Manifest) -> None:
        before = self.snapshot
        self.snapshot = Snapshot(self.path, manifest, reuse=before)
        self._pending = Pending()
        if before is not None:
            before.close()
