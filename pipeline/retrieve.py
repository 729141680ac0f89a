"""Retrieve the passages worth reading: those with the highest sum of dense score, BM25 share and exact names."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from deformer_qa.pipeline.query_words import Name, content_words, names
from deformer_qa.reader.errors import UnsupportedModel
from deformer_qa.store import PassageRecord, Snapshot

DEPTH = 100
"""How many passages of each ranking are scored, or more if the caller asks for more candidates."""

Method = Literal["fused", "dense", "bm25"]


@dataclass(frozen=True)
class RetrievalWeights:
    """Weights of the scores beside the dense one, which has weight 1 (docs/explanation/decisions/0021).

    :ivar bm25_share: weight of a passage's BM25 score as a share of the best passage's
    :ivar exact: weight of the share of the question's names that a passage holds, see ``Scores``
    """

    bm25_share: float = 0.3
    exact: float = 0.5

    @classmethod
    def from_mapping(cls, weights: Mapping[str, float]) -> Self:
        """Read ``retrieval`` of reader.json; weights that it leaves out have the defaults above.

        :raises UnsupportedModel: if it names an unknown weight, or one is not a finite number of at least 0.
        """
        known = [field.name for field in fields(cls)]
        for name, value in weights.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if name not in known or not is_number or not 0 <= value < math.inf:
                raise UnsupportedModel(
                    f"reader.json: retrieval: found {name}: {value!r}, expected numbers from 0 for {', '.join(known)}."
                )
        return cls(**{name: float(value) for name, value in weights.items()})


@dataclass(frozen=True)
class Scores:
    """How well a passage fits a question, by four scores.

    :ivar dense: inner product of both vectors, 0 if the question was not encoded
    :ivar bm25: BM25 score; None if the passage holds none of the words
    :ivar bm25_share: the BM25 score divided by the best passage's, 0 if there is none
    :ivar exact: the share of the question's names that the passage holds, each weighted by its rarity: 1 if no other
        passage holds it
    """

    dense: float
    bm25: float | None
    bm25_share: float
    exact: float

    def fused(self, weights: RetrievalWeights) -> float:
        """The weighted sum by which passages are ranked."""
        return self.dense + weights.bm25_share * self.bm25_share + weights.exact * self.exact


@dataclass(frozen=True)
class Candidate:
    """A retrieved passage with its scores, see ``Scores``; ``fused`` is their weighted sum."""

    passage_id: int
    key: bytes
    dense: float
    bm25: float | None
    bm25_share: float
    fused: float


@dataclass(frozen=True)
class Retrieved:
    """Passage ids in each ranking, best first, with the scores and records of all of them."""

    dense: tuple[int, ...]
    bm25: tuple[int, ...]
    fused: tuple[int, ...]
    scores: dict[int, Scores]
    records: dict[int, PassageRecord]
    weights: RetrievalWeights

    def by(self, method: Method) -> tuple[int, ...]:
        """Return one of the rankings."""
        return {"dense": self.dense, "bm25": self.bm25, "fused": self.fused}[method]


def retrieve(
    snapshot: Snapshot,
    question: str,
    vector: NDArray[np.float32] | None,
    depth: int = DEPTH,
    among: Collection[int] | None = None,
    weights: RetrievalWeights | None = None,
    also: Collection[int] = (),
) -> Retrieved:
    """Find the first ``depth`` passages by dense and by BM25 score, and rank them all by the sum of their scores.

    Passages that hold a name of the question are ranked too, whatever they score. Equal scores are ordered by passage
    id, so the same question on the same store gives the same order.

    :param question: its text; if it is blank, the BM25 ranking is empty.
    :param vector: the question's vector; if it is None, the dense ranking is empty.
    :param among: only these passage ids are searched; None searches all.
    :param weights: the reader's weights; the defaults of ``RetrievalWeights`` if None.
    :param also: passage ids that are ranked with the others, whatever they score.
    """
    weights = weights or RetrievalWeights()
    words = content_words(question)
    dense = {hit.passage_id: hit.score for hit in snapshot.nearest(vector, depth, among)} if vector is not None else {}
    bm25 = {hit.passage_id: hit.score for hit in snapshot.bm25(words, depth, among)}
    exact = _exact(snapshot, question, depth, among, {*dense, *bm25})
    ids = sorted({*dense, *bm25, *exact, *also})
    of_words = bm25 | _bm25_of(snapshot, words, [one for one in ids if one not in bm25])
    records = {record.id: record for record in snapshot.passages(ids)}
    of_vectors = dense | _dense_of(snapshot, vector, [record for id_, record in records.items() if id_ not in dense])
    best = max(of_words.values(), default=0.0)
    scores = {
        one: Scores(
            dense=of_vectors.get(one, 0.0),
            bm25=of_words.get(one),
            bm25_share=of_words.get(one, 0.0) / best if best > 0 else 0.0,
            exact=exact.get(one, 0.0),
        )
        for one in ids
    }
    order = sorted(ids, key=lambda one: (-scores[one].fused(weights), one))
    return Retrieved(tuple(dense), tuple(bm25), tuple(order), scores, records, weights)


def candidates(retrieved: Retrieved, passage_ids: Sequence[int]) -> list[Candidate]:
    """Return some of the retrieved passages with their keys and scores."""
    found = []
    for id_ in passage_ids:
        one, fused = retrieved.scores[id_], retrieved.scores[id_].fused(retrieved.weights)
        key = retrieved.records[id_].key
        found.append(Candidate(id_, key, one.dense, one.bm25, one.bm25_share, fused))
    return found


def _dense_of(
    snapshot: Snapshot, vector: NDArray[np.float32] | None, records: Sequence[PassageRecord]
) -> dict[int, float]:
    """Compute the dense scores of passages, equal to the last bit to those of ``Snapshot.nearest``."""
    if vector is None or not records:
        return {}
    vectors = snapshot.vectors([record.key for record in records]).astype(np.float64)
    query = vector.astype(np.float64)
    return {record.id: float(np.dot(row, query)) for record, row in zip(records, vectors, strict=True)}


def _bm25_of(snapshot: Snapshot, words: str, ids: Sequence[int]) -> dict[int, float]:
    return {hit.passage_id: hit.score for hit in snapshot.bm25(words, len(ids), ids)} if ids else {}


def _exact(
    snapshot: Snapshot, question: str, depth: int, among: Collection[int] | None, found: Collection[int]
) -> dict[int, float]:
    """Compute ``Scores.exact`` of the passages that hold a name of the question.

    :param found: passages of the other rankings.
    """
    n_passages = len(set(among)) if among is not None else snapshot.n_passages
    rarities: list[dict[int, float]] = []
    for name in names(question):
        holders = _holders(snapshot, name, depth, among, found)
        if holders:
            rarity = 1 - math.log(len(holders)) / math.log(n_passages) if n_passages > 1 else 1.0
            rarities.append(dict.fromkeys(holders, max(rarity, 0.0)))
    return {one: sum(held.get(one, 0.0) for held in rarities) / len(rarities) for held in rarities for one in held}


def _holders(
    snapshot: Snapshot, name: Name, depth: int, among: Collection[int] | None, found: Collection[int]
) -> list[int]:
    """List passages that hold a name, out of the first ``depth`` with its words and of those found already."""
    depth = max(depth, DEPTH)
    ids = [hit.passage_id for hit in snapshot.bm25(name.text, depth, among, every_word=True)]
    if len(ids) == depth:
        ids = sorted({*ids, *(hit.passage_id for hit in snapshot.bm25(name.text, len(found), found, every_word=True))})
    if name.pattern is None or not ids:
        return ids
    held = snapshot.passages_with_texts(ids)
    documents = snapshot.document_infos([record.document_id for record, _ in held])
    return [
        record.id
        for (record, text), document in zip(held, documents, strict=True)
        if name.pattern.search(f"{document.title}\n{record.heading}\n{text}")
    ]
