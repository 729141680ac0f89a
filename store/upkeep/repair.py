"""Repairs a store: what is left of each damaged segment becomes a new one, all in one commit.

No committed file is changed. Derived files are derived again, lost rows are encoded from the texts of their passages,
and lost documents leave the index and are named, so that the next sync reads their files again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import names, opening
from deformer_qa.store.commit import failing_cleanly, publish, require_room, tidy_up
from deformer_qa.store.encodings import Codebook, Encoding, encoding_named
from deformer_qa.store.errors import StoreDamaged, StoreFormat
from deformer_qa.store.generations import Head, find_head, highest_number, list_generations, read_manifest
from deformer_qa.store.lock import WriterLock
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, CodebookEntry, Entry, IndexEntry, Manifest
from deformer_qa.store.pending import check_row
from deformer_qa.store.records import Damage, block_key
from deformer_qa.store.segments import ranges
from deformer_qa.store.segments.block import BlockFiles, PendingRow, write_rows
from deformer_qa.store.segments.catalogue import QUERY_BATCH, Catalogue, CatalogueFiles
from deformer_qa.store.segments.codebook_file import CodebookFiles, codebook_sum, write_codebook
from deformer_qa.store.upkeep.reindex import renewed_indexes, surviving
from deformer_qa.store.upkeep.salvage import (
    KEY_TYPE,
    Dropped,
    Remains,
    SalvagedDocuments,
    SalvagedRows,
    Surroundings,
    padded,
)
from deformer_qa.store.upkeep.verify import LoadEncoder, RowEncoder, check_file, checked_encoder, compare_row, verify

BATCH_BYTES = 256 << 20  # of rows encoded again that wait in memory for a block
N_SPOT_CHECKS = 4  # rows to check of a block that only its own checksums vouch for
PASSAGE_PAGE = 10_000

Keys = NDArray[np.bytes_]


class BlockRepair:
    """Repairs the blocks of a generation, with the encoder for lost rows.

    :ivar salvaged: the correct rows of each damaged block, by segment
    :ivar written: the new segment of each damaged block, None if none of its rows was correct
    :ivar reencoded: a passage of each row that was encoded again
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        remains: Mapping[str, Remains],
        load_encoder: LoadEncoder,
        encoding: Encoding,
    ) -> None:
        self._path, self._manifest = path, manifest
        self._load_encoder = load_encoder
        self._encoder: RowEncoder | None = None
        self._encoding = encoding
        self._whole = [entry for entry in manifest.blocks if entry.segment not in remains]
        self.salvaged = {
            entry.segment: SalvagedRows(entry, remains[entry.segment], manifest.encoder, manifest.encoding)
            for entry in manifest.blocks
            if entry.segment in remains
        }
        self.written: dict[str, str | None] = {}
        self.reencoded: list[int] = []

    @property
    def committed_keys(self) -> Keys:
        """Every key known to have been in a block. *Shape:* (keys,), ``S16``, ascending."""
        return union([*map(self._keys_of, self._whole), *(rows.committed_keys for rows in self.salvaged.values())])

    @property
    def lost_keys(self) -> bool:
        """Whether blocks held keys that ``committed_keys`` may lack."""
        return any(rows.lost_keys for rows in self.salvaged.values())

    def write(
        self, new_segment: Callable[[], str], catalogues: Sequence[Catalogue], documents_changed: bool
    ) -> list[BlockEntry]:
        """Write the new blocks; returns the entries of the new generation, in which each live key has one row.

        :param catalogues: those of the new generation, all undamaged.
        :param documents_changed: whether they may lack earlier documents.
        """
        if not self.salvaged and not documents_changed:
            return list(self._manifest.blocks)
        live = _live_keys(catalogues)
        held = self._settle_rows(live, catalogues)
        entries = []
        for entry in self._manifest.blocks:
            rows = self.salvaged.get(entry.segment)
            if rows is None:
                entries.append(self._with_dead_rows(entry, live) if documents_changed else entry)
                continue
            written = rows.write(new_segment(), np.isin(rows.keys, live)) if rows.is_right.any() else None
            self.written[entry.segment] = written.segment if written else None
            if written is not None:
                entries.append(written)
        return [*entries, *self._encode_again(np.setdiff1d(live, held), new_segment, catalogues)]

    def _settle_rows(self, live: Keys, catalogues: Sequence[Catalogue]) -> Keys:
        """Decide which rows of the damaged blocks to copy; returns the keys of all rows that will exist."""
        salvaged = list(self.salvaged.values())
        for rows in salvaged:
            self._check_origin(rows, live, catalogues)
        held = union(map(self._keys_of, self._whole))
        for rows in salvaged:
            right = [other.keys[other.is_right] for other in salvaged]
            rows.identify(np.setdiff1d(live, union([held, *right])))
            rows.forget(np.isin(rows.keys, held) | _repeated(rows.keys, rows.is_right))
            held = union([held, rows.keys[rows.is_right]])
        return held

    def _check_origin(self, rows: SalvagedRows, live: Keys, catalogues: Sequence[Catalogue]) -> None:
        """Encode a few rows again if only a block's own checksums vouch for it: it may come from another store."""
        if rows.is_proven or not rows.is_right.any():
            return
        candidates = np.flatnonzero(rows.is_right & np.isin(rows.keys, live))
        chosen = candidates[np.unique(np.linspace(0, len(candidates) - 1, N_SPOT_CHECKS).astype(int))]
        passages = _passages_of(rows.keys[chosen], catalogues)
        for row in chosen:
            _, whole = next(iter(_inputs([passages[padded(rows.keys[row])]], catalogues)))
            vector, states = rows.row(int(row))
            if not compare_row(self._encoding, vector, states, self._loaded().encode(whole)).is_right:
                break
        else:
            if len(chosen):
                return
        rows.forget(np.ones(len(rows.keys), dtype=np.bool_))

    def _encode_again(
        self, missing: Keys, new_segment: Callable[[], str], catalogues: Sequence[Catalogue]
    ) -> list[BlockEntry]:
        """Write blocks of the rows with these keys, encoded from their passages' inputs, in order of passage."""
        entries: list[BlockEntry] = []
        rows: dict[bytes, PendingRow] = {}

        def write() -> None:
            entries.append(write_rows(self._path, new_segment(), self._encoding, rows, lambda key: True))
            rows.clear()

        keys = {passage: key for key, passage in _passages_of(missing, catalogues).items()}
        n_bytes = 0
        for passage, whole in _inputs(sorted(keys), catalogues):
            rows[keys[passage]] = self._encoded(whole)
            self.reencoded.append(passage)
            n_bytes += rows[keys[passage]].n_bytes
            if n_bytes >= BATCH_BYTES:
                write()
                n_bytes = 0
        if rows:
            write()
        return entries

    def _encoded(self, whole: str) -> PendingRow:
        vector, states = (np.array(array, dtype="<f4", order="C") for array in self._loaded().encode(whole))
        encoder = self._manifest.encoder
        check_row(block_key(whole), vector, states, encoder)
        return PendingRow(vector, self._encoding.encode(states))

    def _with_dead_rows(self, entry: BlockEntry, live: Keys) -> BlockEntry:
        dead = ranges.from_numbers(np.flatnonzero(~np.isin(self._keys_of(entry), live)))
        return entry if dead == entry.dead_rows else replace(entry, dead_rows=dead)

    def _keys_of(self, entry: BlockEntry) -> Keys:
        files = BlockFiles(self._path, entry, self._manifest.encoder, self._manifest.encoding)
        keys: Keys = files.keys.reshape(-1).view(KEY_TYPE)
        return keys

    def _loaded(self) -> RowEncoder:
        if self._encoder is None:
            self._encoder = checked_encoder(self._path, self._manifest, self._load_encoder)
        return self._encoder


