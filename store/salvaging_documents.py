"""Which documents of a damaged catalogue are still right? Those whose rows, text and passages all are.

Rows are looked up one by one by their number, through no other index: where SQLite stumbles over a page, what lies on
others is still found. Which numbers there are is known from the passage arrays, where these are whole.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import catalogue_schema as schema
from deformer_qa.store import names, ranges
from deformer_qa.store.catalogue import connect_read_only
from deformer_qa.store.catalogue_writing import write_documents
from deformer_qa.store.errors import StoreDamaged
from deformer_qa.store.leftovers import Remains
from deformer_qa.store.manifest import CatalogueEntry, Manifest
from deformer_qa.store.records import DocumentRecord, PassageRecord, keyed_input

Document = tuple[DocumentRecord, list[PassageRecord]]


@dataclass(frozen=True)
class Dropped:
    """A document that left the index because it was damaged.

    ``root`` and ``path`` are None where nothing says them any more.
    """

    id: int
    root: str | None
    path: str | None
    reason: str


@dataclass(frozen=True)
class Surroundings:
    """What the rest of the store says, by which a catalogue of another store is told from the one that was here.

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
    """A document that is not right; the message is the reason."""


class _Foreign(_Wrong):
    """A document that may be right, but not here."""


class SalvagedDocuments:
    """The live documents of a damaged catalogue.

    :ivar entry: the catalogue as the manifest has it
    :ivar right: ids of the documents that are right, ascending
    :ivar dropped: the others, as far as they are known
    :ivar n_unknown: how many more there were
    """

    def __init__(
        self, manifest: Manifest, entry: CatalogueEntry, remains: Remains, around: Surroundings | None
    ) -> None:
        """:param around: the rest of the store; needed where ``meta.sqlite`` is lost."""
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
        """The documents that are right, with their passages, one at a time."""
        with closing(self._connect()) as connection:
            for document_id in self.right:
                try:
                    yield self._document(connection, document_id)
                except _Wrong as error:  # it was right a moment ago
                    raise StoreDamaged(names.segment_file(self.entry.segment, names.CATALOGUE), str(error)) from error

    def passages_of_right(self) -> list[int]:
        """The ids of the passages of the documents that are right."""
        return [id_ for document_id in self.right for id_ in self._places.of(document_id)]

    def write(self, segment: str) -> CatalogueEntry | None:
        """Write and sync a catalogue of the documents that are right; None, and nothing is written, where none is."""
        return write_documents(self._remains.store, segment, self.documents()) if self.right else None

    def _connect(self) -> sqlite3.Connection:
        if not self._remains.open(names.CATALOGUE).n_bytes:  # opened by path only where no link leads away
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
        """Sort the documents into those that are right and those that are not."""
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
            self.right = []  # documents without passages alone do not show that this is their catalogue
        self.n_unknown = max(0, self.entry.n_live_documents - len(self.right) - len(self.dropped))

    def _is_deleted(self, document_id: int) -> bool:
        return ranges.contains_one(self.entry.deleted_documents, document_id)

    def _document(self, connection: sqlite3.Connection, document_id: int) -> Document:
        """A document, every row of it compared with its checksum, every passage with its key.

        :raises _Wrong: saying what is not right.
        """
        (row,) = _rows(connection, "documents", schema.DOCUMENTS, [document_id])
        (text_row,) = _rows(connection, "texts", schema.TEXTS, [document_id])
        info = schema.document_info(row)
        passage_rows = list(_rows(connection, "passages", schema.PASSAGES, self._places.of(document_id)))
        passages = sorted(map(schema.passage_record, passage_rows), key=lambda passage: passage.ordinal)
        _, outline, _, text = text_row
        try:
            text, headings = text.decode("utf-8"), tuple((offset, heading) for offset, heading in json.loads(outline))
        except (ValueError, TypeError, RecursionError) as error:
            raise _Wrong(f"texts row {document_id}: the content is not that of a text ({error})") from error
        if [passage.ordinal for passage in passages] != list(range(info.n_passages)):
            raise _Wrong(f"{info.n_passages} passages expected, {len(passages)} found")
        for passage in passages:
            whole = keyed_input(passage.key, passage.heading, text[passage.start : passage.end])
            if passage.document_id != document_id or whole is None:
                raise _Wrong(f"passage {passage.id} is not that of its text")
        record = DocumentRecord(
            id=info.id,
            root=info.root,
            path=info.path,
            title=info.title,
            content_hash=info.content_hash,
            text=text,
            outline=headings,
            meta=info.meta,
            source_state=info.source_state,
        )
        return record, passages

    def _check_number(self, document_id: int) -> None:
        """Refuse a document that another catalogue speaks for, unless the arrays say that it is this one's.

        :raises _Foreign: saying so.
        """
        others = None if self._around is None or self._arrays_are_whole else self._around.documents
        if others is not None and _held(others, np.array([document_id])).any():
            raise _Foreign("another catalogue speaks for it")

    def _check_belonging(self, around: Surroundings, record: DocumentRecord, passages: Sequence[PassageRecord]) -> None:
        """Refuse a document that is right but not of this catalogue: its file may be that of another store.

        :raises _Foreign: saying why.
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


# A view, or a virtual table, in the place of a table could compute for ever.
_PLAIN_TABLES = (
    "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND rootpage > 0 "
    "AND name IN ('documents', 'texts', 'passages')"
)
_ARRAYS = (names.PASSAGE_IDS, names.PASSAGE_DOCUMENTS)


class _Places:
    """Which passages each document has. ``ids`` and ``documents``: *Shape* (passages,), int64, by place."""

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
    """The rows of these numbers, each compared with its checksum, and its columns with their types.

    :raises _Wrong: naming the first that is not right.
    """
    names_, number = schema.columns(columns), next(iter(columns))
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
    """Integers of all rows that can be reached from either end of a table; some perhaps twice."""
    for order in ("ASC", "DESC"):
        try:
            rows = connection.execute(f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY id {order}")
            for row in itertools.islice(rows, n_expected):  # a damaged tree may lead in circles
                if all(type(value) is int and 0 < value < 1 << 62 for value in row):
                    yield row
            return  # it was whole from this end to the other
        except (sqlite3.Error, UnicodeDecodeError):
            continue


def _held(values: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each wanted value is among some ascending ones. *Shape:* that of ``wanted``."""
    if not len(values):
        return np.zeros(len(wanted), dtype=np.bool_)
    places = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    found: NDArray[np.bool_] = values[places] == wanted
    return found
