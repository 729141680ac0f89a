"""Writes catalogue segments: from documents, or by copying the live rows of older catalogues."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import disk, names
from deformer_qa.store.manifest import CatalogueEntry
from deformer_qa.store.records import DocumentRecord, PassageRecord
from deformer_qa.store.segments import bm25
from deformer_qa.store.segments import catalogue as schema
from deformer_qa.store.segments.catalogue import Catalogue
from deformer_qa.store.segments.words import spelled


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
        arrays |= posting_arrays([*postings_of_texts(_texts(connection))], arrays[names.PASSAGE_IDS])
    return _adopt(store, segment, n_documents, arrays)


def copy_live_documents(store: Path, segment: str, sources: Sequence[Catalogue]) -> CatalogueEntry:
    """Write and sync a catalogue of the live documents of others: rows with their checksums and postings as they are.

    It does not check what it copies: the caller has verified the sources' files.
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
                names_ = schema.column_names(columns)
                connection.execute(
                    f"INSERT INTO {table} ({names_}) SELECT {names_} FROM source.{table} AS s WHERE coalesce("
                    f"(SELECT last FROM gone WHERE first <= s.{column} ORDER BY first DESC LIMIT 1), -1) < s.{column}"
                )
            connection.execute("DROP TABLE temp.gone")
            connection.execute("DETACH source")
        n_documents, arrays = _finish(connection)
    postings = [postings_of_catalogue(source) for source in sources]
    arrays |= posting_arrays(postings, arrays[names.PASSAGE_IDS])
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
    connection.execute("PRAGMA synchronous = OFF")  # synced once, when it is complete
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
    connection.executemany(f"INSERT INTO {table} ({schema.column_names(columns)}) VALUES ({marks})", rows)


def _byte_places(text: str, passages: Sequence[PassageRecord]) -> dict[int, int]:
    """The byte offsets of passage borders in the UTF-8 of a text, by code point."""
    places = {0: 0}
    n_bytes = before = 0
    for border in sorted({border for passage in passages for border in (passage.start, passage.end)}):
        n_bytes += len(text[before:border].encode("utf-8"))
        places[border] = n_bytes
        before = border
    return places


def _finish(connection: sqlite3.Connection) -> tuple[int, dict[str, NDArray[Any]]]:
    """Index the inserted rows; returns the number of documents, and the passage arrays' columns."""
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


def _texts(connection: sqlite3.Connection) -> Iterator[Text]:
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


# Words: FTS5 splits texts into them; their postings are arrays beside the catalogue.

PASSAGES_AT_ONCE = 50_000  # number of passages whose words are gathered in memory
WORDS_IN_MEMORY = 256 << 20  # bytes of words that FTS5 keeps in one piece

Text = tuple[int, str, str, str]  # passage id, title of its document, heading, text


@dataclass(frozen=True)
class Postings:
    """The passages that hold each word. ``words`` ascend; word w has the postings ``starts[w]`` to ``starts[w + 1]``.

    ``starts``: *Shape* (n_words + 1,) int64. ``passages``: (n_postings,) uint64, ids, ascending per word. ``counts``:
    (n_postings,) uint32, occurrences.
    """

    words: Sequence[bytes]
    starts: NDArray[np.int64]
    passages: NDArray[np.uint64]
    counts: NDArray[np.uint32]


def postings_of_texts(texts: Iterable[Text]) -> Iterator[Postings]:
    """The postings of passages, in batches of passages."""
    remaining = iter(texts)
    while some := list(islice(remaining, PASSAGES_AT_ONCE)):
        yield _tokenised(some)


def postings_of_catalogue(catalogue: Catalogue) -> Postings:
    """The postings of the live passages of a catalogue."""
    files = catalogue.files.words
    words = [files.word(number) for number in range(files.n_words)]
    starts, live = files.offsets[:, 1].astype(np.int64), catalogue.live_passages
    places, counts = files.places[:], files.counts[:]
    if live is not None:
        kept = live[places]
        starts = np.concatenate(([0], np.cumsum(kept)))[starts]
        places, counts = places[kept], counts[kept]
    return Postings(words, starts, catalogue.files.passage_ids[places], counts)