def _live_keys(catalogues: Sequence[Catalogue]) -> Keys:
    """The keys that live passages refer to. *Shape:* (keys,), ``S16``, ascending."""
    pieces = []
    sql = f"SELECT id, document_id, key FROM passages WHERE id > ? ORDER BY id LIMIT {PASSAGE_PAGE}"
    for catalogue in catalogues:
        last = -1
        while rows := catalogue.files.query(sql, (last,)):
            keys = np.array([key for _, _, key in rows], dtype=KEY_TYPE)
            documents = np.array([document for _, document, _ in rows], dtype=np.int64)
            pieces.append(keys[~ranges.contains(catalogue.entry.deleted_documents, documents)])
            last = rows[-1][0]
    return union(pieces)


def _passages_of(keys: Keys, catalogues: Sequence[Catalogue]) -> dict[bytes, int]:
    """The first live passage of each key."""
    wanted = [padded(key) for key in keys]
    found: dict[bytes, int] = {}
    for start in range(0, len(wanted), QUERY_BATCH):
        for catalogue in catalogues:
            for passage in catalogue.passages_with_keys(wanted[start : start + QUERY_BATCH]):
                found[passage.key] = min(passage.id, found.get(passage.key, passage.id))
    return found


def _inputs(passages: Sequence[int], catalogues: Sequence[Catalogue]) -> Iterable[tuple[int, str]]:
    """Yield passages with their encoder inputs, in this order, read in batches."""
    for start in range(0, len(passages), QUERY_BATCH):
        batch = passages[start : start + QUERY_BATCH]
        wholes = {id_: whole for catalogue in catalogues for id_, whole in catalogue.passage_inputs(batch).items()}
        yield from ((id_, wholes[id_]) for id_ in batch)


