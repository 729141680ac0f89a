"""A catalogue segment: documents, their texts, passages and words in SQLite, as one generation sees them."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import threading
import weakref
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from deformer_qa.store import names
from deformer_qa.store.errors import StoreDamaged
from deformer_qa.store.manifest import CatalogueEntry
from deformer_qa.store.records import DocumentInfo, DocumentRecord, PassageRecord, keyed_input, to_json
from deformer_qa.store.segments import ranges
from deformer_qa.store.segments.folder import SegmentFolder
from deformer_qa.store.segments.postings import WordFiles

if TYPE_CHECKING:
    from deformer_qa.store.conditions import Where

TOKENIZER = "porter unicode61 remove_diacritics 2"

# Column names and Python types, in order; the first is the primary key.
DOCUMENTS: dict[str, type] = {
    "id": int,
    "root": str,
    "path": str,
    "title": str,
    "content_hash": str,
    "source_state": str,
    "meta": str,  # JSON
    "n_passages": int,
    "checksum": int,
}
TEXTS: dict[str, type] = {"document_id": int, "outline": str, "checksum": int, "text": bytes}  # text last: it is long
PASSAGES: dict[str, type] = {
    "id": int,
    "document_id": int,
    "ordinal": int,
    "start": int,  # code points
    "end": int,
    "first_byte": int,  # the same span in the document's UTF-8
    "end_byte": int,
    "heading": str,
    "key": bytes,
    "checksum": int,
}

# Splits texts into words; a table of it is never kept.
FTS5 = f"fts5(title, heading, body, content='', tokenize='{TOKENIZER}')"


def mark(segment: str) -> int:
    """The mark of a catalogue's segment, stored as SQLite's user_version: a signed 32-bit integer."""
    return int.from_bytes(bytes.fromhex(segment.partition("-")[2]), "big", signed=True)


def column_names(table: dict[str, type]) -> str:
    """The columns of a table for a SELECT, in order."""
    return ", ".join(f'"{name}"' for name in table)


def document_row(document: DocumentRecord, n_passages: int) -> tuple[Any, ...]:
    """A row of ``documents``."""
    fields = (
        document.id,
        document.root,
        document.path,
        document.title,
        document.content_hash,
        document.source_state,
        to_json(dict(document.meta)),
        n_passages,
    )
    return (*fields, row_checksum(fields))


def text_row(document: DocumentRecord, text: bytes) -> tuple[Any, ...]:
    """A row of ``texts``."""
    outline = to_json([list(entry) for entry in document.outline])
    return (document.id, outline, row_checksum((document.id, outline, text)), text)


def passage_row(passage: PassageRecord, first_byte: int, end_byte: int) -> tuple[Any, ...]:
    """A row of ``passages``."""
    fields = (
        passage.id,
        passage.document_id,
        passage.ordinal,
        passage.start,
        passage.end,
        first_byte,
        end_byte,
        passage.heading,
        passage.key,
    )
    return (*fields, row_checksum(fields))


def row_checksum(fields: Sequence[int | str | bytes]) -> int:
    """xxh3-64 over a row's fields, as the signed integer that SQLite keeps.

    An integer counts as 8 bytes little-endian; text and bytes as their length, likewise, and their UTF-8.
    """
    hasher = xxhash.xxh3_64()
    for field in fields:
        if isinstance(field, int):
            hasher.update(struct.pack("<q", field))
        else:
            content = field.encode("utf-8") if isinstance(field, str) else field
            hasher.update(struct.pack("<q", len(content)))
            hasher.update(content)
    return int.from_bytes(hasher.digest(), "big", signed=True)


def is_whole(row: Sequence[Any]) -> bool:
    """Whether a row, its checksum last, is undamaged; a value of an unexpected type is damage too."""
    fields = row[:-1]
    if not all(isinstance(field, int | str | bytes) for field in fields):
        return False
    return bool(row_checksum(fields) == row[-1])


def document_info(row: Sequence[Any]) -> DocumentInfo:
    """The value of a checked row of ``documents``."""
    id_, root, path, title, content_hash, source_state, meta, n_passages, _ = row
    return DocumentInfo(id_, root, path, title, content_hash, json.loads(meta), source_state, n_passages)


def passage_record(row: Sequence[Any]) -> PassageRecord:
    """The value of a checked row of ``passages``."""
    id_, document_id, ordinal, start, end, _, _, heading, key, _ = row
    return PassageRecord(id_, document_id, ordinal, start, end, heading, key)


QUERY_BATCH = 500  # ids or keys per SQL statement
DOCUMENT_PAGE = 1000
LARGEST_MAP = 1 << 40  # SQLite lowers this to its own limit

Row = tuple[Any, ...]


def document_record(info: DocumentInfo, outline: str, text: bytes) -> DocumentRecord:
    """A document with its text, from its row of ``texts``.

    :raises ValueError, TypeError, AttributeError, RecursionError: if the row holds something else.
    """
    decoded = text.decode("utf-8")
    headings = tuple((offset, heading) for offset, heading in json.loads(outline))
    return DocumentRecord(
        id=info.id,
        root=info.root,
        path=info.path,
        title=info.title,
        content_hash=info.content_hash,
        text=decoded,
        outline=headings,
        meta=info.meta,
        source_state=info.source_state,
    )


class CatalogueFiles:
    """The files of one catalogue; immutable, shared by the snapshots of several generations. Thread-safe.

    ``passage_ids``: *Shape* (n_passages,) uint64, ascending. ``passage_documents``: (n_passages,) uint64.
    ``passage_lengths``: (n_passages,) uint32, words of passage, title and heading. The three go together by place.
    ``words``: which passages hold which words.
    """

    def __init__(self, store: Path, entry: CatalogueEntry) -> None:
        self.segment = entry.segment
        self.path = store / names.SEGMENTS / entry.segment / names.CATALOGUE

        with SegmentFolder(store, entry.segment) as folder:

            def mapped(file: str, dtype: str) -> NDArray[Any]:
                return folder.map_array(file, entry.files[file], dtype, (entry.n_passages,))

            self.passage_ids = mapped(names.PASSAGE_IDS, "<u8")
            self.passage_documents = mapped(names.PASSAGE_DOCUMENTS, "<u8")
            self.passage_lengths = mapped(names.PASSAGE_LENGTHS, "<u4")
            self.words = WordFiles(folder, entry)
            os.close(folder.open_file(names.CATALOGUE, entry.files[names.CATALOGUE]))
        self._connection = connect_read_only(self.path)
        self._lock = threading.Lock()
        weakref.finalize(self, self._connection.close)
        if self.query("PRAGMA user_version") != [(mark(entry.segment),)]:  # rows cannot tell, as they are undamaged
            raise StoreDamaged(self.shown, "found the catalogue of another segment")
        self._require_plain_tables()

    @property
    def shown(self) -> str:
        return names.segment_file(self.segment, names.CATALOGUE)

    def _require_plain_tables(self) -> None:
        """Refuse views, triggers and computed columns: reading them would run foreign SQL."""
        others = self.query("SELECT 1 FROM sqlite_schema WHERE type NOT IN ('table', 'index') LIMIT 1")
        plain = self.query(
            "SELECT count(*) FROM sqlite_schema AS t WHERE name IN ('documents', 'texts', 'passages') AND "
            "sql LIKE 'CREATE TABLE %' AND (SELECT max(hidden) FROM pragma_table_xinfo(t.name)) = 0"
        )
        if others or plain != [(3,)]:
            raise StoreDamaged(self.shown, "its tables are not those of a catalogue")

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a SELECT.

        :raises StoreDamaged: if SQLite fails on the file.
        """
        try:
            with self._lock:
                return self._connection.execute(sql, parameters).fetchall()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise StoreDamaged(self.shown, f"SQLite cannot read it ({error})") from error

    def query_numbers(self, sql: str, parameters: Sequence[Any] = ()) -> NDArray[np.int64]:
        """All numbers of a SELECT of one column of integers. *Shape:* (n_rows,), int64."""
        rows = self.query(sql, parameters)
        try:
            return np.fromiter((number for (number,) in rows), dtype=np.int64, count=len(rows))
        except (TypeError, OverflowError) as error:
            raise StoreDamaged(self.shown, f"found no integer where one belongs ({error})") from error

    def query_checked(self, table: str, columns: dict[str, type], where: str, parameters: Sequence[Any]) -> list[Row]:
        """All rows of a table that meet a condition, each compared with its checksum."""
        rows = self.query(f"SELECT {column_names(columns)} FROM {table} WHERE {where}", parameters)
        kinds = list(columns.values())
        for row in rows:
            if not is_whole(row) or [type(field) for field in row] != kinds:
                raise StoreDamaged(self.shown, f"{table} row {row[0]}: the checksum does not match the content")
        return rows

    def text_piece(self, document_id: int, first_byte: int, end_byte: int) -> bytes:
        """Bytes of a document's text, without reading the rest of it; not checked."""
        try:
            with self._lock, self._connection.blobopen("texts", "text", document_id, readonly=True) as blob:
                blob.seek(first_byte)
                return blob.read(end_byte - first_byte)
        except (sqlite3.Error, ValueError, OverflowError) as error:
            raise StoreDamaged(self.shown, f"the text of document {document_id} cannot be read ({error})") from error


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Connect without locks and writes, trusting nothing in the file, and reading through a map."""
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA mmap_size = {LARGEST_MAP}")
    return connection


class Catalogue:
    """A catalogue as one generation sees it, without the documents that this generation deleted or replaced."""

    def __init__(self, entry: CatalogueEntry, files: CatalogueFiles) -> None:
        self.entry = entry
        self.files = files

    def is_live(self, document_id: int) -> bool:
        """Whether a document, if this catalogue has it, is still valid here."""
        return not ranges.contains_one(self.entry.deleted_documents, document_id)

    def are_live(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the passages at these places of the passage arrays are live. *Shape:* that of ``places``."""
        return ~ranges.contains(self.entry.deleted_documents, self.files.passage_documents[places])

    @cached_property
    def live_passages(self) -> NDArray[np.bool_] | None:
        """Whether the passage at each place of the passage arrays is live; None if all are. *Shape:* (n_passages,)."""
        deleted = self.entry.deleted_documents
        return ~ranges.contains(deleted, self.files.passage_documents) if deleted else None

    def live_passage_ids(self) -> NDArray[np.uint64]:
        """The ids of the live passages, ascending. *Shape:* (n_live_passages,), uint64."""
        ids = self.files.passage_ids
        return ids if self.live_passages is None else ids[self.live_passages]

    def document_infos(self, ids: Sequence[int]) -> list[DocumentInfo]:
        """The live documents among these ids, in any order."""
        return self._infos(f"id IN ({_marks(ids)})", ids)

    def documents_of_root(self, root: str) -> list[DocumentInfo]:
        """The live documents of a root, in any order."""
        return self._infos("root = ?", (root,))

    def documents_where(self, where: Where) -> list[DocumentInfo]:
        """The live documents that SQL finds for a condition, in any order."""
        return self._infos(where.sql, where.parameters)

    def passages_of_documents(self, ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The ids of the passages of the live documents among these. *Shape:* (passages,), uint64."""
        places = np.flatnonzero(np.isin(self.files.passage_documents, ids))
        return self.files.passage_ids[places[self.are_live(places)]]

    def document_at(self, root: str, path: str) -> int | None:
        """The id of the live document at a place."""
        return next((info.id for info in self._infos("root = ? AND path = ?", (root, path))), None)

    def known_documents(self, ids: Sequence[int]) -> list[int]:
        """The ids, among these, of documents in this catalogue, live or deleted."""
        known = self.files.query_numbers(f"SELECT id FROM documents WHERE id IN ({_marks(ids)})", ids)
        return [int(id_) for id_ in known]

    def keys_of_documents(self, ids: Sequence[int]) -> list[bytes]:
        """The keys of the passages of the live documents among these ids, in any order."""
        return [passage.key for passage in self._passages(f"document_id IN ({_marks(ids)})", ids)]

    def iter_documents(self) -> Iterator[DocumentInfo]:
        """The live documents in ascending order of id, a page at a time."""
        last = -1
        while rows := self.files.query_checked(
            "documents", DOCUMENTS, f"id > ? ORDER BY id LIMIT {DOCUMENT_PAGE}", (last,)
        ):
            yield from (self._info(row) for row in rows if self.is_live(row[0]))
            last = rows[-1][0]

    def documents(self, ids: Sequence[int]) -> list[DocumentRecord]:
        """The live documents among these ids with their texts, checked, in any order."""
        infos = self.document_infos(ids)
        if not infos:
            return []
        live = [info.id for info in infos]
        sql = f"SELECT document_id, outline, text, checksum FROM texts WHERE document_id IN ({_marks(live)})"
        texts = {row[0]: row for row in self.files.query(sql, live)}
        return [self._document(info, texts.get(info.id)) for info in infos]

    def _document(self, info: DocumentInfo, row: Row | None) -> DocumentRecord:
        if row is None or not is_whole(row):
            raise StoreDamaged(self.files.shown, f"texts row {info.id}: the checksum does not match the content")
        try:
            return document_record(info, *row[1:3])
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise StoreDamaged(self.files.shown, f"texts row {info.id}: cannot be read ({error})") from error

    def passages(self, ids: Sequence[int]) -> list[PassageRecord]:
        """The live passages among these ids, in any order."""
        return self._passages(f"id IN ({_marks(ids)})", ids)

    def passages_of_document(self, document_id: int) -> list[PassageRecord]:
        """The passages of a live document of this catalogue, in order."""
        return self._passages("document_id = ? ORDER BY ordinal", (document_id,))

    def passages_with_keys(self, keys: Sequence[bytes]) -> list[PassageRecord]:
        """The live passages that refer to these rows, in any order."""
        return self._passages(f"key IN ({_marks(keys)})", keys)

    def passages_with_texts(self, ids: Sequence[int]) -> dict[int, tuple[PassageRecord, str]]:
        """The live passages among these ids with their texts, each compared with its key.

        :raises StoreDamaged: if a text is not the one that was encoded.
        """
        return {passage.id: (passage, text) for passage, text, _ in self._passages_with_texts(ids)}

    def passage_texts(self, ids: Sequence[int]) -> dict[int, str]:
        """The texts of the live passages among these ids, each compared with its key.

        :raises StoreDamaged: if a text is not the one that was encoded.
        """
        return {passage.id: text for passage, text, _ in self._passages_with_texts(ids)}

    def passage_inputs(self, ids: Sequence[int]) -> dict[int, str]:
        """The encoder inputs of the live passages among these ids: their texts, most below a heading.

        :raises StoreDamaged: as ``passage_texts``.
        """
        return {passage.id: whole for passage, _, whole in self._passages_with_texts(ids)}

    def _passages_with_texts(self, ids: Sequence[int]) -> Iterator[tuple[PassageRecord, str, str]]:
        """The live passages among these ids, each with its text and its encoder input."""
        for row in self._live_passage_rows(f"id IN ({_marks(ids)})", ids):
            passage = passage_record(row)
            piece = self.files.text_piece(passage.document_id, row[5], row[6])
            text = piece.decode("utf-8", errors="replace")
            whole = keyed_input(passage.key, passage.heading, text)
            if whole is None:
                raise StoreDamaged(self.files.shown, f"passage {passage.id}: the text is not the one that was encoded")
            yield passage, text, whole

    def _infos(self, where: str, parameters: Sequence[Any]) -> list[DocumentInfo]:
        rows = self.files.query_checked("documents", DOCUMENTS, where, parameters)
        return [self._info(row) for row in rows if self.is_live(row[0])]

    def _info(self, row: Row) -> DocumentInfo:
        try:
            return document_info(row)
        except (ValueError, RecursionError) as error:
            raise StoreDamaged(
                self.files.shown, f"documents row {row[0]}: its json cannot be read ({error})"
            ) from error

    def _passages(self, where: str, parameters: Sequence[Any]) -> list[PassageRecord]:
        return [passage_record(row) for row in self._live_passage_rows(where, parameters)]

    def _live_passage_rows(self, where: str, parameters: Sequence[Any]) -> list[Row]:
        rows = self.files.query_checked("passages", PASSAGES, where, parameters)
        deleted = self.entry.deleted_documents
        return [row for row in rows if not ranges.contains_one(deleted, row[1])] if deleted else rows


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))