def posting_arrays(parts: Sequence[Postings], passage_ids: NDArray[np.uint64]) -> dict[str, NDArray[Any]]:
    """The arrays for all these postings by file name, including the lengths of the passages.

    ``passage_ids``: *Shape* (n_passages,), those of the new catalogue, ascending.
    """
    words = sorted(set().union(*(part.words for part in parts)))
    numbers = {word: number for number, word in enumerate(words)}
    keys, counts = [], []
    for part in parts:
        word_numbers = np.fromiter((numbers[word] for word in part.words), np.uint64, len(part.words))
        part_places = np.searchsorted(passage_ids, part.passages).astype(np.uint64)
        keys.append(np.repeat(word_numbers << np.uint64(32), np.diff(part.starts)) | part_places)
        counts.append(part.counts)
    ordered, occurrences = _sorted(keys, counts)
    places: NDArray[np.uint32] = (ordered & np.uint64(0xFFFFFFFF)).astype("<u4")
    n_postings = np.bincount((ordered >> np.uint64(32)).astype(np.int64), minlength=len(words))
    lengths = np.bincount(places, weights=occurrences, minlength=len(passage_ids)).astype("<u4")
    words = [word for word, n in zip(words, n_postings.tolist(), strict=True) if n]
    starts = np.concatenate(([0], np.cumsum(n_postings[n_postings > 0])))
    ends = np.cumsum([0, *map(len, words)])
    return {
        names.PASSAGE_LENGTHS: lengths,
        names.WORDS: np.frombuffer(b"".join(words), dtype="u1"),
        names.WORD_OFFSETS: np.stack((ends, starts), axis=1).astype("<u8"),
        names.WORD_BOUNDS: _bounds(places, occurrences, starts, lengths),
        names.POSTING_PLACES: places,
        names.POSTING_COUNTS: occurrences,
    }


def _tokenised(texts: Sequence[Text]) -> Postings:
    """Split texts into words; a passage has those of title, heading and text, with the title counted only once."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.text_factory = bytes  # a word may be cut within a character
        connection.execute(f"CREATE VIRTUAL TABLE t USING {schema.FTS5}")
        connection.execute("CREATE VIRTUAL TABLE numbers USING fts5vocab(t, row)")
        connection.execute("CREATE VIRTUAL TABLE instances USING fts5vocab(t, instance)")
        connection.execute("INSERT INTO t(t, rank) VALUES ('hashsize', ?)", (WORDS_IN_MEMORY,))
        connection.execute("BEGIN")
        rows = (
            (id_, *map(spelled, (_title_apart(title, heading), heading, body)))
            for id_, title, heading, body in sorted(texts)
        )
        connection.executemany("INSERT INTO t(rowid, title, heading, body) VALUES (?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        found = connection.execute("SELECT term, cnt FROM numbers").fetchall()  # ascending: FTS5's order
        n_instances = [n for _, n in found]
        passages = np.fromiter((id_ for (id_,) in connection.execute("SELECT doc FROM instances")), np.uint64)
    words = np.repeat(np.arange(len(found)), n_instances)
    begins = np.ones(len(passages), np.bool_)  # where a posting begins: instances of a word come by passage
    begins[1:] = (words[1:] != words[:-1]) | (passages[1:] != passages[:-1])
    places = np.flatnonzero(begins)
    starts = np.searchsorted(words[places], np.arange(len(found) + 1))
    counts = np.diff(np.append(places, len(passages))).astype("<u4")
    return Postings([word for word, _ in found], starts, passages[places], counts)


def _title_apart(title: str, heading: str) -> str:
    """A document's title; '' if a passage's heading already begins with it."""
    title = " ".join(title.split())
    begins = heading.startswith(title) and not heading[len(title) : len(title) + 1].isalnum()
    return "" if begins else title


def _sorted(
    keys: Sequence[NDArray[np.uint64]], counts: Sequence[NDArray[np.uint32]]
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Postings of several parts by word and place."""
    if len(keys) == 1:
        return keys[0], counts[0].astype("<u4", copy=False)
    if not keys:
        return np.empty(0, np.uint64), np.empty(0, "<u4")
    all_keys = np.concatenate(keys)
    order = np.argsort(all_keys, kind="stable")  # a merge of ascending runs
    return all_keys[order], np.concatenate(counts)[order].astype("<u4", copy=False)


def _bounds(
    places: NDArray[np.uint32], counts: NDArray[np.uint32], starts: NDArray[np.int64], lengths: NDArray[np.uint32]
) -> NDArray[np.float32]:
    """The largest share of its weight that each word adds to a passage, at this catalogue's mean length; rounded up."""
    if not len(places):
        return np.empty(0, "<f4")
    mean = lengths.sum(dtype=np.int64) / len(lengths)
    largest = np.maximum.reduceat(bm25.saturation(counts, lengths[places], mean), starts[:-1]).astype("<f4")
    bounds: NDArray[np.float32] = np.nextafter(largest, np.float32(np.inf))
    return bounds