def union(pieces: Iterable[NDArray[Any]], dtype: Any = KEY_TYPE) -> NDArray[Any]:
    """The distinct values of some arrays, ascending."""
    return np.unique(np.concatenate([np.empty(0, dtype=dtype), *pieces]))


def _repeated(keys: Keys, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether an earlier row of ``among`` has the same key. *Shape* of all: (rows,)."""
    repeated = among.copy()
    places = np.flatnonzero(among)
    repeated[places[np.unique(keys[places], return_index=True)[1]]] = False
    return repeated


@dataclass(frozen=True)
class Mended:
    """A damaged file, and what the repair did about it."""

    file: str
    problem: str
    action: str


@dataclass(frozen=True)
class Repair:
    """The result of a repair.

    :ivar generation: the committed one; None if there was nothing to commit
    :ivar mended: every damaged file that is no longer needed
    :ivar reencoded: a passage of each row that was encoded again
    :ivar n_rows_kept: rows of damaged blocks that were copied unchanged
    :ivar dropped: documents that left the index
    :ivar n_dropped_unknown: how many more left it whose ids are unknown
    :ivar unrepaired: files that cannot be repaired; then nothing was done
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
    """Repair a store under the writer's lock; if nothing is damaged, nothing is committed.

    ``load_encoder`` is called only when the first row must be encoded.

    :raises StoreLocked: at once, if another process writes.
    :raises EncoderMismatch: if rows are lost and the encoder is not the store's.
    :raises StoreMissing, StoreFormat, StoreAccess, StoreFull, CommitFailed, CommitUncertain: as a commit does.
    """
    path = Path(path)
    list_generations(path)  # raises before a lock file is made where there is no store
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
    """Repairs the segments of a generation."""

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
        """Whether states can be decoded: the codebook is undamaged, not needed, or known from the encoder."""
        return self._manifest.codebook is None or self._codebook is not None

    def _find_codebook(self) -> Codebook | None:
        """The store's codebook; if it is damaged, the encoder's, provided it is the same."""
        entry = self._manifest.codebook
        if entry is None:
            return None
        if entry.segment not in self._remains:
            width = self._manifest.encoder.hidden_width
            return CodebookFiles(self._path, entry, width, self._manifest.encoding).codebook
        own = self._load_encoder().codebook
        return own if own is not None and codebook_sum(own) == entry.files[names.CODEBOOK] else None

    def _renewed_indexes(self, blocks: list[BlockEntry]) -> list[IndexEntry]:
        """The vector indexes of the new generation: undamaged ones whose blocks stay, and new ones where due."""
        manifest = self._manifest
        for entry in manifest.indexes:
            if entry.segment in self._remains:
                self._actions[entry.segment] = "let go; a vector index is built anew where it pays"
        whole = [entry for entry in manifest.indexes if entry.segment not in self._remains]
        kept = surviving(whole, blocks)
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
        """Write the new segments, publish the generation, collect files no longer needed."""
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
        """The correct documents of each damaged catalogue, by segment."""
        found: dict[str, SalvagedDocuments] = {}
        damaged = [entry for entry in self._manifest.catalogues if entry.segment in self._remains]
        sure = [entry for entry in damaged if self._remains[entry.segment].are_whole(names.CATALOGUE)]
        for entry in (*sure, *(entry for entry in damaged if entry not in sure)):  # sure ones first, as evidence
            around = None if entry in sure else self._surroundings(rows, list(found.values()))
            found[entry.segment] = SalvagedDocuments(self._manifest, entry, self._remains[entry.segment], around)
        return found

    def _surroundings(self, rows: BlockRepair, before: Sequence[SalvagedDocuments]) -> Surroundings:
        """The evidence for or against a document: the blocks, undamaged catalogues, and earlier findings."""
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
        """The newest undamaged generation: the head, if only its parent was damaged, else the parent, if undamaged."""
        if not self._remains:
            return self._manifest.generation
        parent = _parent_of(self._path, self._manifest)
        return None if parent is None or not _files(parent.segments).isdisjoint(self._damaged) else parent.generation

    def _free_names_of_manifests(self) -> None:
        """Set aside a folder in the place of the parent's manifest, because collection removes only files."""
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
