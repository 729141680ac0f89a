"""Which passages share words with a query: BM25 over all catalogues as one corpus.

FTS5 only tokenises and gives postings. Its own ``bm25()`` knows one file's statistics and ranks a store of many small
segments wrongly, so document frequencies and lengths are summed over the live passages of every segment here. A
passage's score is the sum, over the query's words, of
``log(1 + (N - df + 0.5) / (df + 0.5)) * (k1 + 1) * tf / (tf + k1 * (1 - b + b * length / mean length))``.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store import catalogue_schema as schema
from deformer_qa.store.catalogue import Catalogue
from deformer_qa.store.records import Hit

K1 = 1.2
B = 0.75
FREQUENT_SHARE = 1 / 3  # words of more passages than this are dropped from a query ...
FREQUENT_FROM = 1000  # ... in stores of more passages than this


class QueryWords:
    """Words of a query as FTS5 spells them in the index. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._connection.execute(
            f"CREATE VIRTUAL TABLE query USING fts5(body, content='', tokenize='{schema.TOKENIZER}')"
        )
        weakref.finalize(self, self._connection.close)
        self._connection.execute("CREATE VIRTUAL TABLE words USING fts5vocab(query, row)")

    def of(self, query: str) -> list[str]:
        """The distinct words of a query, sorted."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                text = query.encode("utf-8", errors="replace").decode("utf-8")
                self._connection.execute("INSERT INTO query(rowid, body) VALUES (1, ?)", (text,))
                return sorted(word for (word,) in self._connection.execute("SELECT term FROM words"))
            finally:
                self._connection.execute("ROLLBACK")


@dataclass(frozen=True)
class _Postings:
    """Live passages of one catalogue that hold a word: places in its passage arrays (int64), occurrences (int64)."""

    places: NDArray[np.int64]
    occurrences: NDArray[np.int64]


def rank(catalogues: Sequence[Catalogue], words: Sequence[str], n: int, among: Collection[int] | None) -> list[Hit]:
    """The n best passages that hold any of the words, best first, equal scores by passage id.

    The statistics are those of the whole corpus, also where ``among`` limits the answer.
    """
    n_passages = sum(catalogue.entry.n_live_passages for catalogue in catalogues)
    if not n_passages or n <= 0:
        return []
    mean_length = sum(catalogue.entry.n_live_terms for catalogue in catalogues) / n_passages
    scores = [np.zeros(catalogue.entry.n_passages) for catalogue in catalogues]
    for word in _without_frequent(catalogues, words, n_passages):
        postings = [_postings(catalogue, word) for catalogue in catalogues]
        frequency = sum(len(found.places) for found in postings)
        weight = math.log(1 + (n_passages - frequency + 0.5) / (frequency + 0.5)) * (K1 + 1)
        for catalogue, found, sums in zip(catalogues, postings, scores, strict=True):
            lengths = catalogue.files.passage_lengths[found.places]
            saturation = found.occurrences + K1 * (1 - B + B * lengths / mean_length)
            sums[found.places] += weight * found.occurrences / saturation
    return _best(catalogues, scores, n, among)


def _without_frequent(catalogues: Sequence[Catalogue], words: Sequence[str], n_passages: int) -> list[str]:
    """The words that some live passage holds, less the very frequent ones unless nothing else is left."""
    limit = n_passages * FREQUENT_SHARE if n_passages > FREQUENT_FROM else math.inf
    held, rarer = [], []
    for word in words:
        most = sum(_n_passages_holding(catalogue, word) for catalogue in catalogues)
        n_dead = sum(catalogue.entry.n_passages - catalogue.entry.n_live_passages for catalogue in catalogues)
        if most > limit >= most - n_dead:  # counts of dead passages might decide: count the live ones
            most = sum(len(_postings(catalogue, word).places) for catalogue in catalogues)
        if most:
            held.append(word)
            if most <= limit:
                rarer.append(word)
    return rarer or held


def _n_passages_holding(catalogue: Catalogue, word: str) -> int:
    """How many passages of a catalogue hold a word, dead ones included."""
    return int(catalogue.files.query_numbers("SELECT doc FROM word_counts WHERE term = ?", (word,)).sum())


def _postings(catalogue: Catalogue, word: str) -> _Postings:
    found = catalogue.files.query_numbers("SELECT doc FROM word_passages WHERE term = ?", (word,))
    ids, occurrences = np.unique(found, return_counts=True)
    known_ids = catalogue.files.passage_ids
    places = np.searchsorted(known_ids, ids.astype(known_ids.dtype))
    inside = places < len(known_ids)
    inside[inside] = known_ids[places[inside]] == ids[inside]  # else the word index is damaged: no candidate
    places, occurrences = places[inside], occurrences[inside]
    live = catalogue.are_live(places)
    return _Postings(places[live], occurrences[live])


def _best(
    catalogues: Sequence[Catalogue], scores: Sequence[NDArray[np.float64]], n: int, among: Collection[int] | None
) -> list[Hit]:
    wanted_ids = None if among is None else np.fromiter(among, dtype=np.int64)
    found_ids, found_scores = [], []
    for catalogue, sums in zip(catalogues, scores, strict=True):
        places = np.flatnonzero(sums)
        ids = catalogue.files.passage_ids[places].astype(np.int64)
        if wanted_ids is not None:
            wanted = np.isin(ids, wanted_ids)
            places, ids = places[wanted], ids[wanted]
        found_ids.append(ids)
        found_scores.append(sums[places])
    ids, values = np.concatenate(found_ids), np.concatenate(found_scores)
    if len(values) > n:
        enough = values >= np.partition(values, len(values) - n)[len(values) - n]
        ids, values = ids[enough], values[enough]
    order = np.lexsort((ids, -values))[:n]
    return [Hit(int(ids[place]), float(values[place])) for place in order]
