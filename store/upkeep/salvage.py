"""Salvages damaged segments: finds which rows, texts and documents in them are still correct.

A row is correct if its own checksums match, or if the files that hold it match the manifest as a whole. So a lost
``sums`` or ``lookup`` costs no row. Lost ``offsets`` are found again row by row, from the checksum of the states. Lost
``keys`` are found by trying the missing keys, in the order that ``lookup`` gives.

Rows of SQLite tables are looked up one by one by number, without other indexes, so that a damaged page does not hide
rows on others. The numbers are known from the passage arrays, if these are undamaged.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import stat
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from deformer_qa.store import names
from deformer_qa.store.encodings import EncodedStates, encoding_named
from deformer_qa.store.errors import StoreDamaged
from deformer_qa.store.manifest import BlockEntry, CatalogueEntry, Manifest
from deformer_qa.store.records import KEY_BYTES, DocumentRecord, EncoderInfo, PassageRecord, keyed_input
from deformer_qa.store.segments import catalogue as schema
from deformer_qa.store.segments import ranges
from deformer_qa.store.segments.block import STATES_SUM, VECTOR_SUM, states_sum, vector_sum, write_arrays
from deformer_qa.store.segments.catalogue import connect_read_only
from deformer_qa.store.segments.catalogue_writer import write_documents
from deformer_qa.store.segments.folder import SegmentFolder

SECTOR_BYTES = 4096  # read separately if a longer read fails, so that a bad sector costs no more


class Leftover:
    """A file read with ``pread``, zeros for unreadable bytes. Never mapped: a bad sector in a map kills the process.

    :ivar n_bytes: its length; 0 if there is no plain file
    """

    def __init__(self, store: Path, segment: str, file: str) -> None:
        self.n_bytes = 0
        self._fd = -1
        try:
            with SegmentFolder(store, segment) as folder:
                self._fd = folder.open_plain(file)
        except OSError:
            return
        weakref.finalize(self, os.close, self._fd)
        found = os.fstat(self._fd)
        if stat.S_ISREG(found.st_mode):
            self.n_bytes = found.st_size

    def read(self, first: int, end: int) -> bytes:
        """The bytes from ``first`` to ``end``, zeros for those that cannot be read."""
        content = bytearray(end - first)
        readable = memoryview(content)[: max(0, min(end, self.n_bytes) - first)]
        try:
            _fill(self._fd, readable, first)
        except OSError:
            for start in range(0, len(readable), SECTOR_BYTES):
                try:
                    _fill(self._fd, readable[start : start + SECTOR_BYTES], first + start)
                except OSError:
                    readable[start : start + SECTOR_BYTES] = bytes(len(readable[start : start + SECTOR_BYTES]))
        return bytes(content)

    def array(self, dtype: DTypeLike, *shape: int) -> NDArray[Any]:
        """The beginning of the file as an array in memory. *Shape:* as requested, zeros for unreadable bytes."""
        n_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=object))
        return np.frombuffer(self.read(0, n_bytes), dtype=dtype).reshape(shape)

    def rows(self, dtype: DTypeLike, width: int, first: int, end: int) -> NDArray[Any]:
        """Some rows of an array with ``width`` columns. *Shape:* (end - first, width)."""
        row_bytes = np.dtype(dtype).itemsize * width
        return np.frombuffer(self.read(first * row_bytes, end * row_bytes), dtype=dtype).reshape(end - first, width)


@dataclass(frozen=True)
class Remains:
    """The remains of a damaged segment.

    :ivar lost: files whose committed bytes are nowhere
    :ivar misplaced: files whose committed bytes are in another segment's folder, with that segment's name
    """

    store: Path
    segment: str
    lost: frozenset[str]
    misplaced: Mapping[str, str]

    def are_whole(self, *files: str) -> bool:
        """Whether these files have exactly their committed bytes, wherever they are."""
        return self.lost.isdisjoint(files)

    def open(self, file: str) -> Leftover:
        """Open the readable part of a file."""
        return Leftover(self.store, self.misplaced.get(file, self.segment), file)

    def path(self, file: str) -> Path:
        """The actual path of a file."""
        return self.store / names.segment_file(self.misplaced.get(file, self.segment), file)


def _fill(fd: int, piece: memoryview, offset: int) -> None:
    """Read until the piece is full or the file ends."""
    while piece.nbytes and (n_read := os.preadv(fd, [piece], offset)):
        piece, offset = piece[n_read:], offset + n_read


KEY_TYPE = f"S{KEY_BYTES}"
MOST_TOKENS = 1024  # of a row whose end is searched for
MOST_CLAIMED = 1 << 16  # tokens of a row; damaged offsets may claim more, which is not read at once
MOST_TRIED = 64  # neighbouring keys tried for a row whose own key is lost


class SalvagedRows:
    """The rows of a damaged block. Only keys, checksums and offsets are held in memory.

    :ivar entry: the block as the manifest has it
    :ivar is_right: *Shape* (existing rows,), bool
    :ivar keys: *Shape* (rows,), ``S16``; true where ``is_right`` is
    :ivar is_proven: whether the committed files, not only the rows' own checksums, confirm the correct rows. If not,
        this may be an undamaged block of another store, put in the place of this one.
    """

    def __init__(self, entry: BlockEntry, remains: Remains, encoder: EncoderInfo, encoding: str) -> None:
        self.entry = entry
        self.encoding = encoding_named(encoding)
        self._remains = remains
        self._vector_width = encoder.vector_width
        self._n_values, self._n_scales = self.encoding.widths(encoder.hidden_width)
        files = {file: remains.open(file) for file in entry.files}
        self._vectors, self._states, self._scales = files[names.VECTORS], files[names.STATES], files.get(names.SCALES)
        self.n_rows = min(entry.n_rows, self._vectors.n_bytes // (4 * encoder.vector_width))  # no vector, no row
        self._n_tokens = min(entry.n_tokens, self._states.n_bytes // (self.encoding.dtype.itemsize * self._n_values))
        self.keys = files[names.KEYS].array(KEY_TYPE, self.n_rows).copy()
        self._claimed = files[names.OFFSETS].array("<u8", self.n_rows + 1)
        self._lookup = files[names.LOOKUP].array("<u4", entry.n_rows if self._remains.are_whole(names.LOOKUP) else 0)
        self._old_sums = files[names.SUMS].array("<u8", self.n_rows, 2)
        self._sums = np.zeros((self.n_rows, 2), dtype="<u8")
        self._places = np.zeros((self.n_rows, 2), dtype=np.int64)  # first and end token
        self.is_right = np.zeros(self.n_rows, dtype=np.bool_)
        content = {names.KEYS, names.OFFSETS, names.STATES, *([names.SCALES] if names.SCALES in entry.files else [])}
        self._vectors_proven = self._remains.are_whole(names.VECTORS, names.KEYS)
        self._states_proven = self._remains.are_whole(*content)
        self.is_proven = self._remains.are_whole(names.SUMS) or (self._vectors_proven and self._states_proven)
        cursor = 0
        for row in range(self.n_rows):
            key = self._key(row)
            cursor = self._find_states(row, key, cursor)
            self.is_right[row] = cursor >= 0 and self._vector_is_right(row, key)

    @property
    def committed_keys(self) -> NDArray[np.bytes_]:
        """The keys known to have been in this block. *Shape:* (keys,), ``S16``."""
        found: NDArray[np.bytes_] = self.keys if self._remains.are_whole(names.KEYS) else self.keys[self.is_right]
        return found

    @property
    def lost_keys(self) -> bool:
        """Whether it held keys that ``committed_keys`` may lack."""
        return not self._remains.are_whole(names.KEYS)

    @property
    def n_right(self) -> int:
        """The number of correct rows."""
        return int(np.count_nonzero(self.is_right))

    def identify(self, missed: NDArray[np.bytes_]) -> None:
        """Assign missing keys to rows whose keys are lost, if the checksums match.

        :param missed: *Shape* (keys,), ``S16``, ascending; the keys that no row has.
        """
        if self._remains.are_whole(names.KEYS) or not self._remains.are_whole(names.LOOKUP, names.SUMS):
            return
        place = 0
        for row in self._lookup:
            if row >= self.n_rows or self.is_right[row]:
                continue
            for tried in range(place, min(place + MOST_TRIED, len(missed))):
                key = padded(missed[tried])
                if self._vector_is_right(row, key):
                    self.is_right[row] = self._find_states(row, key, -1) >= 0
                    self.keys[row], place = missed[tried], tried + 1
                    break

    def forget(self, rows: NDArray[np.bool_]) -> None:
        """Mark rows as wrong. ``rows``: *Shape* (existing rows,), bool."""
        self.is_right &= ~rows

    def row(self, row: int) -> tuple[NDArray[np.float32], EncodedStates]:
        """The vector and the encoded states of a correct row."""
        first, end = (int(place) for place in self._places[row])
        return self._vector(row), self._encoded(first, end)

    def write(self, segment: str, live: NDArray[np.bool_]) -> BlockEntry | None:
        """Write and sync a block of the correct rows; if there are none, writes nothing and returns None.

        ``live``: *Shape* (existing rows,), bool: whether a live passage refers to each.
        """
        kept = np.flatnonzero(self.is_right)
        if not len(kept):
            return None
        keys = self.keys[kept]
        return write_arrays(
            self._remains.store,
            segment,
            self.encoding,
            keys=keys.view("u1").reshape(-1, KEY_BYTES),
            n_tokens=np.diff(self._places[kept], axis=1)[:, 0],
            vectors=(self._vector(int(row)) for row in kept),
            values=(encoded.values for encoded in self._all_encoded(kept)),
            scales=(encoded.scales for encoded in self._all_encoded(kept)),
            sums=(self._sums[kept],),
            dead_rows=ranges.from_numbers(np.flatnonzero(~live[kept])),
        )

    def _key(self, row: int) -> bytes:
        return padded(self.keys[row])

    def _vector_is_right(self, row: int, key: bytes) -> bool:
        found = vector_sum(key, self._vector(row))
        self._sums[row, VECTOR_SUM] = found
        return self._vectors_proven or found == int(self._old_sums[row, VECTOR_SUM])

    def _find_states(self, row: int, key: bytes, cursor: int) -> int:
        """Find and check the tokens of a row; returns where the next row's should begin, -1 if not found.

        ``cursor``: where they should begin, -1 if unknown.
        """
        first, end = (int(place) for place in self._claimed[row : row + 2])
        lost = not self._remains.are_whole(names.OFFSETS)
        is_possible = 0 <= first < end <= self._n_tokens and not (lost and end - first > MOST_CLAIMED)
        if is_possible and self._states_are_right(row, key, first, self._encoded(first, end)):
            return end
        if not lost or not self._remains.are_whole(names.KEYS):
            return -1
        for start in {cursor, first}:
            longest = min(MOST_TOKENS, self._n_tokens - start) if start >= 0 else 0
            following = self._encoded(start, start + max(longest, 0))
            for n in range(1, longest + 1):
                tried = EncodedStates(following.values[:n], following.scales[:n])
                if self._states_are_right(row, key, start, tried):
                    return start + n
        return -1

    def _states_are_right(self, row: int, key: bytes, first: int, encoded: EncodedStates) -> bool:
        found = states_sum(key, encoded)
        self._sums[row, STATES_SUM] = found
        self._places[row] = first, first + len(encoded.values)
        return self._states_proven or found == int(self._old_sums[row, STATES_SUM])

    def _vector(self, row: int) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self._vectors.rows("<f4", self._vector_width, row, row + 1)[0]
        return vector

    def _encoded(self, first: int, end: int) -> EncodedStates:
        scales = np.empty((end - first, 0), dtype=self.encoding.scale_dtype)
        if self._scales is not None:
            scales = self._scales.rows(self.encoding.scale_dtype, self._n_scales, first, end)
        return EncodedStates(self._states.rows(self.encoding.dtype, self._n_values, first, end), scales)

    def _all_encoded(self, rows: NDArray[np.intp]) -> Iterator[EncodedStates]:
        return (self._encoded(int(first), int(end)) for first, end in self._places[rows])


def padded(key: np.bytes_) -> bytes:
    """A key as 16 bytes; numpy drops the zeros at its end."""
    return bytes(key).ljust(KEY_BYTES, b"\0")


Document = tuple[DocumentRecord, list[PassageRecord]]


@dataclass(frozen=True)
class Dropped:
    """A document that left the index because it was damaged.

    ``root`` and ``path`` are None if they are unknown.
    """

    id: int
    root: str | None
    path: str | None
    reason: str


@dataclass(frozen=True)
class Surroundings:
    """Facts from the rest of the store, which reveal a catalogue that belongs to another store.

    :ivar keys: *Shape* (keys,), ``S16``, ascending; keys of rows of the blocks
    :ivar lost_keys: whether blocks held keys that are not among these
    :ivar documents: *Shape* (documents,), int64, ascending; ids that other catalogues hold, live or deleted
    :ivar passages: *Shape* (passages,), int64, ascending; ids of the live passages of other catalogues
    """

    keys: NDArray[np.bytes_]
    lost_keys: bool
    documents: NDArray[np.int64]
    passages: NDArray[np.int64]


class _Wrong(Exception):
    """A document is not correct; the message is the reason."""


class _Foreign(_Wrong):
    """A document may be correct, but belongs elsewhere."""


class SalvagedDocuments:
    """The live documents of a damaged catalogue.

    :ivar entry: the catalogue as the manifest has it
    :ivar right: ids of the correct documents, ascending
    :ivar dropped: the others, as far as known
    :ivar n_unknown: how many more there were
    """

    def __init__(
        self, manifest: Manifest, entry: CatalogueEntry, remains: Remains, around: Surroundings | None
    ) -> None:
        """:param around: the rest of the store; needed if ``meta.sqlite`` is lost."""
        self.entry = entry
        self.right: list[int] = []
        self.dropped: list[Dropped] = []
        self.n_unknown = 0
        self._manifest, self._remains, self._around = manifest, remains, around
        self._arrays_are_whole = remains.are_whole(*_ARRAYS)
        with closing(self._connect()) as connection:
            ids, documents = self._passage_places(connection)
            self._places = _Places(ids, documents)
            self._examine(connection)

    def documents(self) -> Iterator[Document]:
        """Yield the correct documents with their passages."""
        with closing(self._connect()) as connection:
            for document_id in self.right:
                try:
                    yield self._document(connection, document_id)
                except _Wrong as error:  # it was correct a moment ago
                    raise StoreDamaged(names.segment_file(self.entry.segment, names.CATALOGUE), str(error)) from error

    def passages_of_right(self) -> list[int]:
        """The ids of the passages of correct documents."""
        return [id_ for document_id in self.right for id_ in self._places.of(document_id)]

    def write(self, segment: str) -> CatalogueEntry | None:
        """Write and sync a catalogue of the correct documents; if there are none, writes nothing and returns None."""
        return write_documents(self._remains.store, segment, self.documents()) if self.right else None

    def _connect(self) -> sqlite3.Connection:
        if not self._remains.open(names.CATALOGUE).n_bytes:  # so that a path is opened only if it is no link
            return sqlite3.connect(":memory:")
        try:
            connection = connect_read_only(self._remains.path(names.CATALOGUE))
            connection.execute("PRAGMA mmap_size = 0")  # a bad sector in a map kills the process
            (n_tables,) = connection.execute(_PLAIN_TABLES).fetchone()
            return connection if n_tables == 3 else sqlite3.connect(":memory:")
        except (sqlite3.Error, UnicodeDecodeError):
            return sqlite3.connect(":memory:")

    def _passage_places(self, connection: sqlite3.Connection) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids of passages and of their documents. *Shape* of each: (passages,), int64."""
        if self._arrays_are_whole:
            n = self.entry.n_passages
            ids, documents = (self._remains.open(file).array("<u8", n).astype(np.int64) for file in _ARRAYS)
            return ids, documents
        found = _scan(connection, "passages", "id, document_id", self.entry.n_passages)
        rows = np.unique(np.array(list(found), dtype=np.int64).reshape(-1, 2), axis=0)
        return rows[:, 0], rows[:, 1]

    def _examine(self, connection: sqlite3.Connection) -> None:
        """Sort the documents into correct ones and others."""
        with_passages = set(self._places.documents.tolist())
        stated = {id_ for (id_,) in _scan(connection, "documents", "id", self.entry.n_documents)}
        known = sorted(id_ for id_ in with_passages | stated if not self._is_deleted(id_))
        for document_id in known:
            try:
                self._check_number(document_id)
                record, passages = self._document(connection, document_id)
                if self._around is not None:
                    self._check_belonging(self._around, record, passages)
                self.right.append(document_id)
            except _Foreign as reason:
                if self._arrays_are_whole and document_id in with_passages:
                    self.dropped.append(Dropped(document_id, None, None, str(reason)))
            except _Wrong as reason:
                if document_id in with_passages or not self._arrays_are_whole:
                    self.dropped.append(self._drop(connection, document_id, str(reason)))
        if self._around is not None and self.entry.n_passages and not set(self.right) & with_passages:
            self.right = []  # documents without passages cannot prove that this is their catalogue
        self.n_unknown = max(0, self.entry.n_live_documents - len(self.right) - len(self.dropped))

    def _is_deleted(self, document_id: int) -> bool:
        return ranges.contains_one(self.entry.deleted_documents, document_id)

    def _document(self, connection: sqlite3.Connection, document_id: int) -> Document:
        """A document, every row of it compared with its checksum, every passage with its key.

        :raises _Wrong: naming the error.
        """
        (row,) = _rows(connection, "documents", schema.DOCUMENTS, [document_id])
        (text_row,) = _rows(connection, "texts", schema.TEXTS, [document_id])
        info = schema.document_info(row)
        passage_rows = list(_rows(connection, "passages", schema.PASSAGES, self._places.of(document_id)))
        passages = sorted(map(schema.passage_record, passage_rows), key=lambda passage: passage.ordinal)
        _, outline, _, text = text_row
        try:
            record = schema.document_record(info, outline, text)
        except (ValueError, TypeError, RecursionError) as error:
            raise _Wrong(f"texts row {document_id}: the content is not that of a text ({error})") from error
        if [passage.ordinal for passage in passages] != list(range(info.n_passages)):
            raise _Wrong(f"{info.n_passages} passages expected, {len(passages)} found")
        for passage in passages:
            whole = keyed_input(passage.key, passage.heading, record.text[passage.start : passage.end])
            if passage.document_id != document_id or whole is None:
                raise _Wrong(f"passage {passage.id} is not that of its text")
        return record, passages

    def _check_number(self, document_id: int) -> None:
        """Refuse a document that another catalogue holds, unless the arrays confirm that it belongs here.

        :raises _Foreign: with the reason.
        """
        others = None if self._around is None or self._arrays_are_whole else self._around.documents
        if others is not None and _held(others, np.array([document_id])).any():
            raise _Foreign("another catalogue speaks for it")

    def _check_belonging(self, around: Surroundings, record: DocumentRecord, passages: Sequence[PassageRecord]) -> None:
        """Refuse a correct document of another catalogue: the file may come from another store.

        :raises _Foreign: with the reason.
        """
        ids = np.array([passage.id for passage in passages], dtype=np.int64)
        if not self._arrays_are_whole and _held(around.passages, ids).any():
            raise _Foreign("another catalogue speaks for its passages")
        if not 0 < record.id < self._manifest.next_document_id or (ids >= self._manifest.next_passage_id).any():
            raise _Foreign("its number was never given out")
        if passages:
            known = _held(around.keys, np.array([passage.key for passage in passages], dtype=around.keys.dtype))
            if not known.all() and not (around.lost_keys and (known.any() or self._arrays_are_whole)):
                raise _Foreign("no block ever held its passages")

    def _drop(self, connection: sqlite3.Connection, document_id: int, reason: str) -> Dropped:
        try:
            (row,) = _rows(connection, "documents", schema.DOCUMENTS, [document_id])
        except _Wrong:
            return Dropped(document_id, None, None, reason)
        info = schema.document_info(row)
        return Dropped(document_id, info.root, info.path, reason)


