"""Which blocks does a repaired generation have? Each row that a live passage needs is carried over or encoded again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import ranges
from deformer_qa.store.block import BlockFiles
from deformer_qa.store.block_writing import PendingRow, write_rows
from deformer_qa.store.catalogue import QUERY_BATCH, Catalogue
from deformer_qa.store.encodings import Encoding
from deformer_qa.store.leftovers import Remains
from deformer_qa.store.manifest import BlockEntry, Manifest
from deformer_qa.store.pending import check_row
from deformer_qa.store.recomputing import LoadEncoder, RowEncoder, checked_encoder, compare_row
from deformer_qa.store.records import block_key
from deformer_qa.store.salvaging_rows import KEY_TYPE, SalvagedRows

BATCH_BYTES = 256 << 20  # rows encoded again that wait in memory for a block of their own
N_SPOT_CHECKS = 4  # rows of a block that nothing but itself speaks for
PASSAGE_PAGE = 10_000

Keys = NDArray[np.bytes_]


class BlockRepair:
    """The blocks of a generation, those among them that are damaged, and the encoder for what is lost.

    :ivar salvaged: what is right in each damaged block, by segment
    :ivar written: the segment that each damaged block became, None where no row of it was right
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
        """Every key that a block is known to have held. *Shape:* (keys,), ``S16``, ascending."""
        return union([*map(self._keys_of, self._whole), *(rows.committed_keys for rows in self.salvaged.values())])

    @property
    def lost_keys(self) -> bool:
        """Whether blocks held keys that ``committed_keys`` may lack."""
        return any(rows.lost_keys for rows in self.salvaged.values())

    def write(
        self, new_segment: Callable[[], str], catalogues: Sequence[Catalogue], documents_changed: bool
    ) -> list[BlockEntry]:
        """Write what is new; the entries of the new generation, in which each live key has one row.

        :param catalogues: those of the new generation, all whole.
        :param documents_changed: whether they may lack documents that were there before.
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
        """Decide which rows of the damaged blocks are carried over; returns the keys of all that will be there."""
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
        """Encode a few rows again where a block's own checksums alone speak for it: it may be another store's."""
        if rows.is_proven or not rows.is_right.any():
            return
        candidates = np.flatnonzero(rows.is_right & np.isin(rows.keys, live))
        chosen = candidates[np.unique(np.linspace(0, len(candidates) - 1, N_SPOT_CHECKS).astype(int))]
        passages = _passages_of(rows.keys[chosen], catalogues)
        for row in chosen:
            _, whole = next(iter(_inputs([passages[_key(rows.keys[row])]], catalogues)))
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
        """Blocks of the rows under these keys, made from the encoder inputs of their passages, in order of passage."""
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
    wanted = [_key(key) for key in keys]
    found: dict[bytes, int] = {}
    for start in range(0, len(wanted), QUERY_BATCH):
        for catalogue in catalogues:
            for passage in catalogue.passages_with_keys(wanted[start : start + QUERY_BATCH]):
                found[passage.key] = min(passage.id, found.get(passage.key, passage.id))
    return found


def _inputs(passages: Sequence[int], catalogues: Sequence[Catalogue]) -> Iterable[tuple[int, str]]:
    """Passages with what the encoder read of them, in this order, a batch at a time."""
    for start in range(0, len(passages), QUERY_BATCH):
        batch = passages[start : start + QUERY_BATCH]
        wholes = {id_: whole for catalogue in catalogues for id_, whole in catalogue.passage_inputs(batch).items()}
        yield from ((id_, wholes[id_]) for id_ in batch)


def _key(key: Any) -> bytes:
    return bytes(key).ljust(np.dtype(KEY_TYPE).itemsize, b"\0")


def union(pieces: Iterable[NDArray[Any]], dtype: Any = KEY_TYPE) -> NDArray[Any]:
    """The distinct values of some arrays, ascending."""
    return np.unique(np.concatenate([np.empty(0, dtype=dtype), *pieces]))


def _repeated(keys: Keys, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether an earlier one of ``among`` has the key of a row. *Shape* of all: (rows,)."""
    repeated = among.copy()
    places = np.flatnonzero(among)
    repeated[places[np.unique(keys[places], return_index=True)[1]]] = False
    return repeated
