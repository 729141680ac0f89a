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
from deformer_qa.store import disk, names, word_writing
from deformer_qa.store.catalogue import Catalogue
from deformer_qa.store.manifest import CatalogueEntry
from deformer_qa.store.records import DocumentRecord, PassageRecord


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
        arrays |= word_writing.arrays([*word_writing.of_texts(_texts(connection))], arrays[names.PASSAGE_IDS])
    return _adopt(store, segment, n_documents, arrays)


def copy_live_documents(store: Path, segment: str, sources: Sequence[Catalogue]) -> CatalogueEntry:
    """Write and sync a catalogue of the live documents of others: rows with their checksums and postings as they are.

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
    postings = [word_writing.of_catalogue(source) for source in sources]
    arrays |= word_writing.arrays(postings, arrays[names.PASSAGE_IDS])
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
    """Index what was inserted; returns the number of documents, and what the passage arrays take from SQL."""
    connection.execute("BEGIN")
    connection.execute("CREATE INDEX documents_place ON documents (root, path)")
    connection.execute("CREATE INDEX passages_document ON passages (document_id, ordinal)")
    connection.execute("CREATE INDEX passages_key ON passages (key)")
    connection.execute("COMMIT")
    passages = connection.execute("SELECT id, document_id FROM passages ORDER BY id").fetchall()
    (n_documents,) = connection.execute("SELECT count(*) FROM documents").fetchone()
    return n_documents, {
        names.PASSAGE_IDS: np.array([id_ for id_, _ in passages], dtype="<u8"),
        names.PASSAGE_DOCUMENTS: np.array([document_id for _, document_id in passages], dtype="<u8"),
    }


def _texts(connection: sqlite3.Connection) -> Iterator[word_writing.Text]:
    """Title, heading and text of every passage, a document at a time."""
    for document_id, title in connection.execute("SELECT id, title FROM documents"):
        (text,) = connection.execute("SELECT text FROM texts WHERE document_id = ?", (document_id,)).fetchone()
        rows = connection.execute(
            "SELECT id, heading, first_byte, end_byte FROM passages WHERE document_id = ?", (document_id,)
        )
        yield from ((id_, title, heading, text[first:end].decode("utf-8")) for id_, heading, first, end in rows)


def _adopt(store: Path, segment: str, n_documents: int, arrays: dict[str, NDArray[Any]]) -> CatalogueEntry:
    """Sync what SQLite wrote, write the passage arrays, sync the directory."""
    directory = store / names.SEGMENTS / segment
    files = {names.CATALOGUE: disk.adopt_file(directory / names.CATALOGUE)}
    for file, array in arrays.items():
        files[file] = disk.write_file(directory / file, [array])
    disk.sync_directory(directory)
    n_passages = len(arrays[names.PASSAGE_IDS])
    n_terms = int(arrays[names.PASSAGE_LENGTHS].sum(dtype=np.int64))
    return CatalogueEntry(
        segment=segment,
        n_documents=n_documents,
        n_passages=n_passages,
        n_words=len(arrays[names.WORD_BOUNDS]),
        n_postings=len(arrays[names.POSTING_PLACES]),
        n_terms=n_terms,
        deleted_documents=(),
        n_live_documents=n_documents,
        n_live_passages=n_passages,
        n_live_terms=n_terms,
        files=files,
    )
