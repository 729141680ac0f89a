"""How the postings of a catalogue come to be: from texts, which FTS5 cuts into words, or from older catalogues."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import bm25, names
from deformer_qa.store import catalogue_schema as schema
from deformer_qa.store.catalogue import Catalogue
from deformer_qa.store.spelling import spelled

PASSAGES_AT_ONCE = 50_000  # whose words are gathered in memory
WORDS_IN_MEMORY = 256 << 20  # bytes of them that FTS5 keeps in one piece

Text = tuple[int, str, str, str]  # passage id, title of its document, heading, text


@dataclass(frozen=True)
class Postings:
    """Which passages hold which words. ``words`` ascend; word w has the postings ``starts[w]`` to ``starts[w + 1]``.

    ``starts``: *Shape* (n_words + 1,) int64. ``passages``: (n_postings,) uint64, ids, ascending per word. ``counts``:
    (n_postings,) uint32, occurrences.
    """

    words: Sequence[bytes]
    starts: NDArray[np.int64]
    passages: NDArray[np.uint64]
    counts: NDArray[np.uint32]


def of_texts(texts: Iterable[Text]) -> Iterator[Postings]:
    """The postings of passages, some passages at a time."""
    remaining = iter(texts)
    while some := list(islice(remaining, PASSAGES_AT_ONCE)):
        yield _tokenised(some)


def of_catalogue(catalogue: Catalogue) -> Postings:
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


def arrays(parts: Sequence[Postings], passage_ids: NDArray[np.uint64]) -> dict[str, NDArray[Any]]:
    """The files of all these postings together by name, the lengths of the passages among them.

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
    """A list of texts cut into words; a passage's words are those of title, heading and text, a title's only once."""
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
    """A document's title; '' where a passage's heading already begins with it."""
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
