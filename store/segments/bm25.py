"""Finds passages that share words with a query: BM25 over all catalogues as one corpus.

FTS5 only splits texts into words. Its own ``bm25()`` knows the statistics of one file and ranks a store of many small
segments wrongly, so document frequencies and lengths are summed here over the live passages of every segment. A
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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deformer_qa.store.records import Hit
from deformer_qa.store.segments import catalogue as schema
from deformer_qa.store.segments.catalogue import Catalogue

K1 = 1.2
B = 0.75
FREQUENT_SHARE = 1 / 3  # words of more passages than this are dropped from a query ...
FREQUENT_FROM = 1000  # ... in stores of more passages than this
SLACK = 1 + 1e-9  # sums in a different order may differ in their last bits


class QueryWords:
    """Splits queries into words as FTS5 spells them in the index. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._connection.text_factory = bytes  # a word may be cut within a character
        self._connection.execute(f"CREATE VIRTUAL TABLE query USING {schema.FTS5}")
        weakref.finalize(self, self._connection.close)
        self._connection.execute("CREATE VIRTUAL TABLE words USING fts5vocab(query, row)")

    def of(self, query: str) -> list[bytes]:
        """The distinct words of a query in UTF-8, sorted."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                text = _spelled(query.encode("utf-8", errors="replace").decode("utf-8"))
                self._connection.execute("INSERT INTO query(rowid, body) VALUES (1, ?)", (text,))
                return sorted(word for (word,) in self._connection.execute("SELECT term FROM words"))
            finally:
                self._connection.execute("ROLLBACK")


def _spelled(text: str) -> str:
    """Spell a query as the index is; the patterns for other scripts are loaded only for a text that may need them."""
    if text.isascii():
        return text
    from deformer_qa.store.segments.words import spelled

    return spelled(text)


@dataclass(frozen=True)
class _Term:
    """A word of a query, as found in the catalogues.

    ``weight``: the upper limit of its contribution to a score. ``numbers``: its number in each catalogue, None if the
    catalogue lacks it. ``bounds``: its largest contribution to a passage of each catalogue.
    """

    weight: float
    frequency: int
    numbers: tuple[int | None, ...]
    bounds: tuple[float, ...]


def saturation(
    occurrences: NDArray[np.unsignedinteger[Any]], lengths: NDArray[np.uint32], mean_length: float
) -> NDArray[np.float64]:
    """The share of a word's weight that passages with these occurrences get. *Shape:* that of both."""
    share: NDArray[np.float64] = occurrences / (occurrences + K1 * (1 - B + B * lengths / mean_length))
    return share


def rank(
    catalogues: Sequence[Catalogue],
    words: Sequence[bytes],
    n: int,
    among: Collection[int] | None,
    prune: bool = True,
    every_word: bool = False,
) -> list[Hit]:
    """The n best passages that hold any of the words, best first, equal scores by passage id.

    The statistics are those of the whole corpus, even if ``among`` limits the answer. ``prune`` False scores every
    passage that holds a word, which changes no answer. ``every_word`` leaves only passages that hold all of them.
    """
    n_passages = sum(catalogue.entry.n_live_passages for catalogue in catalogues)
    if not n_passages or n <= 0:
        return []
    mean_length = sum(catalogue.entry.n_live_terms for catalogue in catalogues) / n_passages
    every_term = [_term(catalogues, word, n_passages, mean_length) for word in words]
    terms = _without_frequent(every_term, n_passages)
    wanted = None if among is None else np.unique(np.fromiter(among, dtype=np.int64))
    ids, scores = np.empty(0, np.int64), np.empty(0)
    for number, catalogue in enumerate(catalogues):
        threshold = float(scores[-1]) if prune and len(scores) == n else 0.0
        allowed = _allowed(catalogue, wanted)
        if every_word:
            allowed = _holding_all(catalogue, number, every_term, allowed)
        if allowed is not None and np.count_nonzero(allowed) <= n:  # few: look up their words, read no postings
            candidates = np.flatnonzero(allowed).astype(np.uint32)
        else:
            candidates = _candidates(catalogue, number, terms, n if prune else None, threshold, mean_length, allowed)
        found = _scores(catalogue, number, terms, candidates, mean_length)
        candidates, found = candidates[found > 0], found[found > 0]
        ids = np.concatenate((ids, catalogue.files.passage_ids[candidates].astype(np.int64)))
        scores = np.concatenate((scores, found))
        order = np.lexsort((ids, -scores))[:n]
        ids, scores = ids[order], scores[order]
    return [Hit(int(id_), float(score)) for id_, score in zip(ids, scores, strict=True)]


def _term(catalogues: Sequence[Catalogue], word: bytes, n_passages: int, mean_length: float) -> _Term:
    numbers = tuple(catalogue.files.words.number(word) for catalogue in catalogues)
    frequency = sum(map(_frequency, catalogues, numbers))
    weight = math.log(1 + (n_passages - frequency + 0.5) / (frequency + 0.5)) * (K1 + 1)
    bounds = []
    for catalogue, number in zip(catalogues, numbers, strict=True):
        share = float(catalogue.files.words.bounds[number]) if number is not None else 0.0
        mean_there = catalogue.entry.n_terms / catalogue.entry.n_passages if number is not None else mean_length
        bounds.append(weight * share * max(1.0, mean_length / mean_there))
    return _Term(weight, frequency, numbers, tuple(bounds))


