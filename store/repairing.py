"""How is a damaged store made whole again? What is left of each damaged segment becomes a new one, in one commit.

No committed file is touched. What can be derived is derived again, rows that are lost are encoded from the texts of
their passages, documents that are lost leave the index by name, so that the next sync reads their files again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import names, opening, ranges
from deformer_qa.store.block import BlockFiles
from deformer_qa.store.block_writing import PendingRow, write_rows
from deformer_qa.store.catalogue import QUERY_BATCH, Catalogue, CatalogueFiles
from deformer_qa.store.committing import failing_cleanly, publish, require_room, tidy_up
from deformer_qa.store.encodings import encoding_named
from deformer_qa.store.errors import InvalidRecord, StoreDamaged, StoreFormat
from deformer_qa.store.generations import Head, find_head, highest_number, list_generations, read_manifest
from deformer_qa.store.leftovers import Remains
from deformer_qa.store.lock import WriterLock
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, Manifest
from deformer_qa.store.recomputing import LoadEncoder, RowEncoder, checked_encoder, compare_row
from deformer_qa.store.records import Damage
from deformer_qa.store.salvaging_documents import Dropped, SalvagedDocuments, Surroundings
from deformer_qa.store.salvaging_rows import KEY_TYPE, SalvagedRows
from deformer_qa.store.verifying import check_file, verify

BATCH_BYTES = 256 << 20  # rows encoded again that wait in memory for a block of their own
N_SPOT_CHECKS = 4  # rows of a block that nothing but itself speaks for
PASSAGE_PAGE = 10_000

Keys = NDArray[np.bytes_]


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
    done = repairer.commit()
    return replace(done, mended=(*mended, *done.mended))


class _Repairer:
    """One repair of the segments of a generation."""

    def __init__(self, path: Path, manifest: Manifest, damages: Sequence[Damage], load_encoder: LoadEncoder) -> None:
        self._path, self._manifest, self._damages = path, manifest, damages
        self._load_encoder = load_encoder
        self._encoder: RowEncoder | None = None
        self._encoding = encoding_named(manifest.encoding)
        self._remains = _remains(path, manifest, {damage.file for damage in damages})
        self._actions: dict[str, str] = {}  # by segment
        self._reencoded: list[int] = []
        self._new_segments: list[str] = []
        self._generation = highest_number(path) + 1

    def commit(self) -> Repair:
        """Write what is new, publish the generation, collect what is no longer needed."""
        self._free_names_of_manifests()
        replaced = [entry for entry in self._manifest.segments if entry.segment in self._remains]
        require_room(self._path, sum(entry.n_bytes for entry in replaced))
        with failing_cleanly(self._path, self._new_segments):
            rows = [self._salvaged_rows(entry) for entry in self._manifest.blocks if entry.segment in self._remains]
            documents = self._salvage_documents(rows)
            catalogues = self._write_catalogues(documents)
            blocks = self._write_blocks(rows, [self._open_catalogue(entry) for entry in catalogues], bool(documents))
            manifest = replace(
                self._manifest,
                generation=self._generation,
                parent=self._parent(),
                blocks=tuple(blocks),
                catalogues=tuple(catalogues),
            )
            publish(self._path, manifest)
        tidy_up(self._path, manifest)
        return Repair(
            generation=self._generation,
            mended=tuple(self._mended()),
            reencoded=tuple(self._reencoded),
            n_rows_kept=sum(int(np.count_nonzero(one.is_right)) for one in rows),
            dropped=tuple(dropped for one in documents.values() for dropped in one.dropped),
            n_dropped_unknown=sum(one.n_unknown for one in documents.values()),
        )

    # Catalogues

    def _salvage_documents(self, rows: Sequence[SalvagedRows]) -> dict[str, SalvagedDocuments]:
        """What is right in each damaged catalogue, by segment."""
        found: dict[str, SalvagedDocuments] = {}
        for entry in self._manifest.catalogues:
            if entry.segment in self._remains:
                around = self._surroundings(rows, list(found.values()))
                found[entry.segment] = SalvagedDocuments(self._manifest, entry, self._remains[entry.segment], around)
        return found

    def _surroundings(self, rows: Sequence[SalvagedRows], before: Sequence[SalvagedDocuments]) -> Surroundings:
        whole = [entry for entry in self._manifest.catalogues if entry.segment not in self._remains]
        documents, passages = [], []
        for catalogue in map(self._open_catalogue, whole):
            documents.append(catalogue.files.query_numbers("SELECT id FROM documents"))
            live = catalogue.are_live(np.arange(catalogue.entry.n_passages))
            passages.append(catalogue.files.passage_ids[live].astype(np.int64))
        for one in before:
            documents.append(np.array(one.right, dtype=np.int64))
            passages.append(np.array(one.passages_of_right(), dtype=np.int64))
        keys = [self._keys_of(entry) for entry in self._whole_blocks()] + [one.committed_keys for one in rows]
        return Surroundings(
            keys=_union(keys, KEY_TYPE),
            lost_keys=any(one.lost_keys for one in rows),
            documents=_union(documents, np.int64),
            passages=_union(passages, np.int64),
        )

    def _write_catalogues(self, documents: dict[str, SalvagedDocuments]) -> list[CatalogueEntry]:
        entries = []
        for entry in self._manifest.catalogues:
            salvaged = documents.get(entry.segment)
            if salvaged is None:
                entries.append(entry)
                continue
            written = salvaged.write(self._new_segment()) if salvaged.right else None
            n_right, n_live = len(salvaged.right), entry.n_live_documents
            self._say(entry.segment, f"{n_right:,} of {n_live:,} documents carried over", written)
            if written is not None:
                entries.append(written)
        return entries

    def _open_catalogue(self, entry: CatalogueEntry) -> Catalogue:
        return Catalogue(entry, CatalogueFiles(self._path, entry))

    # Blocks

    def _write_blocks(
        self, salvaged: Sequence[SalvagedRows], catalogues: Sequence[Catalogue], documents_changed: bool
    ) -> list[BlockEntry]:
        """The blocks of the new generation: each live key in one of them."""
        if not salvaged and not documents_changed:
            return list(self._manifest.blocks)
        live = _live_keys(catalogues)
        held = _union([self._keys_of(entry) for entry in self._whole_blocks()], KEY_TYPE)
        for rows in salvaged:
            self._check_origin(rows, live, catalogues)
        for rows in salvaged:
            right = [other.keys[other.is_right] for other in salvaged]
            rows.identify(np.setdiff1d(live, _union([held, *right], KEY_TYPE)))
            rows.forget(np.isin(rows.keys, held) | _repeated(rows.keys, rows.is_right))
            held = _union([held, rows.keys[rows.is_right]], KEY_TYPE)
        by_segment = {rows.entry.segment: rows for rows in salvaged}
        entries = []
        for entry in self._manifest.blocks:
            if entry.segment not in by_segment:
                entries.append(self._with_dead_rows(entry, live) if documents_changed else entry)
                continue
            rows = by_segment[entry.segment]
            written = rows.write(self._new_segment(), np.isin(rows.keys, live)) if rows.is_right.any() else None
            n_right = int(np.count_nonzero(rows.is_right))
            self._say(entry.segment, f"{n_right:,} of {entry.n_rows:,} rows carried over", written)
            if written is not None:
                entries.append(written)
        return [*entries, *self._encode_again(np.setdiff1d(live, held), catalogues)]

    def _salvaged_rows(self, entry: BlockEntry) -> SalvagedRows:
        return SalvagedRows(entry, self._remains[entry.segment], self._manifest.encoder, self._manifest.encoding)

    def _check_origin(self, rows: SalvagedRows, live: Keys, catalogues: Sequence[Catalogue]) -> None:
        """Encode a few rows again where nothing but a block's own checksums speaks for it: it may be another store's."""
        if rows.is_proven or not rows.is_right.any():
            return
        candidates = np.flatnonzero(rows.is_right & np.isin(rows.keys, live))
        chosen = candidates[np.unique(np.linspace(0, len(candidates) - 1, N_SPOT_CHECKS).astype(int))]
        texts = _passages_of(rows.keys[chosen], catalogues)
        for row in chosen:
            _, text = next(iter(_texts([texts[_key(rows.keys[row])]], catalogues)))
            vector, states = rows.row(int(row))
            if not compare_row(self._encoding, vector, states, self._loaded().encode(text)).is_right:
                break
        else:
            if len(chosen):
                return
        rows.forget(np.ones(len(rows.keys), dtype=np.bool_))

    def _encode_again(self, missing: Keys, catalogues: Sequence[Catalogue]) -> list[BlockEntry]:
        """Blocks of the rows under these keys, made from the texts of their passages in order of passage."""
        entries: list[BlockEntry] = []
        rows: dict[bytes, PendingRow] = {}

        def write() -> None:
            entries.append(write_rows(self._path, self._new_segment(), self._encoding, rows, lambda key: True))
            rows.clear()

        keys = {passage: key for key, passage in _passages_of(missing, catalogues).items()}
        n_bytes = 0
        for passage, text in _texts(sorted(keys), catalogues):
            rows[keys[passage]] = self._encoded(text)
            self._reencoded.append(passage)
            n_bytes += rows[keys[passage]].n_bytes
            if n_bytes >= BATCH_BYTES:
                write()
                n_bytes = 0
        if rows:
            write()
        return entries

    def _encoded(self, text: str) -> PendingRow:
        vector, states = (np.array(array, dtype="<f4", order="C") for array in self._loaded().encode(text))
        encoder = self._manifest.encoder
        shapes = (vector.shape, states.shape[1:], states.ndim)
        if shapes != ((encoder.vector_width,), (encoder.hidden_width,), 2) or not len(states):
            raise InvalidRecord(f"row: the encoder gave a vector of {vector.shape} and states of {states.shape}.")
        if not (np.isfinite(vector).all() and np.isfinite(states).all()):
            raise InvalidRecord("row: the encoder gave a value that is not finite, expected numbers.")
        return PendingRow(vector, self._encoding.encode(states))

    def _with_dead_rows(self, entry: BlockEntry, live: Keys) -> BlockEntry:
        dead = ranges.from_numbers(np.flatnonzero(~np.isin(self._keys_of(entry), live)))
        return entry if dead == entry.dead_rows else replace(entry, dead_rows=dead)

    def _keys_of(self, entry: BlockEntry) -> Keys:
        files = BlockFiles(self._path, entry, self._manifest.encoder, self._manifest.encoding)
        keys: Keys = files.keys.reshape(-1).view(KEY_TYPE)
        return keys

    def _whole_blocks(self) -> list[BlockEntry]:
        return [entry for entry in self._manifest.blocks if entry.segment not in self._remains]

    # The rest

    def _loaded(self) -> RowEncoder:
        if self._encoder is None:
            self._encoder = checked_encoder(self._path, self._manifest, self._load_encoder)
        return self._encoder

    def _new_segment(self) -> str:
        self._new_segments.append(names.new_segment_name(self._generation))
        return self._new_segments[-1]

    def _parent(self) -> int | None:
        """The newest whole generation there is: the head, if only its parent was damaged, else that, if it is whole."""
        if not self._remains:
            return self._manifest.generation
        parent = _parent_of(self._path, self._manifest)
        damaged = {damage.file for damage in self._damages}
        if parent is None or any(
            names.segment_file(entry.segment, file) in damaged for entry in parent.segments for file in entry.files
        ):
            return None
        return parent.generation

    def _free_names_of_manifests(self) -> None:
        """Set a folder aside that lies in the place of the parent's manifest: collection removes only files."""
        for damage in self._damages:
            if names.manifest_generation(damage.file) and (self._path / damage.file).is_dir():
                error = StoreDamaged(damage.file, damage.problem)
                opening.set_aside(self._path, Head(self._manifest, (error,), None))

    def _say(self, segment: str, action: str, written: BlockEntry | CatalogueEntry | None) -> None:
        where = f" into {names.SEGMENTS}/{written.segment}" if written else ""
        self._actions[segment] = f"{action}{where}"

    def _mended(self) -> Iterable[Mended]:
        files = {
            names.segment_file(entry.segment, file): self._actions[entry.segment]
            for entry in self._manifest.segments
            if entry.segment in self._actions
            for file in entry.files
        }
        for damage in self._damages:
            yield Mended(damage.file, damage.problem, files.get(damage.file, "let go with the parent generation"))


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
        if not lost[entry.segment]:
            continue
        misplaced: dict[str, str] = {}
        for file in lost[entry.segment]:
            for other in (segment for segment, files in lost.items() if segment != entry.segment and file in files):
                try:
                    check_file(path, other, file, entry.files[file])
                except StoreDamaged:
                    continue
                misplaced[file] = other
        gone = frozenset(lost[entry.segment]) - misplaced.keys()
        remains[entry.segment] = Remains(path, entry.segment, gone, misplaced)
    return remains


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
    return _union(pieces, KEY_TYPE)