# A view or a virtual table in place of a table could compute forever.
_PLAIN_TABLES = (
    "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND rootpage > 0 "
    "AND name IN ('documents', 'texts', 'passages')"
)
_ARRAYS = (names.PASSAGE_IDS, names.PASSAGE_DOCUMENTS)


class _Places:
    """The passages of each document. ``ids`` and ``documents``: *Shape* (passages,), int64, by place."""

    def __init__(self, ids: NDArray[np.int64], documents: NDArray[np.int64]) -> None:
        order = np.argsort(documents, kind="stable")
        self._ids, self.documents = ids[order], documents[order]

    def of(self, document_id: int) -> list[int]:
        """The ids of a document's passages."""
        first, end = np.searchsorted(self.documents, [document_id, document_id + 1])
        found: list[int] = self._ids[first:end].tolist()
        return found


def _rows(
    connection: sqlite3.Connection, table: str, columns: dict[str, type], ids: Iterable[int]
) -> Iterator[Sequence[Any]]:
    """The rows with these numbers, each checked by its checksum and the types of its columns.

    :raises _Wrong: naming the first wrong row.
    """
    names_, number = schema.column_names(columns), next(iter(columns))
    place = list(columns).index("checksum")
    for id_ in ids:
        try:
            found = connection.execute(f"SELECT {names_} FROM {table} WHERE {number} = ?", (id_,)).fetchall()
        except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
            raise _Wrong(f"{table} row {id_}: SQLite cannot read it ({error})") from error
        if len(found) != 1:
            raise _Wrong(f"{table} row {id_} is gone")
        (row,) = found
        fields = (*row[:place], *row[place + 1 :])
        typed = all(type(value) is kind for value, kind in zip(row, columns.values(), strict=True))
        if not typed or row[0] != id_ or not schema.is_whole((*fields, row[place])):
            raise _Wrong(f"{table} row {id_}: the checksum does not match the content")
        yield row


def _scan(connection: sqlite3.Connection, table: str, columns: str, n_expected: int) -> Iterator[tuple[int, ...]]:
    """Integers of all rows reachable from either end of a table; some perhaps twice."""
    for order in ("ASC", "DESC"):
        try:
            rows = connection.execute(f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY id {order}")
            for row in itertools.islice(rows, n_expected):  # a damaged tree may lead in circles
                if all(type(value) is int and 0 < value < 1 << 62 for value in row):
                    yield row
            return  # the table is readable from end to end
        except (sqlite3.Error, UnicodeDecodeError):
            continue


def _held(values: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each wanted value is among some ascending ones. *Shape:* that of ``wanted``."""
    if not len(values):
        return np.zeros(len(wanted), dtype=np.bool_)
    places = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    found: NDArray[np.bool_] = values[places] == wanted
    return found