def _frequency(catalogue: Catalogue, number: int | None) -> int:
    """The number of live passages of a catalogue that hold a word."""
    if number is None:
        return 0
    places, _ = catalogue.files.words.postings(number)
    live = catalogue.live_passages
    return len(places) if live is None else int(np.count_nonzero(live[places]))


def _without_frequent(terms: Sequence[_Term], n_passages: int) -> list[_Term]:
    """The words that a live passage holds, without very frequent ones unless only these are left."""
    limit = n_passages * FREQUENT_SHARE if n_passages > FREQUENT_FROM else math.inf
    held = [term for term in terms if term.frequency]
    return [term for term in held if term.frequency <= limit] or held


def _candidates(
    catalogue: Catalogue,
    number: int,
    terms: Sequence[_Term],
    n: int | None,
    threshold: float,
    mean_length: float,
    allowed: NDArray[np.bool_] | None,
) -> NDArray[np.uint32]:
    """Places of allowed passages that include the n best; all that hold a word if n is None.

    Words are taken in order of their largest possible contribution. Once n passages have more than all remaining words
    can give together, a passage without any word so far cannot be among the best. For the others the remaining words
    are looked up, so long postings are not read (Turtle and Flood 1995).

    ``threshold``: a score that n passages of other catalogues reach.
    """
    ordered = sorted((term for term in terms if term.numbers[number] is not None), key=lambda t: -t.bounds[number])
    to_come = np.cumsum([0.0, *(term.bounds[number] for term in reversed(ordered))])[::-1]
    places, sums = np.empty(0, np.uint32), np.empty(0)
    for term, with_this, after in zip(ordered, to_come, to_come[1:], strict=False):
        if n is not None and with_this * SLACK < threshold:
            sums = sums + _gains(catalogue, number, term, places, mean_length)
        else:
            found, gains = _all_gains(catalogue, number, term, allowed, mean_length)
            places, sums = _added(places, sums, found, gains)
        if n is not None:
            if len(sums) >= n:
                threshold = max(threshold, float(np.partition(sums, len(sums) - n)[len(sums) - n]))
            kept = (sums + after) * SLACK >= threshold
            places, sums = places[kept], sums[kept]
    return places


def _allowed(catalogue: Catalogue, wanted: NDArray[np.int64] | None) -> NDArray[np.bool_] | None:
    """Whether the passage at each place may be returned; None if all may. *Shape:* (n_passages,)."""
    live = catalogue.live_passages
    if wanted is None:
        return live
    ids = catalogue.files.passage_ids
    places = np.searchsorted(ids, wanted[wanted >= 0].astype(ids.dtype))
    allowed = np.zeros(len(ids), np.bool_)
    places = places[places < len(ids)]
    allowed[places] = np.isin(ids[places], wanted[wanted >= 0].astype(ids.dtype))
    return allowed if live is None else allowed & live


def _holding_all(
    catalogue: Catalogue, number: int, terms: Sequence[_Term], allowed: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Whether the passage at each place is allowed and holds every word. *Shape:* (n_passages,)."""
    n_held = np.zeros(len(catalogue.files.passage_ids), np.uint32)
    for term in terms:
        word = term.numbers[number]
        if word is not None:
            n_held[catalogue.files.words.postings(word)[0]] += 1
    holding: NDArray[np.bool_] = n_held == len(terms)
    return holding if allowed is None else holding & allowed


def _all_gains(
    catalogue: Catalogue, number: int, term: _Term, allowed: NDArray[np.bool_] | None, mean_length: float
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """The places, ascending, of allowed passages that hold a word, and the word's contribution to each score."""
    word = term.numbers[number]
    assert word is not None
    places, counts = catalogue.files.words.postings(word)
    if allowed is not None:
        kept = allowed[places]
        places, counts = places[kept], counts[kept]
    return places, term.weight * saturation(counts, catalogue.files.passage_lengths[places], mean_length)


def _gains(
    catalogue: Catalogue, number: int, term: _Term, places: NDArray[np.uint32], mean_length: float
) -> NDArray[np.float64]:
    """A word's contribution to the scores of the passages at these places. *Shape:* that of ``places``."""
    gains = np.zeros(len(places))
    word = term.numbers[number]
    if word is None or not len(places):
        return gains
    holding, counts = catalogue.files.words.postings(word)
    found = np.searchsorted(holding, places)
    held = np.flatnonzero(found < len(holding))
    held = held[holding[found[held]] == places[held]]
    lengths = catalogue.files.passage_lengths[places[held]]
    gains[held] = term.weight * saturation(counts[found[held]], lengths, mean_length)
    return gains


def _added(
    places: NDArray[np.uint32], sums: NDArray[np.float64], more: NDArray[np.uint32], gains: NDArray[np.float64]
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Merge two lists of ascending places, adding their sums."""
    if not len(places):
        return more, gains
    both = np.concatenate((places, more))
    order = np.argsort(both, kind="stable")  # a merge
    both, added = both[order], np.concatenate((sums, gains))[order]
    first = np.ones(len(both), np.bool_)
    first[1:] = both[1:] != both[:-1]
    starts = np.flatnonzero(first)
    return both[starts], np.add.reduceat(added, starts)


def _scores(
    catalogue: Catalogue, number: int, terms: Sequence[_Term], places: NDArray[np.uint32], mean_length: float
) -> NDArray[np.float64]:
    """The scores of passages, always summed in the order of the words. *Shape:* that of ``places``."""
    sums = np.zeros(len(places))
    for term in terms:
        sums += _gains(catalogue, number, term, places, mean_length)
    return sums
