"""How is a damaged store made whole again? What is left of each damaged segment becomes a new one, in one commit.

No committed file is touched. What can be derived is derived again, rows that are lost are encoded from the texts of
their passages, documents that are lost leave the index by name, so that the next sync reads their files again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deformer_qa.store import index_planning, names, opening
from deformer_qa.store.catalogue import Catalogue, CatalogueFiles
from deformer_qa.store.codebook import Codebook
from deformer_qa.store.codebook_files import CodebookFiles, codebook_sum, write_codebook
from deformer_qa.store.committing import failing_cleanly, publish, require_room, tidy_up
from deformer_qa.store.encodings import encoding_named
from deformer_qa.store.errors import StoreDamaged, StoreFormat
from deformer_qa.store.generations import Head, find_head, highest_number, list_generations, read_manifest
from deformer_qa.store.leftovers import Remains
from deformer_qa.store.lock import WriterLock
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, CodebookEntry, Entry, IndexEntry, Manifest
from deformer_qa.store.recomputing import LoadEncoder
from deformer_qa.store.records import Damage
from deformer_qa.store.renewing import renewed_indexes
from deformer_qa.store.repairing_blocks import BlockRepair, union
from deformer_qa.store.salvaging_documents import Dropped, SalvagedDocuments, Surroundings
from deformer_qa.store.verifying import check_file, verify


@dataclass(frozen=True)
class Mended:
    """What became of one damaged file."""

    file: str
    problem: str
    action: str


@dataclass(frozen=True)
class Repair:
    """What a repair found and did.

    :ivar generation: the one that it committed; None where there was nothing to commit
    :ivar mended: every damaged file that is no longer needed
    :ivar reencoded: a passage of each row that was encoded again
    :ivar n_rows_kept: rows of damaged blocks that were carried over as they were
    :ivar dropped: documents that left the index
    :ivar n_dropped_unknown: how many more left it, of which not even the number is known
    :ivar unrepaired: what cannot be repaired; then nothing was done
    """

    generation: int | None = None
    mended: tuple[Mended, ...] = ()
    reencoded: tuple[int, ...] = ()
    n_rows_kept: int = 0
    dropped: tuple[Dropped, ...] = ()
    n_dropped_unknown: int = 0
    unrepaired: tuple[Damage, ...] = ()

    @property
    def n_dropped(self) -> int:
        return len(self.dropped) + self.n_dropped_unknown


def repair(path: Path, load_encoder: LoadEncoder) -> Repair:
    """Make a store whole again under the writer's lock; where nothing is damaged, nothing is committed.

    ``load_encoder`` is called where the first row must be encoded, and only then.

    :raises StoreLocked: at once, where another process writes.
    :raises EncoderMismatch: where rows are lost and the encoder is another than the store's.
    :raises StoreMissing, StoreFormat, StoreAccess, StoreFull, CommitFailed, CommitUncertain: as a commit does.
    """
    path = Path(path)
    list_generations(path)  # no lock file where there is no store
    lock = WriterLock(path)
    try:
        damages = verify(path)
        return _repair(path, damages, load_encoder) if damages else Repair()
    finally:
        lock.release()


def _repair(path: Path, damages: Sequence[Damage], load_encoder: LoadEncoder) -> Repair:
    try:
        head = find_head(path)
    except StoreDamaged:
        return Repair(unrepaired=tuple(damages))
    segments = path / names.SEGMENTS
    if os.path.lexists(segments) and (segments.is_symlink() or not segments.is_dir()):
        return Repair(unrepaired=(Damage(names.SEGMENTS, "expected a folder, found another thing; remove it"),))
    opening.set_aside(path, head)
    set_aside = {error.file for error in head.damaged}
    instead = f"set aside; generation {head.manifest.generation} answers"
    mended = [Mended(one.file, one.problem, instead) for one in damages if one.file in set_aside]
    others = [one for one in damages if one.file not in set_aside]
    if not others:
        return Repair(mended=tuple(mended))
    opening.prepare_folder(path, head)
    repairer = _Repairer(path, head.manifest, others, load_encoder)
    if not repairer.has_codebook:
        return Repair(mended=tuple(mended), unrepaired=tuple(others))
    done = repairer.commit()
    return replace(done, mended=(*mended, *done.mended))


class _Repairer:
    """One repair of the segments of a generation."""

    def __init__(self, path: Path, manifest: Manifest, damages: Sequence[Damage], load_encoder: LoadEncoder) -> None:
        self._path, self._manifest, self._damages = path, manifest, damages
        self._damaged = {damage.file for damage in damages}
        self._remains = _remains(path, manifest, self._damaged)
        self._load_encoder = load_encoder
        self._codebook = self._find_codebook()
        self._encoding = encoding_named(manifest.encoding, self._codebook)
        self._actions: dict[str, str] = {}  # by segment
        self._new_segments: list[str] = []
        self._generation = highest_number(path) + 1

    @property
    def has_codebook(self) -> bool:
        """Whether states can be decoded: the codebook is whole, or none is needed, or the encoder has it too."""
        return self._manifest.codebook is None or self._codebook is not None

    def _find_codebook(self) -> Codebook | None:
        """The store's codebook; where it is damaged the encoder's, if that is the same."""
        entry = self._manifest.codebook
        if entry is None:
            return None
        if entry.segment not in self._remains:
            width = self._manifest.encoder.hidden_width
            return CodebookFiles(self._path, entry, width, self._manifest.encoding).codebook
        own = self._load_encoder().codebook
        return own if own is not None and codebook_sum(own) == entry.files[names.CODEBOOK] else None

    def _renewed_indexes(self, blocks: list[BlockEntry]) -> list[IndexEntry]:
        """The vector indexes of the new generation: the whole ones whose blocks stay, and new ones where they pay."""
        manifest = self._manifest
        for entry in manifest.indexes:
            if entry.segment in self._remains:
                self._actions[entry.segment] = "let go; a vector index is built anew where it pays"
        whole = [entry for entry in manifest.indexes if entry.segment not in self._remains]
        kept = index_planning.surviving(whole, blocks)
        return renewed_indexes(
            self._path, self._new_segment, manifest.encoder, manifest.encoding, blocks, kept, manifest.vector_index
        )

    def _write_codebook(self) -> CodebookEntry | None:
        entry = self._manifest.codebook
        if entry is None or entry.segment not in self._remains:
            return entry
        assert self._codebook is not None
        written = write_codebook(self._path, self._new_segment(), self._codebook)
        self._actions[entry.segment] = f"written anew from the reader's into {names.SEGMENTS}/{written.segment}"
        return written

    def commit(self) -> Repair:
        """Write what is new, publish the generation, collect what is no longer needed."""
        self._free_names_of_manifests()
        replaced = [entry for entry in self._manifest.segments if entry.segment in self._remains]
        require_room(self._path, sum(entry.n_bytes for entry in replaced))
        with failing_cleanly(self._path, self._new_segments):
            rows = BlockRepair(self._path, self._manifest, self._remains, self._load_encoder, self._encoding)
            documents = self._salvage_documents(rows)
            catalogues = self._write_catalogues(documents)
            opened = [self._open(entry) for entry in catalogues]
            blocks = rows.write(self._new_segment, opened, documents_changed=bool(documents))
            parent = self._parent()
            manifest = replace(
                self._manifest,
                generation=self._generation,
                parent=parent,
                blocks=tuple(blocks),
                catalogues=tuple(catalogues),
                indexes=tuple(self._renewed_indexes(blocks)),
                codebook=self._write_codebook(),
                compacted=self._manifest.compacted and parent is None,
            )
            publish(self._path, manifest)
        tidy_up(self._path, manifest)
        for segment, one in rows.salvaged.items():
            self._say(segment, "rows", one.n_right, one.entry.n_rows, rows.written[segment])
        return Repair(
            generation=self._generation,
            mended=tuple(self._mended()),
            reencoded=tuple(rows.reencoded),
            n_rows_kept=sum(one.n_right for one in rows.salvaged.values()),
            dropped=tuple(dropped for one in documents.values() for dropped in one.dropped),
            n_dropped_unknown=sum(one.n_unknown for one in documents.values()),
        )

    def _salvage_documents(self, rows: BlockRepair) -> dict[str, SalvagedDocuments]:
        """What is right in each damaged catalogue, by segment."""
        found: dict[str, SalvagedDocuments] = {}
        damaged = [entry for entry in self._manifest.catalogues if entry.segment in self._remains]
        sure = [entry for entry in damaged if self._remains[entry.segment].are_whole(names.CATALOGUE)]
        for entry in (*sure, *(entry for entry in damaged if entry not in sure)):  # the sure ones bear witness
            around = None if entry in sure else self._surroundings(rows, list(found.values()))
            found[entry.segment] = SalvagedDocuments(self._manifest, entry, self._remains[entry.segment], around)
        return found

    def _surroundings(self, rows: BlockRepair, before: Sequence[SalvagedDocuments]) -> Surroundings:
        """What speaks for or against a document: the blocks, the whole catalogues, and what was found before."""
        documents = [np.array(one.right, dtype=np.int64) for one in before]
        passages = [np.array(one.passages_of_right(), dtype=np.int64) for one in before]
        for entry in self._manifest.catalogues:
            if entry.segment not in self._remains:
                catalogue = self._open(entry)
                documents.append(catalogue.files.query_numbers("SELECT id FROM documents"))
                live = catalogue.are_live(np.arange(entry.n_passages))
                passages.append(catalogue.files.passage_ids[live].astype(np.int64))
        return Surroundings(
            keys=rows.committed_keys,
            lost_keys=rows.lost_keys,
            documents=union(documents, np.int64),
            passages=union(passages, np.int64),
        )

    def _write_catalogues(self, documents: dict[str, SalvagedDocuments]) -> list[CatalogueEntry]:
        """The catalogues of the new generation, in the order of the old ones."""
        entries = []
        for entry in self._manifest.catalogues:
            salvaged = documents.get(entry.segment)
            if salvaged is None:
                entries.append(entry)
                continue
            written = salvaged.write(self._new_segment()) if salvaged.right else None
            n_right, n_live = len(salvaged.right), entry.n_live_documents
            self._say(entry.segment, "documents", n_right, n_live, written.segment if written else None)
            if written is not None:
                entries.append(written)
        return entries

    def _open(self, entry: CatalogueEntry) -> Catalogue:
        return Catalogue(entry, CatalogueFiles(self._path, entry))

    def _new_segment(self) -> str:
        self._new_segments.append(names.new_segment_name(self._generation))
        return self._new_segments[-1]

    def _parent(self) -> int | None:
        """The newest whole generation there is: the head, if only its parent was damaged, else that, if it is whole."""
        if not self._remains:
            return self._manifest.generation
        parent = _parent_of(self._path, self._manifest)
        return None if parent is None or not _files(parent.segments).isdisjoint(self._damaged) else parent.generation

    def _free_names_of_manifests(self) -> None:
        """Set a folder aside that lies in the place of the parent's manifest: collection removes only files."""
        for damage in self._damages:
            if names.manifest_generation(damage.file) and (self._path / damage.file).is_dir():
                error = StoreDamaged(damage.file, damage.problem)
                opening.set_aside(self._path, Head(self._manifest, (error,), None))

    def _say(self, segment: str, what: str, n_right: int, n: int, new_segment: str | None) -> None:
        into = f" into {names.SEGMENTS}/{new_segment}" if new_segment else ""
        self._actions[segment] = f"{n_right:,} of {n:,} {what} carried over{into}"

    def _mended(self) -> Iterable[Mended]:
        actions = {
            file: self._actions[entry.segment]
            for entry in self._manifest.segments
            if entry.segment in self._actions
            for file in _files([entry])
        }
        for damage in self._damages:
            yield Mended(damage.file, damage.problem, actions.get(damage.file, "let go with the parent generation"))


def _files(entries: Iterable[Entry]) -> set[str]:
    """The files of some segments, relative to the store."""
    return {names.segment_file(entry.segment, file) for entry in entries for file in entry.files}


def _parent_of(path: Path, manifest: Manifest) -> Manifest | None:
    try:
        return read_manifest(path, manifest.parent) if manifest.parent else None
    except (StoreDamaged, StoreFormat, FileNotFoundError):
        return None


def _remains(path: Path, manifest: Manifest, damaged: set[str]) -> dict[str, Remains]:
    """What is left of each damaged segment, by its name."""
    lost = {
        entry.segment: [file for file in entry.files if names.segment_file(entry.segment, file) in damaged]
        for entry in manifest.segments
    }
    remains = {}
    for entry in manifest.segments:
        misplaced = {}
        for file in lost[entry.segment]:
            for other in (segment for segment, files in lost.items() if segment != entry.segment and file in files):
                with suppress(StoreDamaged):
                    check_file(path, other, file, entry.files[file])
                    misplaced[file] = other
        if lost[entry.segment]:
            gone = frozenset(lost[entry.segment]) - misplaced.keys()
            remains[entry.segment] = Remains(path, entry.segment, gone, misplaced)
    return remains
