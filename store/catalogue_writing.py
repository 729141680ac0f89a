"""How a catalogue segment comes to be: from documents, or by copying the live rows of older catalogues."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import catalogue_schema as schema
from deformer_qa.store import disk, names
from deformer_qa.store.catalogue import Catalogue
from deformer_qa.store.manifest import CatalogueEntry
from deformer_qa.store.records import DocumentRecord, PassageRecord

WORDS_IN_MEMORY = 32 << 20  # bytes of the word index gathered before FTS5 writes them out
PASSAGES_PER_INSERT = 1000


def write_documents(
    store: Path, segment: str, documents: Iterable[tuple[DocumentRecord, Sequence[PassageRecord]]]
) -> CatalogueEntry:
    """Write and sync a catalogue of these documents, taking them one at a time."""
    with closing(_create(store, segment)) as connection:
        connection.execute("BEGIN")
        for document, passages in documents:
            text = document.text.encode("utf-8")
            _insert(connection, "documents", schema.DOCUMENTS, [schema.document_row(document, len(passages))])
            _insert(connection, "texts", schema.TEXTS, [schema.text_row(document, text)])
            places = _byte_places(document.text, passages)
            rows = [schema.passage_row(passage, places[passage.start], places[passage.end]) for passage in passages]
            _insert(connection, "passages", schema.PASSAGES, rows)
        connection.execute("COMMIT")
        n_documents, arrays = _finish(connection)
    return _adopt(store, segment, n_documents, arrays)


def copy_live_documents(store: Path, segment: str, sources: Sequence[Catalogue]) -> CatalogueEntry:
    """Write and sync a catalogue of the live documents of others: rows with their checksums as they are, words anew.

    Does not look at what it copies: the caller has verified the sources' files.
    """
    with closing(_create(store, segment)) as connection:
        for source in sources:
            deleted = source.entry.deleted_documents
            connection.execute("ATTACH ? AS source", (f"{source.files.path.absolute().as_uri()}?mode=ro&immutable=1",))
            connection.execute("CREATE TEMP TABLE gone (first INTEGER PRIMARY KEY, last INTEGER)")
            connection.executemany("INSERT INTO gone VALUES (?, ? - 1)", zip(deleted[::2], deleted[1::2], strict=True))
            for table, columns, column in (
                ("documents", schema.DOCUMENTS, "id"),
                ("texts", schema.TEXTS, "document_id"),
                ("passages", schema.PASSAGES, "document_id"),
            ):
                names_ = schema.columns(columns)
                connection.execute(
                    f"INSERT INTO {table} ({names_}) SELECT {names_} FROM source.{table} AS s WHERE coalesce("
                    f"(SELECT last FROM gone WHERE first <= s.{column} ORDER BY first DESC LIMIT 1), -1) < s.{column}"
                )
            connection.execute("DROP TABLE temp.gone")
            connection.execute("DETACH source")
        n_documents, arrays = _finish(connection)
    return _adopt(store, segment, n_documents, arrays)


def _create(store: Path, segment: str) -> sqlite3.Connection:
    """A connection to a new catalogue file with empty tables; no journal: an unfinished file is never read."""
    import sqlite_utils

    directory = store / names.SEGMENTS / segment
    disk.make_directory(directory)
    disk.create_empty_file(directory / names.CATALOGUE)
    uri = f"{(directory / names.CATALOGUE).absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")  # synced once, when it is whole
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA user_version = {schema.mark(segment)}")
    database = sqlite_utils.Database(connection)
    for table, columns in (("documents", schema.DOCUMENTS), ("texts", schema.TEXTS), ("passages", schema.PASSAGES)):
        database[table].create(columns, pk=next(iter(columns)))
    for statement in (schema.WORDS, schema.WORD_PASSAGES, schema.WORD_COUNTS):
        connection.execute(statement)
    connection.execute("INSERT INTO words(words, rank) VALUES ('hashsize', ?)", (WORDS_IN_MEMORY,))
    return connection


def _insert(
    connection: sqlite3.Connection, table: str, columns: dict[str, type], rows: Iterable[Sequence[Any]]
) -> None:
    marks = ",".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {table} ({schema.columns(columns)}) VALUES ({marks})", rows)


def _byte_places(text: str, passages: Sequence[PassageRecord]) -> dict[int, int]:
    """Where the borders of passages lie in the UTF-8 of a text, by code point."""
    places = {0: 0}
    n_bytes = before = 0
    for border in sorted({border for passage in passages for border in (passage.start, passage.end)}):
        n_bytes += len(text[before:border].encode("utf-8"))
        places[border] = n_bytes
        before = border
    return places


def _finish(connection: sqlite3.Connection) -> tuple[int, dict[str, NDArray[Any]]]:
    """Index what was inserted; returns the number of documents and the passage arrays by file name."""
    connection.execute("BEGIN")
    connection.execute("CREATE INDEX documents_place ON documents (root, path)")
    connection.execute("CREATE INDEX passages_document ON passages (document_id, ordinal)")
    connection.execute("CREATE INDEX passages_key ON passages (key)")
    _index_words(connection)
    connection.execute("COMMIT")
    connection.execute("INSERT INTO words(words) VALUES ('optimize')")
    lengths = {id_: sum(_varints(counts)) for id_, counts in connection.execute("SELECT id, sz FROM words_docsize")}
    passages = connection.execute("SELECT id, document_id FROM passages ORDER BY id").fetchall()
    (n_documents,) = connection.execute("SELECT count(*) FROM documents").fetchone()
    return n_documents, {
        names.PASSAGE_IDS: np.array([id_ for id_, _ in passages], dtype="<u8"),
        names.PASSAGE_DOCUMENTS: np.array([document_id for _, document_id in passages], dtype="<u8"),
        names.PASSAGE_LENGTHS: np.array([lengths[id_] for id_, _ in passages], dtype="<u4"),
    }


def _index_words(connection: sqlite3.Connection) -> None:
    """Give FTS5 the words of every passage, in ascending order of id where it can be: FTS5 spills at a step back."""
    documents = connection.execute(
        "SELECT d.id, d.title FROM documents d JOIN passages p ON p.document_id = d.id GROUP BY d.id ORDER BY min(p.id)"
    ).fetchall()
    for document_id, title in documents:
        (text,) = connection.execute("SELECT text FROM texts WHERE document_id = ?", (document_id,)).fetchone()
        rows = connection.execute(
            "SELECT id, heading, first_byte, end_byte FROM passages WHERE document_id = ? ORDER BY id", (document_id,)
        )
        connection.executemany(
            "INSERT INTO words(rowid, title, heading, body) VALUES (?, ?, ?, ?)",
            ((id_, title, heading, text[first:end].decode("utf-8")) for id_, heading, first, end in rows.fetchall()),
        )


def _varints(counts: bytes) -> Iterator[int]:
    """The integers of a row of FTS5's docsize table: SQLite varints below 2**32, one per column."""
    value = 0
    for byte in counts:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            yield value
            value = 0


def _adopt(store: Path, segment: str, n_documents: int, arrays: dict[str, NDArray[Any]]) -> CatalogueEntry:
    """Sync what SQLite wrote, write the passage arrays, sync the directory."""
    directory = store / names.SEGMENTS / segment
    files = {names.CATALOGUE: disk.adopt_file(directory / names.CATALOGUE)}
    for file, array in arrays.items():
        files[file] = disk.write_file(directory / file, [array])
    disk.sync_directory(directory)
    n_passages = len(arrays[names.PASSAGE_IDS])
    n_terms = int(arrays[names.PASSAGE_LENGTHS].sum(dtype=np.int64))
    return CatalogueEntry(segment, n_documents, n_passages, (), n_documents, n_passages, n_terms, files)