def _passages_of(keys: Keys, catalogues: Sequence[Catalogue]) -> dict[bytes, int]:
    """The first live passage of each key."""
    wanted = [_key(key) for key in keys]
    found: dict[bytes, int] = {}
    for start in range(0, len(wanted), QUERY_BATCH):
        for catalogue in catalogues:
            for passage in catalogue.passages_with_keys(wanted[start : start + QUERY_BATCH]):
                found[passage.key] = min(passage.id, found.get(passage.key, passage.id))
    return found


def _texts(passages: Sequence[int], catalogues: Sequence[Catalogue]) -> Iterable[tuple[int, str]]:
    """Passages with their texts, in this order, a batch at a time."""
    for start in range(0, len(passages), QUERY_BATCH):
        batch = passages[start : start + QUERY_BATCH]
        texts = {id_: text for catalogue in catalogues for id_, text in catalogue.passage_texts(batch).items()}
        yield from ((id_, texts[id_]) for id_ in batch)


def _key(key: Any) -> bytes:
    return bytes(key).ljust(np.dtype(KEY_TYPE).itemsize, b"\0")


def _union(pieces: Iterable[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    """The distinct values of some arrays, ascending."""
    return np.unique(np.concatenate([np.empty(0, dtype=dtype), *pieces]))


def _repeated(keys: Keys, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether an earlier one of ``among`` has the key of a row. *Shape* of all: (rows,)."""
    repeated = among.copy()
    places = np.flatnonzero(among)
    repeated[places[np.unique(keys[places], return_index=True)[1]]] = False
    return repeated
